"""Recommendation: train on a table of interactions, evaluate, and export a verified SavedModel.

data      the built-in sample (400 synthetic users, 150 movies)
command   python apps/recommendation.py --epochs 60
result    NDCG@10 0.36, hit rate 0.85; popularity 0.12 and 0.58; 24 s, 2026-11-23

data      a csv, tsv or parquet table `user_id,item_id[,rating][,timestamp]`, or tfds:movielens/100k-ratings
command   python apps/recommendation.py --data ratings.csv --network ease --min-rating 0
          python apps/recommendation.py --data ratings.csv --split leave_last_out --network sasrec
          python apps/recommendation.py --data ratings.csv --objective ratings --network svdpp --width 64 \\
              --batch-size 1024 --learning-rate 4e-3 --weight-decay 3 --dropout 0 --epochs 10
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("recommendation")
