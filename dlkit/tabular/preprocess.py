"""The preprocessing of a row in the graph, learned from training rows, and the network that fits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from dlkit.columns import Column, to_batch
from dlkit.data.table import Table
from dlkit.lazy import keras, tf
from dlkit.rows import ERROR
from dlkit.tabular.category_lookup import CategoryLookup, learn_vocabulary
from dlkit.tabular.columns import CELLS
from dlkit.tabular.date_features import NAMES, DateErrors, DateFeatures
from dlkit.tabular.declare import TabularTask, declared_kinds, renamed
from dlkit.tabular.discover import find_kinds
from dlkit.tabular.feature_embedding import CellEmbedding
from dlkit.tabular.networks import NetworkOptions, build_network
from dlkit.tabular.number_scaling import QuantileScaling, RobustScaling, StackNumbers
from dlkit.tabular.word_ids import WordIds

WORDS = 5_000  # size of the vocabulary of free texts
LEARNING_ROWS = 4096  # rows that are preprocessed together to learn what depends on scaled numbers
WIDTHS = {"none": 4, "piecewise": 16, "periodic": 8}  # width of the vector of a number, by its encoding


class TabularNetworkTask(TabularTask, Protocol):
    """A task of tables with the options of its network."""

    @property
    def blocks(self) -> int: ...

    @property
    def members(self) -> int: ...

    @property
    def dropout(self) -> float: ...

    @property
    def number_scaling(self) -> str: ...

    @property
    def number_embedding(self) -> str: ...

    @property
    def max_categories(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...


def learn_kinds(task: TabularTask, table: Table) -> None:
    """Find the kinds of the inputs of a task from its training rows, and declare its inputs accordingly."""
    found = find_kinds(table, task.inputs, declared_kinds(task, task.inputs))
    task.kinds_ = {name: kind.kind for name, kind in found.items()}
    task.inputs = {
        name: renamed(CELLS[found[name].kind](), name, (column.aliases or (name,))[0])
        for name, column in task.inputs.items()
    }


def names_of_kind(inputs: Mapping[str, Column], *kinds: str) -> list[str]:
    """Return the names of the inputs of some kinds, in order."""
    return [name for name, column in inputs.items() if column.kind in kinds]


def build_preprocess(task: TabularNetworkTask, table: Table) -> keras.Model:
    """Learn the preprocessing of a task's inputs from its training rows.

    Returns:
        keras.Model from one tensor for each column to those of these that the table has: `numbers` and `missing`, of
        numbers and of the calendar features of dates; `categories`; `token_ids`; and `error`, if it has dates.
    """
    columns = {name: keras.Input((), dtype=column.dtype, name=name) for name, column in task.inputs.items()}
    numbers, dates = names_of_kind(task.inputs, "number"), names_of_kind(task.inputs, "date")
    categories, texts = names_of_kind(task.inputs, "category", "boolean"), names_of_kind(task.inputs, "text")
    outputs: dict[str, Any] = {}
    if numbers or dates:
        parts = [StackNumbers(name="stack_numbers")([columns[name] for name in numbers])] if numbers else []
        raw = [np.array([table.raw_column(name, task.inputs[name]) for name in numbers], np.float32).T]
        if dates:
            calendar = DateFeatures(name="date_features")
            parts.append(calendar([columns[name] for name in dates]))
            raw.append(calendar([tf.constant(table.raw_column(name, task.inputs[name])) for name in dates]).numpy())
        values = np.concatenate([part for part in raw if part.size], axis=1)
        scaling = (RobustScaling if _scaling(task) == "robust" else QuantileScaling)(name="number_scaling")
        scaling.adapt(values)
        outputs |= scaling(parts[0] if len(parts) == 1 else keras.layers.Concatenate(dtype="float32")(parts))
    if categories:
        vocabularies = [
            learn_vocabulary(table.raw_column(name, task.inputs[name]), task.max_categories) for name in categories
        ]
        booleans = [number for number, name in enumerate(categories) if task.inputs[name].kind == "boolean"]
        lookup = CategoryLookup(vocabularies, booleans, name="category_lookup")
        outputs["categories"] = lookup([columns[name] for name in categories])
    if texts:
        every = [text.decode() for name in texts for text in table.raw_column(name, task.inputs[name])]
        words = WordIds.learn(every, WORDS, task.max_tokens, name="word_ids")
        outputs["token_ids"] = words([columns[name] for name in texts])
    if dates:
        outputs[ERROR] = DateErrors(dates, name="date_errors")([columns[name] for name in dates])
    return keras.Model(columns, outputs, name="preprocess")


def build_tabular_network(
    task: TabularNetworkTask,
    table: Table,
    preprocess: keras.Model,
    head: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    activation: str,
) -> keras.Model:
    """Build the network of a task for its preprocessing; `activation` is that of `realmlp`."""
    encoding = task.number_embedding
    if encoding == "auto":
        encoding = {"realmlp": "periodic", "resnet": "none"}.get(task.network, "piecewise")
    options = NetworkOptions(task.network, task.width, task.blocks, task.dropout, task.members, encoding, activation)
    cells = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in preprocess.output.items()
        if name != ERROR
    }
    flat, words = task.network != "ft_transformer", _layer(preprocess, "word_ids")
    categories = _layer(preprocess, "category_lookup")
    embedding = CellEmbedding(
        numbers=cells["numbers"].shape[1] if "numbers" in cells else 0,
        category_sizes=categories.sizes if categories else (),
        texts=cells["token_ids"].shape[1] if words else 0,
        vocabulary_size=words.vocabulary_size if words else 0,
        encoding=encoding,
        width=WIDTHS[encoding] if flat else options.size[0],
        flat=flat,
        name="features",
    )
    network = build_network(cells, embedding, options, head)
    if "numbers" in cells:
        embedding.adapt(preprocess_sample(task.inputs, table, preprocess)["numbers"])
    return network


def with_reasons(task: TabularTask, postprocess: keras.Model) -> keras.Model:
    """Return the postprocessing of a task with empty predictions for rows that cannot be read, as a date may be."""
    from dlkit.layers.blank_invalid_rows import blank_invalid_rows

    return blank_invalid_rows(postprocess) if "date" in task.kinds_.values() else postprocess


def preprocess_sample(inputs: Mapping[str, Column], table: Table, preprocess: keras.Model) -> dict[str, np.ndarray]:
    """Preprocess rows of a table, evenly spaced, at most `LEARNING_ROWS`."""
    rows = range(0, len(table), -(-len(table) // LEARNING_ROWS))
    made = preprocess(to_batch([table.raw(row, inputs) for row in rows], inputs))
    return {name: tensor.numpy() for name, tensor in made.items()}


def input_of_cells(inputs: Mapping[str, Column]) -> list[str]:
    """Return the input that each cell of `CellEmbedding` is of, in its order."""
    dates = [name for name in names_of_kind(inputs, "date") for _ in NAMES]
    return [
        *names_of_kind(inputs, "number"),
        *dates,
        *names_of_kind(inputs, "category", "boolean"),
        *names_of_kind(inputs, "text"),
    ]


def _scaling(task: TabularNetworkTask) -> str:
    if task.number_scaling != "auto":
        return task.number_scaling
    return "robust" if task.network == "realmlp" else "quantile"


def _layer(model: keras.Model, name: str) -> Any:
    return next((layer for layer in model.layers if layer.name == name), None)
