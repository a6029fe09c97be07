"""Regression on the rows of a table: the modules that only this task uses. `task.py` holds the class."""
