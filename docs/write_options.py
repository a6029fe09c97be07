"""Writes the table of options into the page of each task, from the task's own fields: python docs/write_options.py"""

import re
from pathlib import Path

from dlkit.cli.flags import hparam_table
from dlkit.tasks import find_task, task_names

DOCS = Path(__file__).parent
PLACE = re.compile(r"<!-- options -->.*<!-- /options -->", re.DOTALL)


def section(name: str) -> str:
    """The section of a task's page that lists its options, between its two marks."""
    usage = (
        "Each option is an argument of the class and a flag of the command: `batch_size=32` and `--batch-size 32`; "
        "an option that is off by default is a flag alone, and `--no-...` switches off one that is on."
    )
    return f"<!-- options -->\n## Options\n\n{usage}\n\n{hparam_table(find_task(name))}\n<!-- /options -->"


def with_options(name: str, text: str) -> str:
    """The text of a task's page with its options as they should be."""
    return PLACE.sub(lambda _: section(name), text)


if __name__ == "__main__":
    for name in task_names():
        page = DOCS / f"{name}.md"
        page.write_text(with_options(name, page.read_text()))
