"""Image generation: modules that are used by this task only. `task.py` holds the class."""
