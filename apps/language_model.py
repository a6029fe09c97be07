"""Language model: train on texts, evaluate, and export a verified SavedModel that generates.

data      the built-in chapters of a novel in the public domain, 53 kB
command   python apps/language_model.py
result    not measured yet

data      a folder of text files, each of which is a document, and one to test on
command   python apps/language_model.py --data novels/ --test novel.txt --minutes 10
result    not measured yet
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("language_model")
