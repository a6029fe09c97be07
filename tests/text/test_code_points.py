"""The tables that a text's characters are looked up in."""

import numpy as np
import pytest

from dlkit.text import code_points, compose, normalize, wordpiece


@pytest.mark.slow
@pytest.mark.parametrize(
    "table",
    [
        lambda: normalize.word_table.__wrapped__(lowercase=True),
        lambda: wordpiece.bert_table.__wrapped__(lowercase=True, strip_accents=True),
        lambda: wordpiece.bert_table.__wrapped__(lowercase=False, strip_accents=False, any_space=True),
        lambda: compose._quick_table.__wrapped__(),
        lambda: compose._decompose_table.__wrapped__(),
    ],
)
def test_characters_that_are_not_looked_at_become_the_same_as_if_they_were(table, monkeypatch):
    short = table()
    monkeypatch.setattr(code_points, "UNIFORM_RANGES", ())
    whole = table()
    for name in ("page_of", "pages", "values"):
        np.testing.assert_array_equal(getattr(short, name), getattr(whole, name))
