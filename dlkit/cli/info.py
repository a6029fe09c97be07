"""What a saved model is, from its index and the size of its files: needs no TensorFlow."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from dlkit.model_folder import INDEX_FILE, read_index
from dlkit.run_file import CONFIG_FILE


def describe_model(folder: Path) -> dict[str, Any]:
    """The facts of a saved model, as JSON can hold them.

    Raises:
        DlkitError: the folder holds no model, or a run that was stopped.
    """
    from dlkit.tasks import find_task

    index = read_index(folder)
    fitted, hparams = index["fitted"], index["hparams"]
    usual = find_task(index["task"])().hparams
    fingerprint, kept = fitted.get("fingerprint_", {}), fitted.get("best_epoch_", {})
    history = fitted.get("history_", {})
    best = kept.get("epoch", 0)
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
        "hyperparameters": {name: value for name, value in hparams.items() if _plain(usual.get(name)) != value},
        "epochs": len(history.get("loss", ())),
        "best_epoch": best or None,
        "history": {name: values[best - 1] for name, values in history.items() if best and len(values) >= best},
        "validated": {name: value for name, value in kept.items() if name != "epoch"},
        "last_evaluation": fitted.get("last_evaluation_") or None,
        "stages": index["names"],
        "bytes": sum(path.stat().st_size for path in weights),
        "bytes_with_checkpoints": sum(path.stat().st_size for path in files),
        "config": str(folder / CONFIG_FILE) if (folder / CONFIG_FILE).is_file() else None,
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def show_info(found: dict[str, Any]) -> None:
    """Prints the facts, a line each; what is not known is left out."""
    tested = found["last_evaluation"] or {}
    lines = {
        "model": found["model"],
        "task": found["task"],
        "saved": f"{found['saved']} by dlkit {found['dlkit']}",
        "data": found["data"] and f"{found['data']}, {found['rows']:,} rows",
        "labels": found["labels"],
        "hyperparameters": _pairs(found["hyperparameters"]) or "all defaults",
        "epochs": found["epochs"] and f"{found['epochs']}, best epoch {found['kept_epoch']}",
        "its metrics": _pairs(found["history"]),
        "on validation data": _pairs(found["validated"]),
        "last_evaluation": tested and f"{_pairs(tested['metrics'])} on {tested['rows']} rows of {tested['source']}",
        "size": f"{found['bytes'] / 1e6:.1f} MB, with checkpoints {found['bytes_with_checkpoints'] / 1e6:.1f} MB",
        "options": found["config"] and f"{found['config']} (dlkit train --config)",
    }
    for name, line in lines.items():
        if line:
            print(f"{name + ':':20} {line}")


def _pairs(values: dict[str, Any]) -> str:
    """Names with their values, in a line; tables and lists, which are long, are left to --json."""
    return ", ".join(
        f"{name} {_number(value)}" for name, value in values.items() if not isinstance(value, (dict, list))
    )


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
