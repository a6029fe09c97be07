"""Image segmentation, from encoded images to a verified servable.

data      the built-in scenes: digits pasted on two photographs, 128 x 128
command   python apps/image_segmentation.py
"""

from dlkit.recipe import recipe

if __name__ == "__main__":
    recipe("image_segmentation")
