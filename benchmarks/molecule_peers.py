"""Peers of `molecules.py accuracy`, run by a Python with their packages, which need not be that of dlkit.

PYTHON benchmarks/molecule_peers.py morgan|descriptors TRAIN.csv TEST.csv       # RDKit and lightgbm
PYTHON benchmarks/molecule_peers.py chemprop TRAIN.csv TEST.csv [--epochs 50]   # chemprop

The files have a column `smiles` and one column for each target, with empty cells where a value is unknown. LightGBM has
one model for each target and stops early on a tenth of the training scaffolds, as dlkit does. chemprop has one network
for all targets, with its default options and a scaffold split of the training rows. Both print the RMSE on the test
rows.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("morgan", "descriptors", "chemprop"))
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--epochs", type=int, default=50)
    given = parser.parse_args()
    started = time.perf_counter()
    if given.peer == "chemprop":
        run_chemprop(given.train, given.test, given.epochs)
    else:
        run_lightgbm(given.peer, given.train, given.test)
    print(f"{given.peer}: {time.perf_counter() - started:.0f} s")


def read(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the SMILES and, by target, (rows,) values, NaN where unknown."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    targets = [name for name in rows[0] if name != "smiles"]
    values = {name: np.array([float(row[name] or "nan") for row in rows]) for name in targets}
    return [row["smiles"] for row in rows], values


def print_rmse(peer: str, name: str, true: np.ndarray, predicted: np.ndarray) -> None:
    known = np.isfinite(true)
    rmse = float(np.sqrt(np.mean((true[known] - predicted[known]) ** 2)))
    print(f"{peer}, {name} rmse: {rmse:.3f} ({known.sum()} rows)", flush=True)


def run_lightgbm(peer: str, train: Path, test: Path) -> None:
    import lightgbm
    from rdkit import RDLogger
    from rdkit.Chem import MolFromSmiles
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    RDLogger.DisableLog("rdApp.*")
    (smiles, values), (test_smiles, test_values) = read(train), read(test)
    molecules, test_molecules = ([MolFromSmiles(each) for each in part] for part in (smiles, test_smiles))
    started = time.perf_counter()
    x, test_x = describe(peer, molecules), describe(peer, test_molecules)
    print(f"{peer}: {x.shape[1]} features, computed in {time.perf_counter() - started:.0f} s", flush=True)
    scaffolds = np.array([MurckoScaffoldSmiles(mol=molecule) for molecule in molecules])
    order = np.random.default_rng(0).permutation(np.unique(scaffolds))
    held_out = np.isin(scaffolds, order[: len(order) // 10])
    for name, y in values.items():
        known = np.isfinite(y)
        model = lightgbm.LGBMRegressor(n_estimators=3000, learning_rate=0.05, verbose=-1, random_state=0, n_jobs=1)
        fit, check = known & ~held_out, known & held_out
        stopping = lightgbm.early_stopping(100, verbose=False)
        model.fit(x[fit], y[fit], eval_set=[(x[check], y[check])], callbacks=[stopping])
        print_rmse(f"LightGBM on {peer}", name, test_values[name], model.predict(test_x))


def describe(peer: str, molecules: list) -> np.ndarray:
    """Return the features of molecules, (rows, features) float32."""
    if peer == "morgan":
        from rdkit.Chem import rdFingerprintGenerator

        generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
        return np.stack([generator.GetCountFingerprintAsNumPy(each) for each in molecules]).astype(np.float32)
    from rdkit.Chem import Descriptors

    rows = [list(Descriptors.CalcMolDescriptors(each, missingVal=np.nan).values()) for each in molecules]
    with np.errstate(over="ignore"):
        values = np.array(rows, np.float64).astype(np.float32)
    return np.where(np.isfinite(values), values, np.nan)


def run_chemprop(train: Path, test: Path, epochs: int) -> None:
    command = Path(sys.executable).with_name("chemprop")
    _, true = read(test)
    with tempfile.TemporaryDirectory() as folder:
        options = ["--split-type", "SCAFFOLD_BALANCED", "--split-sizes", "0.9", "0.1", "0.0", "--epochs", str(epochs)]
        common = ["--num-workers", "0", "--accelerator", "cpu"]
        columns = ["--smiles-columns", "smiles", "--target-columns", *true]
        fit = [str(command), "train", "--data-path", str(train), *columns, "--output-dir", folder, *options, *common]
        subprocess.run(fit, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        out = Path(folder, "predictions.csv")
        run = [str(command), "predict", "--test-path", str(test), "--smiles-columns", "smiles"]
        models = ["--model-paths", str(Path(folder, "model_0", "best.pt")), "--preds-path", str(out)]
        subprocess.run([*run, *models, *common], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, predicted = read(out)
    for name, values in true.items():
        print_rmse(f"chemprop, {epochs} epochs", name, values, predicted[name])


if __name__ == "__main__":
    main()
