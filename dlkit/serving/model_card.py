"""The model card of an export, `assets.extra/MODEL_CARD.md`: the contents of `dlkit.json` for people.

Its sections are those of Mitchell et al., 2019, arXiv:1810.03993, as far as the export contains them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MAX_LISTED = 30  # labels, and metrics of one table, before the rest are only counted


def write_model_card(contract: Mapping[str, Any]) -> str:
    """Return the model card, in Markdown.

    Args:
        contract: what `dlkit.serving.contract.build_contract` gives.
    """
    parts = [f"# {contract['name']}", contract.get("description", ""), *_details(contract), *_use(contract)]
    parts += [*_data(contract), *_metrics(contract), *_signatures(contract), *_limits(contract)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _details(contract: Mapping[str, Any]) -> list[str]:
    versions = contract["versions"]
    facts = {
        "Task": contract.get("task", ""),
        "Network": contract.get("hparams", {}).get("network", ""),
        "Exported": contract["date"],
        "Code revision": contract.get("revision", ""),
        "Size": f"{contract['size'] / 1e6:.1f} MB",
        "Software": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return ["## Model details", _list(f"{name}: {_cell(value)}" for name, value in facts.items() if value)]


def _use(contract: Mapping[str, Any]) -> list[str]:
    rest = contract["signatures"]["serving_default"]["example"]["rest"]
    labels = contract.get("labels") or []
    text = "Inference with TensorFlow Serving on inputs similar to the training data: POST a request to "
    text += f"`{rest['url']}`; `request.json` next to this file is an example."
    shown = ", ".join(f"`{_cell(label)}`" for label in labels[:_MAX_LISTED])
    more = f" and {len(labels) - _MAX_LISTED} more" if len(labels) > _MAX_LISTED else ""
    known = f"The model predicts {len(labels)} labels and no others: {shown}{more}." if labels else ""
    return ["## Intended use", text, known]


def _data(contract: Mapping[str, Any]) -> list[str]:
    found = contract.get("fingerprint", {})
    facts = found if isinstance(found, Mapping) else {"fingerprint": found}
    names = {"source": "Source", "rows": "Training rows after preprocessing", "sha256": "SHA-256 of these rows"}
    listed = _list(f"{names.get(name, name)}: {_cell(value)}" for name, value in facts.items())
    examples = contract.get("examples", "")
    text = f"Example inputs of this export (request examples, warm-up, verification): {examples}." if examples else ""
    return ["## Training data", listed, text]


def _metrics(contract: Mapping[str, Any]) -> list[str]:
    test = contract.get("test") or {}
    parts = ["## Metrics"]
    if test:
        measured = f"On {test['rows']} rows of {_cell(test['source'])}, by `evaluate`, from the served predictions:"
        parts += [measured, _table(test["metrics"])]
    else:
        parts += ["The model was not evaluated on test data before the export."]
    if contract.get("validation"):
        parts += ["On validation data, from the served predictions:", _table(contract["validation"])]
    if contract.get("metrics"):
        parts += ["At the best epoch, during training (`val_`: on validation data):", _table(contract["metrics"])]
    return parts


def _signatures(contract: Mapping[str, Any]) -> list[str]:
    parts = ["## Inputs and outputs"]
    for name, signature in contract["signatures"].items():
        parts += [f"### `{name}` ({signature['method']})"]
        tensors = [("in", item) for item in signature["inputs"].items()]
        tensors += [("out", item) for item in signature["outputs"].items()]
        rows = [(f"`{key}`", kind, *_described(facts)) for kind, (key, facts) in tensors]
        parts += [_rows(("name", "", "dtype", "shape", "values", "description"), rows)]
    return parts


def _limits(contract: Mapping[str, Any]) -> list[str]:
    lines = [
        "The metrics apply to the data named above. On data of another kind, origin or time the model may perform "
        "far worse: evaluate it there (`dlkit evaluate`).",
        "Performance was not measured for groups of people or kinds of input other than those in the metrics.",
        "Scores are outputs of the network; their calibration was not measured.",
        "Invalid requests are rejected (INVALID_ARGUMENT); docs/serving.md of dlkit lists the reasons.",
    ]
    beyond = contract.get("ops_beyond_core")
    if beyond:
        lines.append(f"The server needs operations that are not part of TensorFlow: {', '.join(beyond)}.")
    return ["## Limits", _list(lines)]


def _table(metrics: Mapping[str, Any]) -> str:
    """Format the metrics that are single numbers as a table; count the others."""
    plain = {name: value for name, value in metrics.items() if isinstance(value, (int, float)) or value is None}
    rows = [
        (f"`{name}`", "none" if value is None else f"{value:.6g}") for name, value in list(plain.items())[:_MAX_LISTED]
    ]
    left = len(metrics) - len(rows)
    return _rows(("metric", "value"), rows) + (f"\n\nAnd {left} more in `dlkit.json`." if left else "")


def _described(facts: Mapping[str, Any]) -> tuple[str, ...]:
    return str(facts["dtype"]), _shape(facts["shape"]), _range(facts), _cell(facts.get("description", ""))


def _rows(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _shape(shape: list[int | None] | None) -> str:
    return "any" if shape is None else " x ".join("any" if side is None else str(side) for side in shape)


def _range(facts: Mapping[str, Any]) -> str:
    least, most = facts.get("minimum"), facts.get("maximum")
    bounds = [f"from {least:g}" if least is not None else "", f"to {most:g}" if most is not None else ""]
    return " ".join(filter(None, bounds))


def _cell(value: Any) -> str:
    """Format a value on one line of Markdown: names of files and labels may contain anything."""
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|").replace("`", "'")
