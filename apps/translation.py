"""Translation, from pairs of texts to a verified servable.

data      the built-in sentences: 385 pairs in English and Spanish, written for the project
command   python apps/translation.py
"""

from dlkit.recipe import recipe

if __name__ == "__main__":
    recipe("translation")
