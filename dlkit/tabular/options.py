"""The hyperparameters that the tasks of tables share."""

from __future__ import annotations

from typing import Any

from dlkit.hparams import hparam

_OPTIONS: dict[str, dict[str, Any]] = {
    "targets": {
        "default": "",
        "help": "Columns to predict, as A,B. By default the column named target, label or y. (default: target, label "
        "or y)",
    },
    "categorical": {
        "default": "",
        "help": "Columns that are categories, as A,B,C. They are those whose numbers are codes, such as a zip code.",
    },
    "ignore": {"default": "", "help": "Columns that are not used, as A,B,C, such as an id."},
    "weight_column": {
        "default": "",
        "help": "Column of row weights. They weigh the rows in training. The column is not an input.",
    },
    "group_column": {
        "default": "",
        "help": "Column of groups. All rows of a group are held out, or none. It is not an input.",
    },
    "time_column": {
        "default": "",
        "help": "Column of times. The latest rows are held out, instead of random ones. It is also an "
        "input unless it is one of the ignored columns.",
    },
    "network": {"default": "tabm", "help": "Network architecture."},
    "width": {"default": 0, "help": "Width of the hidden layers; 0 selects it by network.", "minimum": 0},
    "blocks": {
        "default": 0,
        "help": "Number of blocks; 0 selects it by network. Those of `mlp`, `realmlp` and `tabm` are dense layers.",
        "minimum": 0,
    },
    "members": {"default": 8, "help": "Number of members of `tabm`. They share most weights.", "minimum": 1},
    "number_scaling": {
        "default": "auto",
        "help": "Scaling of numbers. With `quantile`, quantiles are mapped to a normal distribution; with `robust`, "
        "numbers are divided by the interquartile range. The default selects `robust` for `realmlp`, and otherwise "
        "`quantile`.",
    },
    "number_embedding": {
        "default": "auto",
        "help": "Embedding of numbers. The default selects `periodic` for `realmlp`, `none` for `resnet`, and "
        "otherwise `piecewise`.",
    },
    "max_categories": {
        "default": 1000,
        "help": "Maximum number of categories of a column. The rarest others count as unknown.",
        "minimum": 1,
    },
    "max_tokens": {"default": 32, "help": "Maximum number of words of a text. Others are not read.", "minimum": 1},
    "mask_rate": {
        "default": 0.02,
        "help": "Fraction of cells masked in training. Masked numbers are missing, and masked categories and booleans "
        "are missing or unknown, half each, so that the network learns to predict from such rows.",
        "minimum": 0,
        "maximum": 0.9,
    },
}


def tabular_hparam(name: str) -> Any:
    """Declare a hyperparameter that the tasks of tables share, by its name."""
    return hparam(**_OPTIONS[name])
