"""Molecular properties on small data: targets with gaps, intervals, splits, sources, refusals and networks."""

import csv

import numpy as np
import pytest

import dlkit
from dlkit.data.read import read
from dlkit.errors import DataError, HparamError
from dlkit.lazy import tf
from dlkit.tasks.molecule_properties.decoding import ScaledSigmoid
from dlkit.tasks.molecule_properties.losses import MaskedTargetLoss
from dlkit.tasks.molecule_properties.metrics import roc_auc
from dlkit.tasks.molecule_properties.rows import split_groups

SMALL = {"width": 16, "depth": 2, "fingerprint_bits": 64, "max_atoms": 24, "epochs": 2, "batch_size": 16}


def chains(count=60):
    """Alkanes and alcohols with a size in atoms, a mass that is known for every third, and whether it is an alcohol."""
    smiles = ["C" * (1 + number % 15) + ("O" if number % 2 else "") + "C" * (number // 15) for number in range(count)]
    sizes = [float(len(text)) for text in smiles]
    return {
        "smiles": smiles,
        "size": sizes,
        "mass": [1000 + 12 * size if number % 3 == 0 else None for number, size in enumerate(sizes)],
    }


@pytest.fixture(scope="module")
def two_targets():
    task = dlkit.MoleculeProperties(**{**SMALL, "network": "fingerprint", "epochs": 60, "learning_rate": 5e-3})
    task.fit(chains(), verbose=0)
    return task


def test_targets_come_from_the_header(two_targets):
    assert list(two_targets.properties) == ["size", "mass"]
    assert set(two_targets.predict("CCO")) == {
        *(f"{name}{suffix}" for name in ("size", "mass") for suffix in ("", "_lower", "_upper", "_uncertainty")),
        "in_domain",
    }


def test_units_are_those_of_each_target(two_targets):
    data = chains()
    known = [value for value in data["mass"] if value is not None]
    assert two_targets.means_ == pytest.approx([np.mean(data["size"]), np.mean(known)], rel=0.1)
    answer = two_targets.predict("CCCCCCC")
    assert answer["size"] == pytest.approx(7, abs=3)
    assert answer["mass"] == pytest.approx(1084, abs=40)
    for name in ("size", "mass"):
        assert answer[f"{name}_lower"] < answer[name] < answer[f"{name}_upper"]
    # 12 units of mass an atom: its uncertainty is in these units, too.
    assert answer["mass_uncertainty"] > 2 * answer["size_uncertainty"]


def test_metrics_are_those_of_known_values(two_targets):
    metrics = two_targets.evaluate(chains())
    assert metrics["per_target"]["size"]["rows"] == 60
    assert metrics["per_target"]["mass"]["rows"] == 20
    assert metrics["r2"] == pytest.approx(np.mean([each["r2"] for each in metrics["per_target"].values()]))
    assert 0.6 < metrics["coverage"] <= 1


def test_missing_labels_have_no_gradient():
    loss = MaskedTargetLoss(labels_per_row=2.0, coverage=0.8)
    truth = tf.constant([[1.0, np.nan], [np.nan, np.nan]])
    outputs = tf.Variable(tf.random.stateless_normal((2, 3, 2, 3), [0, 1]))
    with tf.GradientTape() as tape:
        value = loss(truth, outputs)
    gradient = tape.gradient(value, outputs).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[0, :, 0] != 0).all()
    assert (gradient[0, :, 1] == 0).all() and (gradient[1] == 0).all()


def test_the_loss_by_hand():
    outputs = tf.constant([[[[0.0, 1.0, 4.0]]]])  # lower bound, mean, upper bound
    by_hand = (3 - 1) ** 2 + 0.1 * (3 - 0) + 0.1 * (4 - 3)
    assert float(MaskedTargetLoss(1.0, coverage=0.8)(tf.constant([[3.0]]), outputs)) == pytest.approx(by_hand)
    classes = MaskedTargetLoss(1.0, classification=True)
    assert float(classes(tf.constant([[1.0]]), tf.constant([[[[2.0]]]]))) == pytest.approx(np.log1p(np.exp(-2.0)))


def test_temperatures_temper_overconfident_scores():
    random = np.random.default_rng(0)
    logits = random.standard_normal((3000, 1, 1, 1))
    truth = (random.uniform(size=(3000, 1)) < 1 / (1 + np.exp(-logits[:, 0, :, 0]))).astype(float)
    layer = ScaledSigmoid(num_targets=1)
    layer.calibrate(4 * logits, truth)
    assert layer.temperature.numpy()[0] == pytest.approx(4, rel=0.25)


def test_auc_is_that_of_pairs():
    random = np.random.default_rng(0)
    true, scores = random.uniform(size=60) < 0.4, random.integers(0, 9, 60) / 8
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[true] for n in scores[~true]]
    assert roc_auc(true, scores) == pytest.approx(np.mean(pairs))
    assert np.isnan(roc_auc(np.array([True]), np.array([0.5])))


def test_similarity_to_the_training_data(two_targets):
    known, new = two_targets.predict(["CCCCO", "Fc1c(Br)c(I)c(S)nc1P"])
    assert known["in_domain"] > 0.6 > 0.4 > new["in_domain"]


def test_a_bad_row_in_a_batch_leaves_the_others(two_targets, tmp_path):
    rows = {"smiles": ["CCO", "C(", "CCCC", "C" * 30]}
    told = two_targets.predict_to(rows, tmp_path / "answers.csv", verbose=False)
    assert (told["predicted"], told["bad"]) == (2, 2)
    served = two_targets.served()["serving_default"].graph(smiles=tf.constant(rows["smiles"]))
    errors = [error.decode() for error in served["error"].numpy()]
    assert [bool(error) for error in errors] == [False, True, False, True]
    assert "30 atoms, at most 24" in errors[3]
    assert served["predictions"].numpy()[1].tolist() == [0.0, 0.0]
    alone = two_targets.predict(["CCO", "CCCC"])
    np.testing.assert_allclose(served["predictions"].numpy()[[0, 2], 0], [each["size"] for each in alone], rtol=1e-4)


def test_training_refuses_what_is_no_molecule_by_name(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("smiles,value\nCCO,1\nC1CC,2\nCCC,3\n" + "C" * 25 + ",4\n")
    task = dlkit.MoleculeProperties(**SMALL)
    with pytest.raises(
        DataError, match=r"2 of 4 rows.*line 3: not a valid SMILES: a ring number.*line 5: the molecule"
    ):
        task.fit(path, verbose=0)
    with pytest.raises(DataError, match="max_atoms"):
        task.fit(path, verbose=0)


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"uncertainty": "ensemble"}, "at least two networks"),
        ({"network": "transformer", "width": 10}, "multiple of 4"),
        ({"split": "column:"}, "column:NAME"),
        ({"split": "scafold"}, r'must be "random".*scafold'),
        ({"coverage": 1.0}, "at most 0.99"),
    ],
)
def test_hparams_that_cannot_be(hparams, message):
    with pytest.raises(HparamError, match=message):
        dlkit.MoleculeProperties(**hparams)


def test_columns_that_cannot_be():
    task = dlkit.MoleculeProperties(**SMALL)
    with pytest.raises(DataError, match="no column to predict"):
        task.read({"smiles": ["C", "CC"]})
    with pytest.raises(DataError, match="no column 'mass'"):
        dlkit.MoleculeProperties(**SMALL, targets="mass").read({"smiles": ["C", "CC"], "size": [1, 2]})
    with pytest.raises(DataError, match=r"column 'name'.*finite number"):
        dlkit.MoleculeProperties(**SMALL).fit({"smiles": ["C", "CC"], "name": ["methane", "ethane"]}, verbose=0)
    with pytest.raises(DataError, match="has no value"):
        dlkit.MoleculeProperties(**SMALL).fit({**chains(), "mass": [None] * 60}, verbose=0)


@pytest.mark.parametrize("name", ["mol", "canonical_smiles", "SMILES"])
def test_other_names_of_the_column(name):
    data = chains()
    task = dlkit.MoleculeProperties(**SMALL)
    rows = task.read({name: data["smiles"], "size": data["size"]})
    assert list(task.properties) == ["size"]
    assert rows.table.columns["smiles"] == data["smiles"]


@pytest.fixture
def rings():
    """Molecules of four ring systems, each with six substituents."""
    return [
        ring.replace("R", rest)
        for ring in ("c1ccccc1R", "C1CCCCC1R", "c1ccncc1R", "C1CCOCC1R")
        for rest in ("C", "CC", "O", "N", "Cl", "F")
    ]


def test_a_scaffold_is_in_one_part(rings):
    task = dlkit.MoleculeProperties(**SMALL, split="scaffold", validation_split=0.25)
    rows = task.read({"smiles": rings, "value": [*range(24)]}).cleaned()
    train, held_out = rows.hold_out(0.25)
    assert len(train) == 18 and len(held_out) == 6
    assert not {*train.table.columns["#scaffold"]} & {*held_out.table.columns["#scaffold"]}
    train, test = dlkit.split({"smiles": rings, "value": [*range(24)]}, task)
    assert not {*train.columns["#scaffold"]} & {*test.columns["#scaffold"]}


def test_a_molecule_is_in_one_part_whatever_its_smiles():
    smiles = ["CCO", "OCC", "C(O)C", *("C" * number for number in range(3, 20))]
    task = dlkit.MoleculeProperties(**SMALL)
    for seed in range(5):
        task.seed = seed
        _, held_out = task.read({"smiles": smiles, "value": [0.0] * 20}).cleaned().hold_out(0.3)
        assert len({"CCO", "OCC", "C(O)C"} & {*held_out.table.columns["smiles"]}) in (0, 3)


def test_a_column_names_the_parts():
    data = {"smiles": ["C" * number for number in range(1, 11)], "value": [*range(10)]}
    data["part"] = ["train"] * 6 + ["valid"] * 2 + ["test"] * 2
    task = dlkit.MoleculeProperties(**SMALL, split="column:part")
    train, test = dlkit.split(data, task)
    assert list(task.properties) == ["value"]
    assert (len(train), len(test)) == (8, 2)
    rest, held_out = task.read(data).cleaned().hold_out(0.1)
    assert (len(rest), len(held_out)) == (6, 2)
    assert "2 rows that the column 'part'" in rest.table.remarks[0]
    (rest, held_out), every = task.read(data).cleaned().hold_out(0.0), task.read(data).cleaned().to_train()
    assert (len(rest), held_out, len(every)) == (6, None, 8)
    assert "4 rows that the column 'part' does not name train are" in rest.table.remarks[0]


@pytest.mark.slow
def test_no_row_named_test_is_trained_on_in_any_training(monkeypatch):
    data = {**chains(40), "part": ["train"] * 24 + ["valid"] * 8 + ["test"] * 8}
    hparams = {**SMALL, "network": "fingerprint", "targets": "size", "split": "column:part"}
    refitted = dlkit.MoleculeProperties(**hparams, refit=True)
    refitted.fit(data, verbose=0)
    assert refitted.fingerprint_["rows"] == 32
    assert refitted.means_ == pytest.approx([np.mean(data["size"][:32])])
    assert sum("8 rows that the column 'part' does not name" in remark for remark in refitted.report_["remarks"]) == 1
    # Separate validation rows are named, too.
    parts = [{name: values[start : start + 20] for name, values in data.items()} for start in (0, 20)]
    refitted = dlkit.MoleculeProperties(**hparams, refit=True)
    refitted.fit(*parts, verbose=0)
    assert refitted.fingerprint_["rows"] == 32
    assert "8 rows that the column 'part' does not name train or valid are left out" in refitted.report_["remarks"]
    seen = []
    monkeypatch.setattr(
        "dlkit.training.find_learning_rate.find_learning_rate", lambda task, rows, *_: seen.append(len(rows)) or 1e-3
    )
    dlkit.MoleculeProperties(**hparams).find_learning_rate(data)
    assert seen == [32]


@pytest.mark.slow
def test_the_second_training_reads_random_smiles_too():
    task = dlkit.MoleculeProperties(**SMALL, network="cnn", random_smiles=2, refit=True, targets="size")
    task.fit(chains(20), verbose=0)
    assert task.fingerprint_["rows"] == 20 * 3


def test_a_column_names_groups():
    data = {"smiles": ["C" * number for number in range(1, 13)], "value": [*range(12)], "batch": [*"aaabbbcccddd"]}
    task = dlkit.MoleculeProperties(**SMALL, split="column:batch")
    rest, held_out = task.read(data).cleaned().hold_out(0.25)
    assert not {*rest.table.columns["batch"]} & {*held_out.table.columns["batch"]}
    assert len(held_out) == 3


def test_groups_are_not_torn_and_large_ones_stay():
    held_out = split_groups(["large"] * 50 + [f"small {number}" for number in range(50)], 0.2, seed=1)
    assert len(held_out) == 20 and min(held_out) >= 50


def test_duplicates_are_counted_across_writings():
    data = {"smiles": ["CCO", "OCC", "c1ccccc1", "C1=CC=CC=C1", "CCC"], "value": [1.0, 2.0, 3.0, 3.0, 4.0]}
    report = dlkit.MoleculeProperties(**SMALL, validation_split=0.0).check(data)
    assert any("2 rows repeat a molecule" in warning for warning in report["warnings"])
    assert any("1 molecules have several values of 'value'" in warning for warning in report["warnings"])
    report = dlkit.MoleculeProperties(**SMALL).check(
        {"smiles": ["CCO", "CC"], "value": [1, 2]}, {"smiles": ["OCC"], "value": [1]}
    )
    assert any("1 of 1 validation rows are molecules of the training data" in warning for warning in report["warnings"])


def test_faults_of_targets_are_found():
    data = {"smiles": ["C" * number for number in range(1, 9)], "value": [1.0] * 8}
    report = dlkit.MoleculeProperties(**SMALL).check(data)
    assert any("all values of 'value' are 1" in warning for warning in report["warnings"])
    report = dlkit.MoleculeProperties(**SMALL).check({"smiles": data["smiles"], "id": [*range(7, 15)]})
    assert any("'id' numbers the rows" in warning for warning in report["warnings"])


def test_targets_that_give_each_other_away_are_found():
    data = chains()
    nanomolar = [10.0 ** (number * 7 % 60 / 10) for number in range(60)]
    data["mass"] = [number * 37 % 60 for number in range(60)]
    columns = {"nanomolar": nanomolar, "potency": [round(9 - np.log10(value), 3) for value in nanomolar]}
    report = dlkit.MoleculeProperties(**SMALL, validation_split=0.0).check({**data, **columns})
    found = [warning for warning in report["warnings"] if "rank the molecules alike" in warning]
    assert len(found) == 1
    assert found[0].startswith("1 pairs of targets")
    assert "'nanomolar' and 'potency'" in found[0]
    report = dlkit.MoleculeProperties(**SMALL, targets="size,potency").check({**data, **columns})
    assert not any("alike" in warning for warning in report["warnings"])


def test_classification_with_gaps():
    data = chains()
    labels = {
        "alcohol": ["O" in text for text in data["smiles"]],
        "long": ["1" if len(text) > 9 else "" if len(text) == 9 else "0" for text in data["smiles"]],
    }
    hparams = {**SMALL, "network": "fingerprint", "epochs": 60, "learning_rate": 5e-3}
    task = dlkit.MoleculeProperties(**hparams, objective="classification")
    task.fit({"smiles": data["smiles"], **labels}, verbose=0)
    metrics = task.evaluate({"smiles": data["smiles"], **labels})
    assert metrics["auc"] > 0.9 > metrics["baseline_auc"] == 0.5
    assert metrics["per_target"]["long"]["rows"] < 60
    answer = task.predict("CCCCCCCCCCO")
    assert answer["alcohol"] > 0.5 and answer["long"] > 0.5
    assert set(answer) == {"alcohol", "long", "in_domain"}
    with pytest.raises(DataError, match="true or false"):
        task.evaluate({"smiles": ["C"], "alcohol": [2], "long": [1]})


@pytest.mark.parametrize(
    "network", ["mpnn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("transformer", "gru", "cnn"))]
)
def test_every_network_learns_the_number_of_atoms(network):
    data = chains()
    hparams = {**SMALL, "network": network, "epochs": 60, "learning_rate": 5e-3, "targets": "size", "dropout": 0.0}
    task = dlkit.MoleculeProperties(**hparams)
    task.fit(data, verbose=0)
    assert task.evaluate(data)["r2"] > 0.8


def test_random_smiles_are_of_the_training_rows_alone():
    data = {"smiles": ["CCO", "CC(C)O", "CCCN", "c1ccccc1C"] * 3, "value": [1.0] * 12}
    task = dlkit.MoleculeProperties(**SMALL, network="cnn", random_smiles=2)
    train, held_out = task.read(data).cleaned().hold_out(0.25)
    encoded = train.to_encode()
    assert len(encoded) == 3 * len(train)
    assert encoded.columns["smiles"][: len(train)] == train.table.columns["smiles"]
    assert len({*encoded.columns["smiles"]}) > 4
    assert encoded.columns["value"] == train.table.columns["value"] * 3
    assert len(held_out.to_encode()) == len(held_out)
    graphs = dlkit.MoleculeProperties(**SMALL, random_smiles=2)
    train, _ = graphs.read(data).cleaned().hold_out(0.25)
    assert len(train.to_encode()) == len(train)


@pytest.mark.slow
def test_an_ensemble_gives_intervals_by_disagreement():
    task = dlkit.MoleculeProperties(
        **{**SMALL, "network": "fingerprint", "epochs": 20}, uncertainty="ensemble", ensemble_size=3, targets="size"
    )
    task.fit(chains(), verbose=0)
    answer = task.predict("CCCC")
    assert answer["size_lower"] < answer["size"] < answer["size_upper"]
    assert task.stages_.network.output["outputs"].shape == (None, 3, 1, 1)


@pytest.mark.slow
def test_a_refitted_model_keeps_the_calibration_of_the_first_run():
    task = dlkit.MoleculeProperties(
        **{**SMALL, "network": "fingerprint", "validation_split": 0.4}, refit=True, targets="size"
    )
    task.fit(chains(), verbose=0)
    factors = task.selection_["calibration"]["factors"]
    assert task.calibration_["rows"][0] >= 20
    layer = task.stages_.postprocess.get_layer("conformal_intervals")
    np.testing.assert_allclose(layer.factors.numpy(), factors, rtol=1e-6)


def test_the_calibration_is_saved(two_targets, tmp_path):
    two_targets.save(tmp_path / "m")
    loaded = dlkit.load(tmp_path / "m")
    assert loaded.calibration_ == two_targets.calibration_
    assert loaded.predict("CCCC") == two_targets.predict("CCCC")


def test_smi_files(two_targets, tmp_path):
    path = tmp_path / "names.smi"
    path.write_text("CCO ethanol\n\nCCC\tpropane\n".replace("\t", " "))
    table = read(path, two_targets.inputs)
    assert table.columns["smiles"] == ["CCO", "CCC"]
    assert table.where(1) == f"{path}, line 3"
    assert len(two_targets.predict(str(path))) == 2
    titled = tmp_path / "values.smi"
    titled.write_text("smiles\tsize\tnote\nCCO\t3\ta b\nCCC\t\t\n")
    task = dlkit.MoleculeProperties(**SMALL, targets="size")
    rows = task.read(titled).table
    assert rows.columns["size"] == ["3", ""]
    assert rows.raw(0, task.target)["size"] == 3


def test_sdf_files_need_rdkit(two_targets, tmp_path):
    path = tmp_path / "structures.sdf"
    try:
        from rdkit import Chem
    except ImportError:
        path.write_text("no structure\n")
        with pytest.raises(dlkit.DlkitError, match="needs RDKit: pip install"):
            read(path, two_targets.inputs)
        return
    with Chem.SDWriter(str(path)) as writer:
        for smiles, size in (("CCO", "3"), ("C1=CC=CC=C1", None)):
            molecule = Chem.MolFromSmiles(smiles)
            if size:
                molecule.SetProp("size", size)
            writer.write(molecule)
    task = dlkit.MoleculeProperties(**SMALL)
    rows = task.read(path).table
    assert list(task.properties) == ["size"]
    assert rows.columns["smiles"] == ["CCO", "c1ccccc1"]
    assert rows.columns["size"] == ["3", ""]
    assert rows.where(1) == f"{path}, record 2"


def test_the_sample_has_no_molecule_twice():
    parts = dlkit.MoleculeProperties.samples()
    assert [len(part["smiles"]) for part in parts.values()] == [159, 53, 52]
    task = dlkit.MoleculeProperties()
    every = {name: [value for part in parts.values() for value in part[name]] for name in parts["train"]}
    rows = task.read(every).cleaned()
    assert len({*rows.table.columns["#molecule"]}) == 264
    assert min(every["boiling_point"]) == -128.0 and max(every["boiling_point"]) < 300


def test_errors_of_rows_in_a_file(two_targets, tmp_path):
    two_targets.evaluate(chains(), predictions=tmp_path / "answers.csv")
    with (tmp_path / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["error_size"]) == pytest.approx(float(rows[0]["size"]) - float(rows[0]["true_size"]), abs=1e-4)
    assert rows[1]["true_mass"] == rows[1]["error_mass"] == ""
