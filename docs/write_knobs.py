"""Writes the tables of knobs into the README, from the tasks' own fields: python docs/write_knobs.py"""

import re
from pathlib import Path

from dlkit.cli.flags import knob_table
from dlkit.tasks import find_task, task_names

README = Path(__file__).parent.parent / "README.md"
PLACE = re.compile(r"<!-- knobs -->.*<!-- /knobs -->", re.DOTALL)


def table(name: str) -> str:
    """The table of a task, folded."""
    return f"<details><summary>Knobs of <code>{name}</code></summary>\n\n{knob_table(find_task(name))}\n\n</details>"


def tables() -> str:
    """The tables of all tasks."""
    return "<!-- knobs -->\n" + "\n".join(map(table, task_names())) + "\n<!-- /knobs -->"


def with_tables(text: str) -> str:
    """A README's text with the tables as they should be."""
    return PLACE.sub(lambda _: tables(), text)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
