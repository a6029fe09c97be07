"""The training step: Keras's own on one replica, and the same one on two, whatever the split."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.training.checkpoint_files import CheckpointFiles
from dlkit.training.checkpoints import Checkpoints
from dlkit.training.distribute import split_over_replicas
from dlkit.training.prepare import use_precision
from dlkit.training.strategies import resolve_strategy
from dlkit.training.trainer import Trainer

STEPS = 4
CLIPPED = 0.05  # far below the norms of these gradients, so that clipping bites


@pytest.fixture(scope="module")
def two():
    return resolve_strategy("mirrored:2").strategy


def mse(**more):
    return {"optimizer": lambda: keras.optimizers.SGD(0.1, momentum=0.9, **more), "loss": "mse", "metrics": ["mae"]}


def dense(regularizer=None):
    x = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="tanh", kernel_regularizer=regularizer)(x)
    return keras.Model(x, keras.layers.Dense(1)(hidden))


def normalized():
    x = keras.Input((3,))
    hidden = keras.layers.BatchNormalization(synchronized=True)(keras.layers.Dense(4, kernel_regularizer="l2")(x))
    return keras.Model(x, keras.layers.Dense(1)(keras.layers.Activation("relu")(hidden)))


def embedded():
    x = keras.Input((3,), dtype="int32")
    return keras.Model(x, keras.layers.Dense(1)(keras.layers.Flatten()(keras.layers.Embedding(9, 4)(x))))


def several():
    x = keras.Input((3,))
    return keras.Model(x, {"a": keras.layers.Dense(1, name="a")(x), "b": keras.layers.Dense(2, name="b")(x)})


def numbers(rows, *, weights=False):
    generator = np.random.default_rng(rows)
    x = generator.normal(size=(STEPS, rows, 3)).astype("float32")
    y = x.sum(axis=2, keepdims=True) + generator.normal(size=(STEPS, rows, 1)).astype("float32") ** 3
    return (x, y, generator.uniform(0, 5, (STEPS, rows)).astype("float32")) if weights else (x, y)


def words(rows):
    x = np.random.default_rng(rows).integers(0, 9, (STEPS, rows, 3)).astype("int32")
    return x, np.cos(x.sum(axis=2, keepdims=True)).astype("float32")


def two_targets(rows):
    x, y = numbers(rows)
    return x, {"a": y, "b": np.concatenate([y, -y], axis=2)}


TWO_LOSSES = {**mse(), "loss": {"a": "mse", "b": "mae"}, "loss_weights": {"a": 0.3, "b": 2.0}, "metrics": None}
CASES = {
    "even parts": (dense, numbers(8), mse()),
    "uneven parts": (dense, numbers(7), mse()),
    "sample weights": (dense, numbers(7, weights=True), mse()),
    "regularizers": (lambda: dense("l2"), numbers(7), mse()),
    "clipping": (dense, numbers(7), mse(global_clipnorm=CLIPPED)),
    "clipping of even parts": (dense, numbers(8), mse(global_clipnorm=CLIPPED)),
    "clipping each tensor": (dense, numbers(7), mse(clipnorm=CLIPPED)),
    "clipping each number": (dense, numbers(7), mse(clipvalue=CLIPPED)),
    "gradients of few rows": (embedded, words(7), mse()),
    "gradients of few rows, clipped": (embedded, words(7), mse(global_clipnorm=CLIPPED)),
    "several outputs": (several, two_targets(7), TWO_LOSSES),
    "normalization, all together": (normalized, numbers(7, weights=True), mse(global_clipnorm=CLIPPED)),
}


def trained(case, strategy=None, *, kind=Trainer, parts=1, callbacks=()):
    """A model after two epochs of a case, and its history."""
    make, arrays, compiled = case
    strategy = strategy or tf.distribute.get_strategy()
    keras.utils.set_random_seed(1)
    with strategy.scope():
        network = make()
        rows = len(tf.nest.flatten(arrays)[0][0])
        model = network if kind is keras.Model else Trainer(network.input, network.output, rows=rows, parts=parts)
        model.compile(**{**compiled, "optimizer": compiled["optimizer"]()}, jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices(arrays).repeat()
    options = {"epochs": 2, "steps_per_epoch": STEPS, "shuffle": False, "verbose": 0}
    history = model.fit(split_over_replicas(batches, strategy), callbacks=list(callbacks), **options).history
    return model, history


def weights(model):
    return [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


def differences(left, right):
    """The largest difference of the histories, and of the weights and moments, of two runs."""
    values = [np.abs(np.subtract(left[1][name], right[1][name])).max() for name in ("loss", "mae") if name in right[1]]
    pairs = zip(weights(left[0]), weights(right[0]), strict=True)
    return max(values), max(np.abs(a.astype("float64") - b).max(initial=0) for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("sample weights", "float32"),
        ("sample weights", "mixed_float16"),
        ("normalization, all together", "float32"),
        ("several outputs", "float32"),
    ],
)
def test_one_replica_is_keras_to_the_bit(name, mode):
    with use_precision(mode):
        own, keras_own = trained(CASES[name]), trained(CASES[name], kind=keras.Model)
    assert own[1] == keras_own[1]
    for left, right in zip(weights(own[0]), weights(keras_own[0]), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", CASES)
def test_two_replicas_train_as_one(name, two):
    assert max(differences(trained(CASES[name], two), trained(CASES[name]))) < 1e-5


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("name", [name for name in CASES if name != "normalization, all together"])
def test_parts_of_a_batch_train_as_the_whole(name, parts):
    found, expected = trained(CASES[name], parts=parts), trained(CASES[name])
    assert max(differences(found, expected)) < 1e-5
    for loss in ("a_loss", "b_loss") if name == "several outputs" else ():
        assert found[1][loss] == pytest.approx(expected[1][loss], rel=1e-5)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_batch_of_fewer_rows_than_parts_counts_each_row_once(rows):
    slow = {**mse(), "optimizer": lambda: keras.optimizers.SGD(0.01)}  # these rows weigh up to 5
    case = (dense, numbers(rows, weights=True), slow)
    assert max(differences(trained(case, parts=3), trained(case))) < 1e-5


def test_two_replicas_count_the_loss_of_each_output_as_one(two):
    (_, found), (_, expected) = (trained(CASES["several outputs"], strategy) for strategy in (two, None))
    assert found["a_loss"] == pytest.approx(expected["a_loss"], rel=1e-5)


@pytest.mark.parametrize("name", ["clipping of even parts", "uneven parts"])
def test_keras_alone_is_off(name, two):
    # What the step is for; and that the test above can fail.
    found = differences(trained(CASES[name], two, kind=keras.Model), trained(CASES[name], kind=keras.Model))
    assert max(found) > 1e-3


@pytest.mark.parametrize("mode", ["mixed_bfloat16", "mixed_float16"])
def test_two_replicas_train_as_one_in_16_bits(mode, two):
    x, _ = numbers(7)
    small = {"optimizer": lambda: keras.optimizers.SGD(10.0, momentum=0.9), "loss": "mse", "loss_weights": [0.01]}
    case = (dense, (x, np.sin(x.sum(axis=2, keepdims=True))), small)
    with use_precision(mode):
        (_, found), (_, expected) = (trained(case, strategy) for strategy in (two, None))
    # Each number is rounded to 8 bits (bfloat16) or 11 (float16, whose loss is scaled by 2^15).
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-2 if mode == "mixed_bfloat16" else 1e-3)


@pytest.mark.parametrize("rows", [[7], [2, 3], [8, 8, 5]])
def test_a_batch_is_split_in_the_order_of_its_rows(rows, two):
    starts = np.cumsum([0, *rows])
    batches = tf.data.Dataset.from_generator(
        lambda: (({"x": np.arange(a, b)}, np.arange(a, b)) for a, b in itertools.pairwise(starts)),
        output_signature=({"x": tf.TensorSpec([None], tf.int64)}, tf.TensorSpec([None], tf.int64)),
    )
    seen = iter(split_over_replicas(batches, two))
    for number in range(2 * len(rows)):  # it begins again
        features, target = next(seen)
        parts = [part.numpy().tolist() for part in two.experimental_local_results(target)]
        assert parts == [part.numpy().tolist() for part in two.experimental_local_results(features["x"])]
        count, start = rows[number % len(rows)], starts[number % len(rows)]
        assert [len(part) for part in parts] == [count // 2, count - count // 2]
        assert [*parts[0], *parts[1]] == list(range(start, start + count))


def test_one_replica_gets_the_batches_themselves():
    batches = tf.data.Dataset.range(3)
    assert split_over_replicas(batches, resolve_strategy("one").strategy) is batches


def dropping():
    x = keras.Input((3,))
    return keras.Model(x, keras.layers.Dense(1)(keras.layers.Dropout(0.5)(x)))


def seeds(model):
    (variable,) = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    return [copy.numpy().tolist() for copy in model.distribute_strategy.experimental_local_results(variable.value)]


def test_replicas_drop_different_places(two):
    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.before = seeds(self.model)

        def on_train_batch_begin(self, batch, logs=None):
            self.during = seeds(self.model)

    alike, apart = Look(), Look()
    trained((dropping, numbers(8), mse()), two, callbacks=[alike])
    assert alike.during[0] == alike.during[1]
    model, _ = trained((dropping, numbers(8), mse()), two, callbacks=[apart, Checkpoints(None, STEPS, 0, None, {})])
    assert apart.before == alike.before
    assert apart.during[0] == alike.during[0] != apart.during[1]

    def mask():
        return model(tf.ones((100, 3)), training=True)

    kernel = model.trainable_variables[0]
    kernel.assign(tf.ones_like(kernel))
    first, second = two.experimental_local_results(two.run(mask))
    assert (first.numpy() != second.numpy()).any()


def test_checkpoints_hold_the_seed_of_the_first_replica(two, tmp_path):
    files = CheckpointFiles(tmp_path, 2)
    model, _ = trained((dropping, numbers(8), mse()), two, callbacks=[Checkpoints(files, STEPS, 1, None, {})])
    place = [variable.name for variable in model.variables].index("seed_generator_state")
    held = files.newest().group("variable")[place].tolist()
    first, second = seeds(model)
    assert held == first != second


@pytest.mark.parametrize("bad", [0, 6])  # a row of the first replica, or of the second
def test_the_first_step_with_a_nan_is_kept(bad, two):
    x, y = numbers(7)
    y[2, bad] = np.nan
    for strategy in (None, two):
        model, _ = trained((dense, (x, y), mse()), strategy)
        copies = model.distribute_strategy.experimental_local_results(model.first_bad)
        assert [int(copy) for copy in copies] == [2] * model.replicas
    clean, _ = trained(CASES["uneven parts"], two)
    assert int(two.experimental_local_results(clean.first_bad)[0]) == -1
