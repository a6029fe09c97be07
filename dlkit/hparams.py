"""Hyperparameters of a task: dataclass fields with a help text, choices and a range.

The command line, `--help`, the README's table and the checks all read the same fields.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from dlkit.errors import HparamError
from dlkit.options import option, python_or_cli
from dlkit.suggestions import suggest


def hparam(
    default: Any,
    help: str,
    *,
    choices: Iterable[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    tuned: Any = None,
    frozen: Any = None,
    file: bool = False,
) -> Any:
    """Declare a hyperparameter as a dataclass field.

    Args:
        default: Default value.
        help: Help text with units and ranges, in one or two short sentences.
        choices: Allowed strings, unless the field's type is a `Literal`. One that ends in a colon allows every string
            that starts with it (`"preset:"`).
        minimum: Smallest allowed number, inclusive. Checked element by element for tuples.
        maximum: Largest allowed number, inclusive.
        tuned: Default when a preset is fine-tuned, if it differs from `default`.
        frozen: Default when the preset's backbone is frozen, if it differs from `default`.
        file: Whether the value is the path of a file, which the command line checks before it starts.

    Returns:
        The dataclass field.
    """
    kinds = {"tuned": tuned, "frozen": frozen}
    labels = {"tuned": "when fine-tuned", "frozen": "with a frozen backbone"}
    others = [f"`{value}` {labels[kind]}" for kind, value in kinds.items() if value is not None]
    others = [f"`{tuned}`"] if others and tuned == frozen else others
    help = f"{help} Default for presets: {', '.join(others)}." if others else help
    metadata = {"help": help, "choices": tuple(choices), "minimum": minimum, "maximum": maximum, "file": file, **kinds}
    return dataclasses.field(default=default, metadata=metadata)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that lists the known names and the closest match."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    suggest = f" Did you mean {close[0]!r}?" if close else ""
    return f"Expected one of: {', '.join(known)}.{suggest}"


def check_names(task: type, names: Iterable[str]) -> None:
    """Raise HparamError for a name that is not a hyperparameter of `task`, with the closest match."""
    known = [field.name for field in dataclasses.fields(task)]
    for name in names:
        if name not in known:
            close = suggest(name, known)
            guess = f" Did you mean {close!r}?" if close else ""
            raise HparamError(f"{task.__name__} has no option {name!r}. Expected one of: {', '.join(known)}.{guess}")


def choices_of(task: type) -> dict[str, tuple[str, ...]]:
    """Return the allowed strings of each hyperparameter; an empty tuple where any value of its type is allowed.

    They come from the field's `Literal`, or from `hparam(choices=...)`.
    """
    hints = typing.get_type_hints(task)
    return {
        field.name: typing.get_args(hints[field.name])
        if typing.get_origin(hints[field.name]) is typing.Literal
        else field.metadata["choices"]
        for field in dataclasses.fields(task)
    }


def format_choices(choices: Iterable[str]) -> list[str]:
    """Return choices as help and documentation list them, without the empty one.

    Examples:
        >>> format_choices(["", "mlp", "preset:"])
        ['mlp', 'preset:NAME_OR_FOLDER']
    """
    return [f"{choice}NAME_OR_FOLDER" if choice.endswith(":") else choice for choice in choices if choice]


def hparam_types(task: type) -> dict[str, Any]:
    """Return the type of each hyperparameter of a task, by name."""
    hints = typing.get_type_hints(task)
    return {field.name: hints[field.name] for field in dataclasses.fields(task)}


def check_value(task: type, name: str, value: Any) -> None:
    """Raise HparamError if a value of the right type is not an allowed choice or is out of range."""
    (field,) = (field for field in dataclasses.fields(task) if field.name == name)
    if value is not None:
        _check_value(value, field, choices_of(task)[name])


def with_options(kind: type) -> str:
    """Return a task's docstring with its hyperparameters appended, its own first.

    Called while the class is created, before `dataclass` has named its fields.
    """
    fields = {name: field for name, field in vars(kind).items() if isinstance(field, dataclasses.Field)}
    types = dict(kind.__annotations__)
    for base in kind.__bases__:
        for field in getattr(base, "__dataclass_fields__", {}).values():
            types.setdefault(field.name, field.type)
            fields.setdefault(field.name, field)
    lines = [inspect.cleandoc(kind.__doc__ or ""), "", "Options:"]
    for name, field in fields.items():
        choices = format_choices(field.metadata["choices"])
        listed = f" One of: {', '.join(choices)}." if choices else ""
        text = f"{name} ({types[name]}, default {field.default!r}): {field.metadata['help']}{listed}"
        lines.append(
            textwrap.fill(text, 110, break_on_hyphens=False, initial_indent=" " * 4, subsequent_indent=" " * 8)
        )
    return "\n".join(lines)


def summary(kind: type) -> str:
    """Return the first paragraph of a class's docstring, in one line."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())


def check_values(task: Any) -> None:
    """Check every hyperparameter of a task against its type, choices and range.

    Raises:
        HparamError: A value is invalid; names the option, what is allowed and what was received.
    """
    hints, choices = typing.get_type_hints(type(task)), choices_of(type(task))
    for field in dataclasses.fields(task):
        value = coerce(getattr(task, field.name), hints[field.name], field.name)
        object.__setattr__(task, field.name, value)
        if value is not None:
            _check_value(value, field, choices[field.name])


def preset_kind(task: Any) -> str:
    """Return how a task trains a preset: "tuned", "frozen" where its backbone is; "" where the network is none."""
    if not str(getattr(task, "network", "")).startswith("preset:"):
        return ""
    return "frozen" if task.freeze == "backbone" else "tuned"


def take_defaults(task: Any, values: Mapping[str, Any], given: Collection[str]) -> None:
    """Set hyperparameters that were not given to defaults that depend on others."""
    for name, value in values.items():
        if name not in given:
            setattr(task, name, value)


def take_preset_defaults(task: Any, given: Collection[str]) -> None:
    """Set hyperparameters that were not given to their preset defaults, if the network is a preset."""
    kind = preset_kind(task)
    fields = dataclasses.fields(task) if kind else ()
    take_defaults(
        task, {field.name: field.metadata[kind] for field in fields if field.metadata[kind] is not None}, given
    )


def coerce(value: Any, hint: Any, name: str) -> Any:
    """Convert `value` to the type `hint` if that is lossless (an int to a float, a list to a tuple)."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in options:
        return None
    wanted = next(option for option in options if option is not types.NoneType)
    if typing.get_origin(wanted) is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(coerce(item, typing.get_args(wanted)[0], name) for item in value)
    elif typing.get_origin(wanted) is typing.Literal:
        if isinstance(value, str):
            return value
    elif isinstance(value, bool) != (wanted is bool):
        pass  # Python takes True for 1
    elif wanted is float and isinstance(value, (int, float)):
        return float(value)
    elif wanted is int and hasattr(value, "__index__"):
        return int(value)
    elif isinstance(value, wanted):
        return value
    raise HparamError(
        f"{option(name)} must be {type_name(hint)}. Received: {option(name, value)} ({type(value).__name__})."
    )


def type_name(hint: Any) -> str:
    """Return a type hint as error messages name it."""
    if isinstance(hint, types.UnionType):
        return " or ".join(type_name(option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"a list of {typing.get_args(hint)[0].__name__}"
    if typing.get_origin(hint) is typing.Literal:
        return "a string"
    truth = python_or_cli("True or False", "true or false")
    names = {int: "an integer", float: "a number", str: "a string", bool: truth, types.NoneType: "None"}
    return names[hint]


def _check_value(value: Any, field: dataclasses.Field, choices: tuple[str, ...]) -> None:
    if choices and not any(
        value == choice or (choice.endswith(":") and value.startswith(choice)) for choice in choices
    ):
        raise HparamError(f"{option(field.name)} does not accept {value!r}. {nearest(value, choices)}")
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number):
            raise HparamError(f"{option(field.name)} must be finite. Received: {option(field.name, value)}.")
        if (low is not None and number < low) or (high is not None and number > high):
            bounds = " and ".join(
                f"{word} {bound:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None
            )
            raise HparamError(f"{option(field.name)} must be {bounds}. Received: {option(field.name, value)}.")
