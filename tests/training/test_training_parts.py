"""The parts around `fit`: rows, their order, schedules, freezing, metrics, weights."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.classification.labels import compute_label_weights, encode_labels, weigh_rows
from dlkit.classification.metrics import score_multi, score_single
from dlkit.columns import Label
from dlkit.data.table import Table
from dlkit.errors import DataError, HparamError
from dlkit.stages import chain
from dlkit.training import store as store_module
from dlkit.training.freeze import freeze, list_weighted_layers, make_unfreezing_callback
from dlkit.training.optimizer import make_optimizer, make_schedule
from dlkit.training.order import Order, make_ordered_batches, make_training_batches, steps_per_epoch
from dlkit.training.store import Store


def filled(rows, memory_mb, width=3):
    store = Store(rows, memory_mb)
    values = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
    for start in range(0, rows, 4):
        store.append(({"x": values[start : start + 4]}, np.arange(rows)[start : start + 4]))
    return store, values


@pytest.mark.parametrize("memory_mb", [1, 0])
def test_rows_come_back_from_memory_and_from_disk(memory_mb):
    store, values = filled(10, memory_mb)
    assert store.on_disk == (memory_mb == 0)
    tensors, target = store.take(tf.constant([7, 0, 7], tf.int64))
    np.testing.assert_array_equal(tensors["x"], values[[7, 0, 7]])
    np.testing.assert_array_equal(target, [7, 0, 7])
    assert store.fingerprint() == filled(10, 1)[0].fingerprint() != filled(9, 1)[0].fingerprint()


def test_a_full_disk_is_said(monkeypatch):
    def full(path, mode):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.Path, "open", full)
    with pytest.raises(DataError, match=r"disk of .* is full.*TMPDIR"):
        filled(10, 0)


def order_of(store, first_step=0, seed=3, epochs=3, batch_size=4, **options):
    order = Order(store.rows, batch_size, seed, **options)
    dataset = make_training_batches(
        store, order, steps=epochs * order.steps, first_step=first_step, finish=lambda row, rows, step: row[1]
    )
    return [batch.numpy().tolist() for batch in dataset]


def test_each_epoch_holds_every_row_once_in_an_order_of_its_own():
    store, _ = filled(10, 1)
    steps = steps_per_epoch(10, 4)
    batches = order_of(store)
    assert [len(batch) for batch in batches] == [3, 3, 4] * 3
    epochs = [list(itertools.chain(*batches[start : start + steps])) for start in range(0, 9, steps)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert order_of(store, seed=4) != batches


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 7, 9, 10, 11])
def test_batches_are_of_one_size_or_differ_by_a_row(batch_size):
    store, _ = filled(10, 1)
    batches = order_of(store, epochs=1, batch_size=batch_size)
    sizes = [len(batch) for batch in batches]
    assert len(sizes) == -(-10 // batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert sorted(itertools.chain(*batches)) == list(range(10))


@pytest.mark.parametrize(("multiple", "size"), [(1, 4), (2, 4), (3, 6)])
def test_batches_of_fixed_size_borrow_rows(multiple, size):
    store, _ = filled(10, 1)
    batches = order_of(store, multiple=multiple)
    assert [len(batch) for batch in batches] == [size] * 9
    assert all(len(set(batch)) == size for batch in batches)
    for epoch in range(3):
        assert set(itertools.chain(*batches[3 * epoch : 3 * epoch + 3])) == set(range(10))
    assert Order(10, 4, 3, multiple=multiple).fixed_size
    assert not Order(10, 4, 3).fixed_size


@pytest.mark.parametrize("options", [{}, {"multiple": 2}, {"lengths": np.arange(10) % 4}])
@pytest.mark.parametrize("first_step", [1, 3, 8])
def test_the_order_can_start_at_any_step(first_step, options):
    store, _ = filled(10, 1)
    assert order_of(store, first_step, **options) == order_of(store, **options)[first_step:]


def test_rows_of_like_length_share_a_batch():
    store, _ = filled(99, 1)
    lengths = np.random.default_rng(0).integers(1, 50, 99)
    got = order_of(store, epochs=2, lengths=lengths)
    assert len(got) == 50
    assert sorted({len(batch) for batch in got}) == [3, 4]
    for epoch in (got[:25], got[25:]):
        assert sorted(itertools.chain(*epoch)) == list(range(99))
    assert {frozenset(batch) for batch in got[:25]} != {frozenset(batch) for batch in got[25:]}
    spread = np.mean([np.ptp(lengths[batch]) for batch in got])
    assert spread < 0.3 * np.mean([np.ptp(lengths[batch]) for batch in np.arange(96).reshape(24, 4)])
    firsts = [lengths[batch].mean() for batch in got[:25]]
    assert sorted(firsts) != firsts, "batches must not come sorted"
    assert order_of(store, 31, epochs=2, lengths=lengths) == got[31:]


def test_validation_rows_keep_their_order():
    store, _ = filled(10, 1)
    batches = [row[1].numpy().tolist() for row in make_ordered_batches(store, 4)]
    assert batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


@pytest.mark.parametrize(
    ("hparams", "rates"),
    [
        ({"schedule": "constant", "warmup": 0.0}, [1.0, 1.0, 1.0]),
        ({"schedule": "constant", "warmup": 0.5}, [0.0, 1.0, 1.0]),
        ({"schedule": "cosine", "warmup": 0.0}, [1.0, 0.5, 0.0]),
        ({"schedule": "one_cycle", "warmup": 0.5}, [0.04, 1.0, 0.0]),
    ],
)
def test_schedules_at_their_begin_middle_and_end(hparams, rates):
    task = dlkit.ImageClassifier(learning_rate=1.0, **hparams)
    schedule = make_schedule(task, 100)
    got = [schedule if isinstance(schedule, float) else float(schedule(step)) for step in (0, 50, 100)]
    np.testing.assert_allclose(got, rates, atol=1e-6)


def small_network():
    inner_input = keras.Input((4,))
    inner = keras.Model(inner_input, keras.layers.Dense(4, name="b")(keras.layers.Dense(4, name="a")(inner_input)))
    inner.name = "backbone"
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(2, name="head")(inner(x)))


def test_weight_decay_leaves_out_vectors():
    network = small_network()
    hparams = {"optimizer": "sgd", "momentum": 0.0, "schedule": "constant", "warmup": 0.0}
    task = dlkit.ImageClassifier(learning_rate=1.0, weight_decay=0.5, **hparams)
    optimizer = make_optimizer(task, network, 10)
    kernel, bias = network.get_layer("head").kernel, network.get_layer("head").bias
    bias.assign([1.0, 1.0])
    before = kernel.numpy()
    optimizer.apply([tf.zeros_like(variable.value) for variable in network.trainable_variables])
    np.testing.assert_allclose(kernel.numpy(), 0.5 * before, rtol=1e-6)
    np.testing.assert_array_equal(bias.numpy(), [1.0, 1.0])


@pytest.mark.parametrize(("upto", "frozen"), [("", []), ("1", ["a"]), ("b", ["a", "b"]), ("backbone", ["a", "b"])])
def test_layers_are_frozen_up_to_one(upto, frozen):
    network = small_network()
    assert [layer.name for layer in freeze(network, upto)] == frozen
    assert [layer.name for layer in list_weighted_layers(network) if not layer.trainable] == frozen


@pytest.mark.parametrize(("upto", "message"), [("heed", "Did you mean 'head'"), ("3", "nothing to train")])
def test_what_cannot_be_frozen(upto, message):
    with pytest.raises(HparamError, match=message):
        freeze(small_network(), upto)


def test_what_a_backbone_adds_to_the_one_inside_it_is_not_frozen():
    x = keras.Input((4,))
    inner = keras.Model(x, keras.layers.Dense(4, name="pretrained")(x), name="backbone")
    outer = keras.Model(x, keras.layers.Dense(4, name="pyramid")(inner(x)), name="backbone")
    network = keras.Model(x, keras.layers.Dense(2, name="head")(outer(x)))
    assert [layer.name for layer in freeze(network, "backbone")] == ["pretrained"]


def test_frozen_layers_thaw_from_the_top():
    network = small_network()
    task = dlkit.ImageClassifier(schedule="constant", warmup=0.0, learning_rate=0.1, weight_decay=0.0)
    optimizer = make_optimizer(task, network, 10)
    frozen = freeze(network, "backbone")
    network.compile(optimizer, "mse", jit_compile=False)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([network.get_layer("backbone").get_layer(name).kernel.numpy() for name in "ab"])

    start = [network.get_layer("backbone").get_layer(name).kernel.numpy() for name in "ab"]
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    network.fit(x, x[:, :2], epochs=3, verbose=0, callbacks=[make_unfreezing_callback(frozen, 1), Look()])
    moved = [[bool((now != then).any()) for now, then in zip(each, start, strict=True)] for each in seen]
    assert moved == [[False, False], [False, True], [True, True]]


def test_models_are_joined_by_the_names_of_their_tensors():
    a, b, c = (keras.Input((1,), name=name) for name in "abc")
    first = keras.Model({"a": a}, {"b": a * 2.0})
    second = keras.Model({"b": b, "c": c}, {"d": b + c})
    made = chain(first, second)({"a": tf.constant([[1.0]]), "c": tf.constant([[10.0]])})
    assert {name: float(value[0, 0]) for name, value in made.items()} == {"a": 1.0, "c": 10.0, "b": 2.0, "d": 12.0}
    with pytest.raises(ValueError, match=r"reads \['c'\]"):
        chain(first, second)({"a": tf.constant([[1.0]])})


def test_labels_become_ones_where_they_hold():
    known = ["x", "y", "z"]
    assert encode_labels(tf.constant(["z", "x"]), known).numpy().tolist() == [[0, 0, 1], [1, 0, 0]]
    several = tf.constant([["x", "z"], ["", ""]])
    assert encode_labels(several, known).numpy().tolist() == [[1, 0, 1], [0, 0, 0]]


def test_rows_weigh_as_their_labels_do():
    table = Table("rows", {"label": ["a", "a", "a", "b"]}, str)
    weights = compute_label_weights("balanced", ["a", "b"], table, Label())
    np.testing.assert_allclose(weights, [2 / 3, 2.0])
    weighed = weigh_rows(tf.constant([[1, 0], [1, 0], [1, 0], [0, 1]], tf.uint8), weights)
    np.testing.assert_allclose(weighed, [2 / 3, 2 / 3, 2 / 3, 2.0])
    weights = compute_label_weights("b=5", ["a", "b"], table, Label())
    np.testing.assert_allclose(weigh_rows(tf.constant([[1, 0], [1, 1], [0, 0]], tf.uint8), weights), [1.0, 3.0, 1.0])
    assert compute_label_weights("", ["a", "b"], table, Label()) == []


def test_weights_and_lengths_are_kept_with_rows_and_are_no_part_of_the_fingerprint():
    plain, weighed = Store(4, 1), Store(4, 1)
    for part in (slice(0, 3), slice(3, 4)):
        batch = ({"x": np.arange(4)[part]}, {"y": np.arange(4)[part]})
        plain.append(batch)
        weighed.append(batch, weights=np.arange(4.0)[part], lengths=np.arange(4)[part] + 7)
    assert plain.weights is plain.lengths is None
    assert weighed.weights.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert weighed.lengths.tolist() == [7, 8, 9, 10]
    assert weighed.fingerprint() == plain.fingerprint()


def test_metrics_of_one_label_by_hand():
    answers = {"labels": [[b"a", b"b"], [b"a", b"b"], [b"b", b"a"]], "scores": [[0.8, 0.2], [0.6, 0.4], [0.7, 0.3]]}
    metrics = score_single([b"a", b"b", b"b"], answers, ["a", "b"])
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["log_loss"] == pytest.approx(-np.log([0.8, 0.4, 0.7]).mean())
    assert metrics["baseline_accuracy"] == pytest.approx(2 / 3)
    assert metrics["confusion"]["counts"] == [[1, 0], [1, 1]]
    assert metrics["per_class"]["a"] == pytest.approx({"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "rows": 1})
    assert metrics["macro_f1"] == pytest.approx(2 / 3)


def test_a_label_that_nothing_has_or_gets_does_not_count():
    answers = {"labels": [[b"a", b"b", b"c"], [b"b", b"a", b"c"]], "scores": [[0.8, 0.1, 0.1]] * 2}
    assert score_single([b"a", b"b"], answers, ["a", "b", "c"])["macro_f1"] == 1.0
    wrong = {**answers, "labels": [[b"a", b"b", b"c"], [b"c", b"a", b"b"]]}
    assert score_single([b"a", b"b"], wrong, ["a", "b", "c"])["macro_f1"] == pytest.approx(1 / 3)
    several = {**answers, "num_labels": [1, 1]}
    assert score_multi([[b"a"], [b"b"]], several, ["a", "b", "c"])["macro_f1"] == 1.0


def test_metrics_against_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    known = list("abcdefg")
    scores = generator.dirichlet(np.ones(7), 200)
    true = generator.integers(0, 7, 200)
    order = np.argsort(-scores, axis=1)
    names = np.array([name.encode() for name in known], object)
    answers = {"labels": names[order], "scores": np.take_along_axis(scores, order, 1)}
    metrics = score_single(names[true].tolist(), answers, known)
    few = true == 2  # which leaves labels that nothing has
    some = {name: values[few] for name, values in answers.items()}
    assert score_single(names[true[few]].tolist(), some, known)["macro_f1"] == pytest.approx(
        sklearn.f1_score(true[few], order[few, 0], average="macro")
    )
    best = order[:, 0]
    assert metrics["accuracy"] == pytest.approx(sklearn.accuracy_score(true, best))
    assert metrics["macro_f1"] == pytest.approx(sklearn.f1_score(true, best, average="macro"))
    assert metrics["log_loss"] == pytest.approx(sklearn.log_loss(true, scores))
    assert metrics["top_5_accuracy"] == pytest.approx(sklearn.top_k_accuracy_score(true, scores, k=5))
    holds, answered = scores > 0.15, generator.random((200, 7)) > 0.5
    multi = {
        "labels": [names[np.argsort(~row, kind="stable")] for row in answered],
        "scores": np.where(answered, 0.9, 0.1)[np.arange(200)[:, None], np.argsort(~answered, axis=1, kind="stable")],
        "num_labels": answered.sum(1),
    }
    metrics = score_multi([names[row].tolist() for row in holds], multi, known)
    assert metrics["micro_f1"] == pytest.approx(sklearn.f1_score(holds, answered, average="micro"))
    assert metrics["macro_f1"] == pytest.approx(sklearn.f1_score(holds, answered, average="macro"))
    assert metrics["exact_match"] == pytest.approx(sklearn.accuracy_score(holds, answered))
    assert metrics["hamming_loss"] == pytest.approx(sklearn.hamming_loss(holds, answered))
