"""Pictures of molecules with their predictions, drawn by RDKit where it is installed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.data.table import Table
from dlkit.errors import DlkitError
from dlkit.log import logger
from dlkit.plots import new_figure
from dlkit.tasks.molecule_properties.rdkit_extra import import_rdkit

if TYPE_CHECKING:
    from dlkit.tasks.molecule_properties.task import MoleculeProperties

MAX_MOLECULES = 8
COLUMNS = 4
MAX_SHOWN = 4  # properties that are written below a molecule


def plot_molecules(task: MoleculeProperties, table: Table, labeled: Table | None) -> Any:
    """Plot molecules with their predictions; with true values, also predicted against true values of each property.

    Args:
        task: fitted.
        table: the molecules to draw.
        labeled: all molecules with true values; None if they are not known.

    Returns:
        The figure.
    """
    names = [*task.properties]
    columns = min(len(table), COLUMNS)
    rows = -(-len(table) // columns)
    scatters = names[:COLUMNS] if labeled is not None and task.objective == "regression" else []
    figure = new_figure(3.2 * max(columns, len(scatters)), 3.0 * rows + (3.2 if scatters else 0))
    parts = figure.subfigures(2, 1, height_ratios=(rows, 1.1)) if scatters else [figure]
    drawer = _find_drawer()
    answers = task.present_rows(task.predict_table(table))
    grid = np.ravel(parts[0].subplots(rows, columns, squeeze=False))
    for row, axes in enumerate(grid):
        axes.axis("off")
        if row < len(table):
            true = {name: table.columns[name][row] for name in names if name in table.columns}
            smiles = table.raw(row, task.inputs)["smiles"].decode()
            _draw_molecule(axes, drawer, smiles, _describe(task, answers[row], true))
    if scatters and labeled is not None:
        _draw_scatters(np.ravel(parts[1].subplots(1, len(scatters), squeeze=False)), task, labeled, scatters)
    return figure


def _find_drawer() -> Any:
    """Return RDKit's module, or None without it: the SMILES stand in the place of the structures."""
    try:
        chem = import_rdkit("drawing structures")
        from rdkit.Chem import Draw
    except DlkitError as error:
        logger.warning(f"structures are not drawn: {error}")
        return None
    return chem, Draw


def _describe(task: MoleculeProperties, answer: Mapping[str, Any], true: Mapping[str, Any]) -> str:
    """Write the predictions for a molecule, one property a line."""
    lines = []
    for name in [*task.properties][:MAX_SHOWN]:
        half = f" ± {(answer[f'{name}_upper'] - answer[f'{name}_lower']) / 2:.3g}" if f"{name}_upper" in answer else ""
        value = task.properties[name].raw(true.get(name))
        known = f" (true: {value:.4g})" if np.isfinite(value) else ""
        lines.append(f"{name}: {answer[name]:.4g}{half}{known}")
    return "\n".join([*lines, f"similarity to training data: {answer['in_domain']:.2f}"])


def _draw_molecule(axes: Any, drawer: Any, smiles: str, text: str) -> None:
    molecule = drawer[0].MolFromSmiles(smiles) if drawer else None
    if molecule is None:
        axes.text(0.5, 0.5, "\n".join(textwrap.wrap(smiles, 26)[:6]), ha="center", va="center", fontsize=9)
    else:
        axes.imshow(drawer[1].MolToImage(molecule, size=(600, 420)))
    axes.set_title(text, fontsize=7.5, y=-0.02, va="top")


def _draw_scatters(grid: Any, task: MoleculeProperties, table: Table, names: list[str]) -> None:
    answers = task.predict_table(table)
    order = [*task.properties]
    for axes, name in zip(grid, names, strict=True):
        true = np.array(table.raw_column(name, task.target[name]), np.float64)
        values = {key: np.array(answers[key])[:, order.index(name)] for key in ("predictions", "lower", "upper")}
        known = np.isfinite(true)
        below = (values["predictions"] - values["lower"])[known]
        above = (values["upper"] - values["predictions"])[known]
        axes.errorbar(
            true[known],
            values["predictions"][known],
            yerr=np.maximum([below, above], 0),
            fmt="o",
            markersize=3,
            elinewidth=0.6,
            color="tab:blue",
            ecolor="0.75",
        )
        both = [
            min(true[known].min(initial=np.inf), values["predictions"][known].min(initial=np.inf)),
            max(true[known].max(initial=-np.inf), values["predictions"][known].max(initial=-np.inf)),
        ]
        axes.plot(both, both, color="0.4", linestyle="--", linewidth=1)
        axes.set_title(f"{name}, with {task.coverage:.0%} intervals", loc="left", fontsize=8)
        axes.set_xlabel("actual value", fontsize=8)
        axes.set_ylabel("prediction", fontsize=8)
        axes.tick_params(labelsize=7)
