"""Image generation: train on images, compare generated images with real ones, and export a verified SavedModel.

data      the built-in 8 x 8 pixel digits of scikit-learn, with their labels
command   python apps/image_generation.py
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("image_generation")
