"""Shared by tasks of plain tables: columns and their kinds, preprocessing, networks, explanations."""
