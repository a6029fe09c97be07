"""Readers: from folders, tables, arrays and TFDS to tables of raw values."""
