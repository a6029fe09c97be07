"""Writes the tables of knobs into the README, from the tasks' own fields: python docs/write_knobs.py"""

import re
from pathlib import Path

from dlkit.cli.flags import knob_table
from dlkit.tasks import find_task, task_names

README = Path(__file__).parent.parent / "README.md"
PLACE = re.compile(r"<!-- knobs -->.*<!-- /knobs -->", re.DOTALL)


def tables() -> str:
    """The tables of all tasks, folded."""
    parts = [
        f"<details><summary>Knobs of <code>{name}</code></summary>\n\n{knob_table(find_task(name))}\n\n</details>"
        for name in task_names()
    ]
    return "<!-- knobs -->\n" + "\n".join(parts) + "\n<!-- /knobs -->"


def with_tables(text: str) -> str:
    """A README's text with the tables as they should be."""
    return PLACE.sub(lambda _: tables(), text)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
