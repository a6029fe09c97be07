"""Image segmentation, from encoded images to a verified servable.

data      the built-in scenes: digits pasted on two photographs, 128 x 128, of two classes
command   python apps/image_segmentation.py

data      98 / 35 slices of brain tissue, images/ and masks/ of three classes
command   python apps/image_segmentation.py --data tissue/train --test tissue/test --validation-split 0 \\
              --flip horizontal --depth 3 --losses cross_entropy --epochs 24
result    mean IoU 0.952, seed 0, 3.7 minutes of training on 2 cores, measured 2026-11-23
"""

from dlkit.recipe import run_recipe

if __name__ == "__main__":
    run_recipe("image_segmentation")
