"""What `help` and tab completion show of a task."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import dlkit
from dlkit.tasks import find_task, task_names


@pytest.mark.parametrize("name", task_names())
def test_help_shows_an_example_and_every_option(name):
    kind = find_task(name)
    told = " ".join(inspect.getdoc(kind).split())
    assert "Examples: >>> model = dlkit." in told
    for field in dataclasses.fields(kind):
        assert f"{field.name} (" in told
        assert " ".join(field.metadata["help"].split()) in told


@pytest.mark.parametrize("name", task_names())
def test_completion_lists_what_a_person_calls(name):
    listed = dir(find_task(name)())
    assert {"fit", "predict", "evaluate", "export", "epochs", "history_"} <= set(listed)
    assert not {"build", "encode", "augment", "served", "predict_tensors", "_served", "__init__"} & set(listed)
    assert all(inspect.getdoc(getattr(find_task(name), method)) for method in find_task(name).public_methods)


def test_examples_are_a_section_of_their_own():
    """`Example:` would be a note whose lines the site reads as Markdown, brackets as links."""
    sources = Path(dlkit.__file__).parent.rglob("*.py")
    assert not [path for path in sources if re.search(r"^\s*Example:$", path.read_text(), re.MULTILINE)]
