"""Networks that find objects: each a module with `network`, `loss_of` and `decode`, which know the same grid.

Whatever the network, its one output is `predictions`, (batch, places, numbers) float32, and its targets are objects,
(batch, objects, 6) float32: ymin, xmin, ymax, xmax in pixels of the network's image, the number of the class or -1 for
padding, and `CROWD`, `CLIPPED`, their sum, or 0. A loss is the mean over rows: a row's does not depend on the others.
"""

CROWD, CLIPPED = 1.0, 2.0
