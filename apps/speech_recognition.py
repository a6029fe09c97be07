"""Speech recognition: train on recordings with their texts, evaluate, and export a verified SavedModel.

data      the built-in sample (460 commands by 8 synthetic speakers)
command   python apps/speech_recognition.py

data      a csv with a column `audio`, paths of recordings, and a column `text`
command   python apps/speech_recognition.py --data train.csv --test test.csv
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("speech_recognition")
