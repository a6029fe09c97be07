"""Molecular properties on the data set physchem: logP, melting, boiling and flash points of 14,376 molecules.

python benchmarks/molecules.py parse      [--rows N]
python benchmarks/molecules.py accuracy   [HPARAM=VALUE ...] [--minutes M] [--seeds 0 1 2] [--held-out] [--peers PYTHON]
python benchmarks/molecules.py throughput [HPARAM=VALUE ...] [--pairs N]
python benchmarks/molecules.py latency

`parse` measures molecules a second from SMILES to graphs and fingerprints, in batches of 64 in the order of the file,
and compares elements, charges, hydrogens, bonds, written orders and rings with RDKit's, and the graphs of several
SMILES of each molecule with one another. It needs RDKit. `accuracy` trains on scaffolds and prints RMSE and the
coverage of the 90 % intervals on the test scaffolds; with `--held-out`, on a fifth of the training scaffolds, on which
hyperparameters are chosen. `--peers` is the Python of an environment with RDKit and
lightgbm, which runs `molecule_peers.py`: LightGBM on counts of Morgan fingerprints, and on RDKit's descriptors.
`throughput` compares training rows a second with `keras.Model.fit` of the same network on the same batches, and on
batches of molecules of any size, which have more padding. `latency` is that of one molecule.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from machine import DATA, print_machine
from timing import hparams_of, median_ms

import dlkit
from dlkit.tasks.molecule_properties.featurization import MoleculeFeatures
from dlkit.tasks.molecule_properties.smiles_graph import AROMATIC, DOUBLE, SINGLE, TRIPLE, UNWRITTEN, parse
from dlkit.tasks.molecule_properties.smiles_tokens import tokenize

TARGETS = ("logP", "melting_K", "boiling_K", "flash_K")
BATCH = 64
PEERS = Path(__file__).with_name("molecule_peers.py")
TRAIN, TEST = (DATA / "physchem" / f"{part}.csv" for part in ("train", "test"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("parse", "accuracy", "throughput", "latency"))
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--peers", metavar="PYTHON", help="Python with RDKit and lightgbm")
    given = parser.parse_intermixed_args()
    print_machine()
    hparams = hparams_of(given.hparams)
    if given.what == "parse":
        measure_parsing(read_smiles()[: given.rows])
    elif given.what == "accuracy":
        measure_accuracy(hparams, given.minutes, given.seeds, given.held_out)
        for peer in ("morgan", "descriptors") if given.peers else ():
            subprocess.run([given.peers, str(PEERS), peer, str(TRAIN), str(TEST)], check=True)
    elif given.what == "throughput":
        measure_throughput(hparams, given.pairs)
    else:
        measure_latency(hparams)


def read_smiles() -> list[str]:
    rows = []
    for path in (TRAIN, TEST):
        with path.open() as file:
            rows += [row["smiles"] for row in csv.DictReader(file)]
    return rows


def measure_parsing(rows: list[str]) -> None:
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")
    layer = MoleculeFeatures(max_atoms=200, fingerprint_bits=1024)
    text = tf.TensorSpec([None], tf.string)
    features = tf.function(lambda smiles: layer(smiles), autograph=False).get_concrete_function(text)
    features(tf.constant(rows[:BATCH]))
    for name, run in (
        ("SMILES to graphs, fingerprints and tokens", lambda part: features(tf.constant(part))),
        ("RDKit, SMILES to molecules", lambda part: [Chem.MolFromSmiles(smiles) for smiles in part]),
    ):
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(rows), BATCH):
            run(rows[start : start + BATCH])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{name}: {len(rows) / wall:,.0f} molecules/s, {len(rows) / cpu:,.0f} a CPU second")
    differ = [smiles for start in range(0, len(rows), BATCH) for smiles in compare(rows[start : start + BATCH], Chem)]
    print(f"equal to RDKit: {len(rows) - len(differ):,} of {len(rows):,}; {differ[:5]}")
    molecules = [Chem.MolFromSmiles(smiles) for smiles in rows]
    describe = tf.function(layer.describe, autograph=False).get_concrete_function(text)
    keys = keys_of(describe, rows)
    for name, write in (
        ("aromatic, canonical", Chem.MolToSmiles),
        ("Kekulé", to_kekule),
        ("random", lambda molecule: Chem.MolToRandomSmilesVect(molecule, 1, randomSeed=1)[0]),
        ("explicit hydrogens", lambda molecule: Chem.MolToSmiles(Chem.AddHs(molecule))),
    ):
        others = [write(molecule) for molecule in molecules]
        pairs = zip(rows, others, keys, keys_of(describe, others), strict=True)
        wrong = [(first, second) for first, second, key, other in pairs if key != other]
        print(f"one graph with the SMILES as given, {name}: {len(rows) - len(wrong):,} of {len(rows):,}; {wrong[:3]}")


def to_kekule(molecule: Any) -> str:
    from rdkit import Chem

    copy = Chem.Mol(molecule)
    Chem.Kekulize(copy, clearAromaticFlags=True)
    return Chem.MolToSmiles(copy, kekuleSmiles=True, canonical=False)


def keys_of(describe: Any, rows: list[str]) -> list[int]:
    made = [describe(tf.constant(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH)]
    return np.concatenate([each["molecule"].numpy() for each in made]).tolist()


def compare(rows: list[str], chem: Any) -> list[str]:
    """Return the SMILES whose atoms or bonds differ from RDKit's."""
    tokens, errors = tokenize(tf.constant(rows))
    atoms, bonds, _ = parse(tokens, errors)
    row, element, _, charge, hydrogens, *_ = (each.numpy() for each in atoms)
    begin, end, order, _, ring, *_ = (each.numpy() for each in bonds)
    types = {
        SINGLE: chem.BondType.SINGLE,
        DOUBLE: chem.BondType.DOUBLE,
        TRIPLE: chem.BondType.TRIPLE,
        AROMATIC: chem.BondType.AROMATIC,
    }
    options = chem.SmilesParserParams()
    options.removeHs = False
    wrong = []
    for number, smiles in enumerate(rows):
        written, molecule = chem.MolFromSmiles(smiles, sanitize=False), chem.MolFromSmiles(smiles, options)
        own = np.flatnonzero(row == number)
        first = own[0]
        of_row = row[begin] == number
        ours = {
            (min(pair), max(pair)): (kind, in_ring)
            for *pair, kind, in_ring in zip(
                begin[of_row] - first, end[of_row] - first, order[of_row], ring[of_row], strict=True
            )
        }
        theirs = {tuple(sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))): bond for bond in written.GetBonds()}
        same = element[own].tolist() == [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
        same = same and charge[own].tolist() == [atom.GetFormalCharge() for atom in written.GetAtoms()]
        same = same and hydrogens[own].tolist() == [atom.GetTotalNumHs() for atom in molecule.GetAtoms()]
        same = same and ours.keys() == theirs.keys()
        same = same and all(
            (kind == UNWRITTEN or theirs[pair].GetBondType() == types[kind])
            and bool(in_ring) == molecule.GetBondBetweenAtoms(int(pair[0]), int(pair[1])).IsInRing()
            for pair, (kind, in_ring) in ours.items()
        )
        if not same:
            wrong.append(smiles)
    return wrong


def measure_accuracy(hparams: dict[str, Any], minutes: float, seeds: list[int], held_out: bool) -> None:
    found: dict[str, list[float]] = {}
    for seed in seeds:
        task = dlkit.MoleculeProperties(**{"split": "scaffold", "max_atoms": 150, **hparams, "seed": seed})
        started = time.perf_counter()
        train, test = dlkit.split(str(TRAIN), task) if held_out else (str(TRAIN), str(TEST))
        task.fit(train, minutes=minutes, verbose=0)
        seconds = time.perf_counter() - started
        metrics = task.evaluate(test)
        for name, each in metrics["per_target"].items():
            for key in ("rmse", "mae", "coverage", "interval_width"):
                found.setdefault(f"{name} {key}", []).append(each[key])
        found.setdefault("coverage", []).append(metrics["coverage"])
        found.setdefault("seconds", []).append(seconds)
        print(f"seed {seed}: {task.plan_['steps']} steps, best epoch {task.best_epoch_['epoch']}", flush=True)
    for name, values in found.items():
        print(f"{name}: {statistics.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})")


def measure_throughput(hparams: dict[str, Any], pairs: int) -> None:
    from dlkit.training.batches import make_batches, make_order
    from dlkit.training.order import Order
    from dlkit.training.prepare import build_task, encode_rows

    task = dlkit.MoleculeProperties(**{"max_atoms": 150, "epochs": 1, "validation_split": 0.0, **hparams})
    rows = task.read(str(TRAIN)).cleaned()
    build_task(task, rows)
    store, _ = encode_rows(task, rows, None, quiet=True)
    orders = (make_order(task, store, tf.distribute.get_strategy()), Order(store.rows, task.batch_size, task.seed))
    ratios = []
    for _ in range(pairs):
        times: list[float] = []
        for order in orders:
            network = tf.keras.models.clone_model(task.stages_.network)
            network.compile("adamw", loss=task.loss(), jit_compile=False)  # XLA would compile each padded shape
            batches = make_batches(task, store, order, order.steps)(0).take(order.steps)
            network.fit(batches, epochs=1, verbose=0, callbacks=[Clock(times)])
        task.fit(rows.table, verbose=0, callbacks=[Clock(times)])
        same, random, own = (store.rows / seconds for seconds in times)
        ratios.append((own / same, own / random))
        print(
            f"dlkit {own:,.0f} rows/s, plain Keras {same:,.0f} rows/s: {own / same:.2f}; with molecules of any size "
            f"in a batch {random:,.0f} rows/s: {own / random:.2f}",
            flush=True,
        )
    print("median ratios " + ", ".join(f"{statistics.median(column):.2f}" for column in zip(*ratios, strict=True)))


class Clock(tf.keras.callbacks.Callback):
    """Adds the seconds of each epoch after its first three steps, scaled to the whole epoch, to a list."""

    def __init__(self, times: list[float]):
        super().__init__()
        self.times = times

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.batch = batch
        if batch == 3:
            self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        steps = self.batch + 1
        self.times.append((time.perf_counter() - self.started) * steps / (steps - 3))


def measure_latency(hparams: dict[str, Any]) -> None:
    task = dlkit.MoleculeProperties(**{"epochs": 1, **hparams})
    task.fit(task.samples()["train"], verbose=0)
    graph = task.served()["serving_default"].graph
    for name, smiles in (("ethanol", "CCO"), ("aspirin", "CC(=O)Oc1ccccc1C(=O)O"), ("50 carbons", "C" * 50)):
        for what, run in (
            ("predict", lambda smiles=smiles: task.predict(smiles)),
            ("signature", lambda smiles=smiles: graph(smiles=tf.constant([smiles]))),
        ):
            print(f"{name}, {what}: median {median_ms(run, 100):.2f} ms")


if __name__ == "__main__":
    main()
