"""Speech recognition: all that this task alone uses. `task.py` holds the class."""
