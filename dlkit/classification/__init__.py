"""Shared by tasks that predict classes: labels, metrics, ranking."""
