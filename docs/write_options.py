"""Writes the table of options into the page of each task, from the task's own fields: python docs/write_options.py"""

import dataclasses
import re
from pathlib import Path

from dlkit.cli.flags import hparam_table
from dlkit.hparams import hparam_types
from dlkit.tasks import find_task, task_names

DOCS = Path(__file__).parent
PLACE = re.compile(r"<!-- options -->.*<!-- /options -->", re.DOTALL)


def _flag(name: str, prefix: str = "") -> str:
    return f"--{prefix}{name.replace('_', '-')}"


def section(name: str) -> str:
    """The section of a task's page that lists its options, between its two marks."""
    task = find_task(name)
    fields = dataclasses.fields(task)
    kinds = hparam_types(task)
    boolean = next((field.name for field in fields if kinds[field.name] is bool), "")
    listed = next((field for field in fields if isinstance(field.default, tuple) and field.default), None)
    usage = "Each option is an argument of the class and a flag of `dlkit train`: `batch_size=32` is `--batch-size 32`."
    if boolean:
        usage += (
            f" A boolean option takes no value on the command line: `{_flag(boolean)}` turns it on, and "
            f"`{_flag(boolean, 'no-')}` turns it off."
        )
    if listed:
        values = ",".join(map(str, listed.default))
        usage += f" A list is separated by commas: `{_flag(listed.name)} {values}`."
    usage += (
        " Defaults are those of the Python argument; an empty default means `None` or an empty string. `minutes` and "
        "`steps`, which some descriptions mention, set the [length of the training](training.md#how-long-to-train)."
    )
    return f"<!-- options -->\n## Options\n\n{usage}\n\n{hparam_table(task)}\n<!-- /options -->"


def with_options(name: str, text: str) -> str:
    """The text of a task's page with its options as they should be."""
    return PLACE.sub(lambda _: section(name), text)


if __name__ == "__main__":
    for name in task_names():
        page = DOCS / f"{name}.md"
        page.write_text(with_options(name, page.read_text()))
