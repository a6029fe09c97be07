"""Description of a saved model from its index and its files, without TensorFlow."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from dlkit.model_folder import INDEX_FILE, read_index
from dlkit.run_file import CONFIG_FILE


def describe_model(folder: Path) -> dict[str, Any]:
    """Describe a saved model as JSON-serializable data.

    Raises:
        DlkitError: the folder holds no model, or a run that was stopped.
    """
    from dlkit.tasks import find_task

    index = read_index(folder)
    fitted, hparams = index["fitted"], index["hparams"]
    defaults = find_task(index["task"])().hparams
    fingerprint, best_epoch = fitted.get("fingerprint_", {}), fitted.get("best_epoch_", {})
    history = fitted.get("history_", {})
    epoch = best_epoch.get("epoch", 0)
    files = [path for path in folder.rglob("*") if path.is_file()]
    weights = [path for path in files if path.parent.name == index["stages"]]
    return {
        "model": str(folder),
        "task": index["task"],
        "dlkit": index["dlkit"],
        "saved": datetime.datetime.fromtimestamp((folder / INDEX_FILE).stat().st_mtime).isoformat(" ", "seconds"),
        "data": fingerprint.get("source"),
        "rows": fingerprint.get("rows"),
        "labels": len(fitted["labels_"]) if fitted.get("labels_") else None,
        "hyperparameters": {name: value for name, value in hparams.items() if _as_list(defaults.get(name)) != value},
        "epochs": len(history.get("loss", ())),
        "best_epoch": epoch or None,
        "history": {name: values[epoch - 1] for name, values in history.items() if epoch and len(values) >= epoch},
        "validation": {name: value for name, value in best_epoch.items() if name != "epoch"},
        "last_evaluation": fitted.get("last_evaluation_") or None,
        "stages": index["names"],
        "bytes": sum(path.stat().st_size for path in weights),
        "bytes_with_checkpoints": sum(path.stat().st_size for path in files),
        "config": str(folder / CONFIG_FILE) if (folder / CONFIG_FILE).is_file() else None,
    }


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def show_info(facts: dict[str, Any]) -> None:
    """Print the description, one fact per line; unknown facts are left out."""
    evaluation = facts["last_evaluation"] or {}
    lines = {
        "model": facts["model"],
        "task": facts["task"],
        "saved": f"{facts['saved']} by dlkit {facts['dlkit']}",
        "data": facts["data"] and f"{facts['data']}, {facts['rows']:,} rows",
        "labels": facts["labels"],
        "hyperparameters": _pairs(facts["hyperparameters"]) or "all defaults",
        "epochs": facts["epochs"] and f"{facts['epochs']}, best epoch {facts['best_epoch']}",
        "metrics": _pairs(facts["history"]),
        "on validation data": _pairs(facts["validation"]),
        "evaluated": evaluation
        and f"{_pairs(evaluation['metrics'])} on {evaluation['rows']} rows of {evaluation['source']}",
        "size": f"{facts['bytes'] / 1e6:.1f} MB, with checkpoints {facts['bytes_with_checkpoints'] / 1e6:.1f} MB",
        "options": facts["config"] and f"{facts['config']} (dlkit train --config)",
    }
    for name, line in lines.items():
        if line:
            print(f"{name + ':':20} {line}")


def _pairs(values: dict[str, Any]) -> str:
    """Format names with their values in a line; tables and lists are left to --json."""
    return ", ".join(
        f"{name} {_number(value)}" for name, value in values.items() if not isinstance(value, (dict, list))
    )


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
