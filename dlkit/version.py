"""The version of dlkit."""

__version__ = "0.1.0"
