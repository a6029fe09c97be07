"""Answers to whole sources, in files: what grows, goes on after a kill, and is finished."""
