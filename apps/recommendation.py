"""Recommendation: users and what they took to the items they may take next, from a table to a verified servable.

data      the built-in sample (400 invented users, 150 films)
command   python apps/recommendation.py

data      a csv, tsv or parquet table `user_id,item_id[,rating][,timestamp]`, or tfds:movielens/100k-ratings
command   python apps/recommendation.py --data ratings.csv --network ease
          python apps/recommendation.py --data ratings.csv --protocol leave_last_out --network sasrec
          python apps/recommendation.py --data ratings.csv --objective ratings --network mf --batch-size 512 \\
              --epochs 20 --learning-rate 2e-3 --weight-decay 2 --dropout 0.5
"""

from dlkit.recipe import recipe

if __name__ == "__main__":
    recipe("recommendation")
