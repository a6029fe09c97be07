"""Columns of generated texts."""

from __future__ import annotations

from dlkit.columns import Label


class FinishReason(Label):
    """Why generation ended: `stop` at the end token, `length` at the maximum number of tokens."""
