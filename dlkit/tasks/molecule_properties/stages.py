"""The stages of a predictor of molecular properties: what is learned from training rows, and the calibration."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.data.split import evenly_spaced
from dlkit.data.table import Table
from dlkit.lazy import keras, tf
from dlkit.regression.conformal import ConformalIntervals
from dlkit.stages import Stages
from dlkit.tasks.molecule_properties.decoding import (
    CombineMembers,
    RestoreUnits,
    ScaledSigmoid,
    TargetNames,
    TrainingSimilarity,
)
from dlkit.tasks.molecule_properties.featurization import MoleculeFeatures
from dlkit.tasks.molecule_properties.networks import (
    NetworkSpec,
    fingerprint_network,
    message_passing_network,
    sequence_network,
)

if TYPE_CHECKING:
    from dlkit.tasks.molecule_properties.task import MoleculeProperties
    from dlkit.training.store import Store

MAX_REFERENCES = 2000  # training molecules that the similarity is computed to: one matrix product
BATCH_ROWS = 256  # molecules whose fingerprints are computed together


def build_stages(task: MoleculeProperties, examples: Table) -> Stages:
    """Learn the scales of the targets and the training fingerprints, and build the three models."""
    values = np.array(
        [examples.raw_column(name, column) for name, column in task.properties.items()], np.float64
    ).T.reshape(len(examples), -1)
    known = np.isfinite(values)
    task.means_, task.deviations_ = [0.0] * values.shape[1], [1.0] * values.shape[1]
    for target in range(values.shape[1] if task.objective == "regression" else 0):
        measured = values[known[:, target], target]
        if len(measured):
            task.means_[target] = float(measured.mean())
            task.deviations_[target] = float(measured.std()) or 1.0
    task.label_fraction_ = max(float(known.mean()), 1e-6)
    features = MoleculeFeatures(
        task.max_atoms, task.fingerprint_bits, task.fragments == "largest", name="molecule_features"
    )
    network = _build_network(task, features)
    smiles = keras.Input((), dtype="string", name="smiles")
    made = features(smiles)
    wanted = {**{name: made[name] for name in network.input}, "fingerprint": made["fingerprint"]}
    preprocess = keras.Model({"smiles": smiles}, {**wanted, "error": made["error"]}, name="preprocess")
    return Stages(preprocess, network, _build_postprocess(task, network, features, examples))


def _build_network(task: MoleculeProperties, features: MoleculeFeatures) -> keras.Model:
    spec = NetworkSpec(
        num_targets=len(task.properties),
        intervals=task.objective == "regression" and task.uncertainty == "quantiles",
        width=task.width,
        depth=task.depth,
        dropout=task.dropout,
        ensemble_size=task.ensemble_size,
    )
    if task.network == "mpnn":
        return message_passing_network(spec)
    if task.network == "fingerprint":
        return fingerprint_network(spec, features.fingerprint_bits)
    return sequence_network(spec, task.network)


def _build_postprocess(
    task: MoleculeProperties, network: keras.Model, features: MoleculeFeatures, examples: Table
) -> keras.Model:
    from dlkit.layers.blank_invalid_rows import blank_invalid_rows

    outputs = keras.Input(network.output["outputs"].shape[1:], name="outputs")
    fingerprint = keras.Input((features.fingerprint_bits,), dtype="uint8", name="fingerprint")
    answer = {"targets": TargetNames([*task.properties], name="target_names")(fingerprint)}
    count = len(task.properties)
    factors = task.selection_.get("calibration", {}).get("factors")  # of a model that is refitted on all rows
    if task.objective == "classification":
        sigmoid = ScaledSigmoid(count, name="scaled_sigmoid")
        answer["scores"] = sigmoid(outputs)
        if factors:
            sigmoid.set_temperatures(factors)
    else:
        center, below, above = CombineMembers(get_z(task.coverage), name="combine_members")(outputs)
        intervals = ConformalIntervals(count, name="conformal_intervals")
        lower, upper = intervals(center, below, above)
        if factors:
            intervals.set_factors(factors)
        restore = RestoreUnits(task.means_, task.deviations_, name="restore_units")
        answer |= {
            "predictions": restore(center),
            "lower": restore(lower),
            "upper": restore(upper),
            "uncertainty": restore((upper - lower) / (2 * get_z(task.coverage)), distance=True),
        }
    references = _reference_fingerprints(features, examples)
    similarity = TrainingSimilarity(len(references), features.fingerprint_bits, name="training_similarity")
    answer["in_domain"] = similarity(fingerprint)
    similarity.set_references(references)
    inputs = {"outputs": outputs, "fingerprint": fingerprint}
    return blank_invalid_rows(keras.Model(inputs, answer, name="postprocess"))


def get_z(coverage: float) -> float:
    """Return the half-width of the central interval of a normal distribution, in standard deviations.

    Examples:
        >>> round(get_z(0.9), 3)
        1.645
    """
    return NormalDist().inv_cdf((1 + coverage) / 2)


def _reference_fingerprints(features: MoleculeFeatures, examples: Table) -> np.ndarray:
    """Return the fingerprints of up to 2,000 training molecules, evenly spaced, (molecules, bits)."""
    rows = evenly_spaced(len(examples), MAX_REFERENCES)
    texts = [examples.columns["smiles"][row] for row in rows]
    run = tf.function(lambda smiles: features(smiles)["fingerprint"], autograph=False)
    run = run.get_concrete_function(tf.TensorSpec([None], tf.string))
    made = [run(tf.constant(texts[start : start + BATCH_ROWS])) for start in range(0, len(texts), BATCH_ROWS)]
    return np.concatenate([np.asarray(each) for each in made])


def calibrate(task: MoleculeProperties, store: Store) -> dict[str, Any]:
    """Calibrate the postprocessing on encoded validation rows.

    Args:
        task: trained.
        store: the encoded rows.

    Returns:
        Dict of `factors` (of intervals, or temperatures) and the number of `rows` of each target.
    """
    from dlkit.training.run_network import run_network

    made, targets = run_network(task.stages_.network, store)
    outputs, true = made["outputs"], targets["outputs"]
    get_layer = task.stages_.postprocess.get_layer
    found: dict[str, Any]
    if task.objective == "classification":
        found = get_layer("scaled_sigmoid").calibrate(outputs, true)
    else:
        spread = (each.numpy() for each in get_layer("combine_members")(outputs))
        found = get_layer("conformal_intervals").calibrate(*spread, true, task.coverage)
    return found
