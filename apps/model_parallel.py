"""Train a network that is too large for one device, with one half on each of two. See docs/model_parallel.md.

data      the built-in reviews (320 training rows, written for the project)
command   python apps/model_parallel.py
result    16.41 MB of variables as 9.03 and 7.38 MB on two logical CPUs; losses and weights those of one device to the
          last bit, over 120 steps, seed 0, measured 2026-11-22
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from dlkit.cli.main import run_guarded
from dlkit.cli.parser import Parser, flags_of, refuse_unknown
from dlkit.errors import DlkitError
from dlkit.lazy import keras, load_tensorflow, tf

MEGABYTE = 2**20
SMALL = 100  # MB of variables up to which --check is on by itself
AGREE = 1e-5  # largest relative difference from the training on one device


def first_half(vocabulary_size: int, max_tokens: int, width: int, blocks: int) -> keras.Model:
    """Build the embeddings and the first blocks of `dlkit.tasks.sentiment.transformer`, without dropout.

    Returns:
        keras.Model from `token_ids`: (batch, max_tokens) int32 and `padding_mask`: (batch, max_tokens) bool to
        (batch, max_tokens, width) float32.
    """
    import keras_hub

    token_ids = keras.Input((max_tokens,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((max_tokens,), dtype="bool", name="padding_mask")
    start = keras.initializers.RandomNormal(stddev=0.5)
    x = keras.layers.Embedding(vocabulary_size, width, embeddings_initializer=start, name="embedding")(token_ids)
    x = x + keras_hub.layers.SinePositionEncoding(name="positions")(x)
    x = _blocks(x, padding_mask, blocks)
    return keras.Model({"token_ids": token_ids, "padding_mask": padding_mask}, x, name="first_half")


def second_half(outputs: int, max_tokens: int, width: int, blocks: int) -> keras.Model:
    """Build the remaining blocks, the pooling and the output layer.

    Returns:
        keras.Model from `hidden`: (batch, max_tokens, width) float32 and `padding_mask`: (batch, max_tokens) bool to
        logits: (batch, outputs) float32.
    """
    from dlkit.tasks.sentiment.attention_pooling import AttentionPooling

    hidden = keras.Input((max_tokens, width), name="hidden")
    padding_mask = keras.Input((max_tokens,), dtype="bool", name="padding_mask")
    x = _blocks(hidden, padding_mask, blocks)
    x = keras.layers.LayerNormalization(name="norm")(x)
    x = AttentionPooling(width, name="pooling")(x, padding_mask=padding_mask)
    logits = keras.layers.Dense(outputs, name="logits")(x)
    return keras.Model({"hidden": hidden, "padding_mask": padding_mask}, logits, name="second_half")


def _blocks(x: Any, padding_mask: Any, blocks: int) -> Any:
    import keras_hub

    for block in range(blocks):
        encoder = keras_hub.layers.TransformerEncoder(
            4 * x.shape[-1], 4, activation="gelu", normalize_first=True, name=f"block_{block}"
        )
        x = encoder(x, padding_mask=padding_mask)
    return x


class Half:
    """Half of a network with an optimizer of its own, all variables on one device.

    A single optimizer would put its slots on the default device, not beside their weights; so each half has its own
    optimizer, built on its device.

    Args:
        device: such as "GPU:1".
        network: makes the keras.Model.
        optimizer: makes a keras optimizer that treats each weight by itself; a global clip would see one half only.
    """

    def __init__(self, device: str, network: Callable[[], keras.Model], optimizer: Callable[[], Any]):
        self.device = device
        with tf.device(device):
            self.network = network()
            self.optimizer = optimizer()
            self.optimizer.build(self.network.trainable_variables)

    @property
    def weights(self) -> list[tf.Variable]:
        """Trainable weights of the half."""
        return [weight.value for weight in self.network.trainable_variables]

    @property
    def variables(self) -> list[tf.Variable]:
        """All variables on the device: the weights and the optimizer's slots."""
        return [variable.value for variable in (*self.network.variables, *self.optimizer.variables)]

    def apply(self, parts: Iterable[list[Any]]) -> None:
        """Apply the mean of the gradients of the micro-batches."""
        with tf.device(self.device):
            gradients = [mean(each) for each in zip(*parts, strict=True)]
            self.optimizer.apply(gradients, self.network.trainable_variables)


def mean(gradients: tuple[Any, ...]) -> Any:
    """Average the gradients of one weight, as dense tensors.

    An embedding's gradient comes as rows, one for each token of the batch. Adam in Keras 3 squares these one by one,
    so that a token that occurs twice, or in two micro-batches, would not be what it is with one dense gradient.
    """
    return tf.add_n([tf.convert_to_tensor(gradient) for gradient in gradients]) / len(gradients)


def make_step(first: Half, second: Half, loss: Callable[[Any, Any], Any], micro_batches: int = 1) -> Any:
    """Build a traced training step over both halves.

    Args:
        first: its network takes `token_ids` and `padding_mask`.
        second: its network takes `hidden`, the answer of the first, and `padding_mask`.
        loss: (labels, answer of the second) to the mean over the rows, a scalar.
        micro_batches: positive integer that divides the batch. Halves may work on different parts of it at a time.

    Returns:
        tf.function of `token_ids`, `padding_mask` and `labels`: (batch,) int32, to the loss before the step, float32.
    """

    def back_and_forth(token_ids: Any, padding_mask: Any, labels: Any) -> tuple[Any, list[Any], list[Any]]:
        # A tape for each half: operations of a backward pass run where `gradient` is called, whatever device their
        # forward pass had. One tape over both would put all of them on one device, and read the other's weights there.
        with tf.device(first.device), tf.GradientTape() as first_tape:
            hidden = first.network({"token_ids": token_ids, "padding_mask": padding_mask}, training=True)
        with tf.device(second.device):
            received = tf.identity(hidden)
            with tf.GradientTape() as second_tape:
                second_tape.watch(received)
                value = loss(labels, second.network({"hidden": received, "padding_mask": padding_mask}, training=True))
            *second_gradients, hidden_gradient = second_tape.gradient(value, [*second.weights, received])
        with tf.device(first.device):
            first_gradients = first_tape.gradient(hidden, first.weights, output_gradients=tf.identity(hidden_gradient))
        return value, first_gradients, second_gradients

    def step(token_ids: Any, padding_mask: Any, labels: Any) -> Any:
        parts = zip(*(tf.split(each, micro_batches) for each in (token_ids, padding_mask, labels)), strict=True)
        # Nothing ties one part to another but the sums, so a graph runs part 2 in one half beside part 1 in the other.
        values, first_gradients, second_gradients = zip(*(back_and_forth(*part) for part in parts), strict=True)
        first.apply(first_gradients)
        second.apply(second_gradients)
        with tf.device(second.device):
            return tf.add_n(list(values)) / micro_batches

    return tf.function(step)


def bytes_by_device(variables: Iterable[tf.Variable]) -> dict[str, int]:
    """Return the bytes of variables on each device, by its short name, such as "CPU:1"."""
    sizes: Counter[str] = Counter()
    for variable in variables:
        sizes[short(variable.device)] += variable.dtype.size * variable.shape.num_elements()
    return dict(sizes)


def operations_by_device(step: Any, batch: tuple[Any, ...]) -> dict[str, int]:
    """Count the operations of the traced step by device; "unplaced" if the runtime chooses the device."""
    graph = step.get_concrete_function(*batch).graph
    return dict(Counter(short(operation.device) for operation in graph.get_operations()))


def short(device: str) -> str:
    """Return the short name of a device, such as "CPU:1"."""
    return device.split("device:")[-1].lstrip("/") or "unplaced"


def batches(args: argparse.Namespace) -> tuple[list[tuple[Any, ...]], int, int]:
    """Return the batches of all steps, shuffled anew in each epoch, the vocabulary size, and the number of labels."""
    from dlkit.tasks.sentiment.sample import load_reviews
    from dlkit.text.words import Words

    rows = load_reviews()["train"]
    words = Words.learn(rows["text"], 20_000, args.max_tokens)
    names = sorted(set(rows["label"]))
    features = {name: tensor.numpy() for name, tensor in words(rows["text"]).items()}
    labels = np.array([names.index(label) for label in rows["label"]], np.int32)
    if args.batch_size > len(labels):
        raise DlkitError(f"--batch-size must be at most the {len(labels)} training rows. Received: {args.batch_size}.")
    random, order, batches_drawn = np.random.default_rng(args.seed), np.array([], int), []
    for _ in range(args.steps):
        if len(order) < args.batch_size:
            order = random.permutation(len(labels))
        rows_of_batch, order = order[: args.batch_size], order[args.batch_size :]
        columns = (features["token_ids"][rows_of_batch], features["padding_mask"][rows_of_batch], labels[rows_of_batch])
        batches_drawn.append(tuple(map(tf.constant, columns)))
    return batches_drawn, words.vocabulary_size, len(names)


def one_device_step(first: keras.Model, second: keras.Model, loss: Any) -> tuple[Any, list[tf.Variable]]:
    """Build plain training of both halves as one network: one tape, one optimizer.

    Returns:
        The training step and the weights.
    """
    inputs = first.input
    whole = keras.Model(inputs, second({"hidden": first(inputs), "padding_mask": inputs["padding_mask"]}))
    optimizer = make_optimizer()
    optimizer.build(whole.trainable_variables)
    weights = [weight.value for weight in whole.trainable_variables]

    def step(token_ids: Any, padding_mask: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(labels, whole({"token_ids": token_ids, "padding_mask": padding_mask}, training=True))
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(value, weights)]
        optimizer.apply(gradients, whole.trainable_variables)
        return value

    return tf.function(step), weights


def make_optimizer() -> Any:
    # Some gradients, such as those of the keys' biases, are 0 but for rounding. At Keras's epsilon, 1e-7, Adam would
    # make steps of that rounding.
    return keras.optimizers.Adam(3e-4, epsilon=1e-6)


def train(step: Any, batches_drawn: list[tuple[Any, ...]], every: int = 0) -> tuple[list[float], float]:
    """Run all steps.

    Returns:
        The losses, and the seconds per step without the first one, which traces.
    """
    losses, started = [], 0.0
    for number, batch in enumerate(batches_drawn, 1):
        losses.append(float(step(*batch)))
        if every and number % every == 0:
            print(f"step {number:4}   loss {losses[-1]:.6f}")
        if number == 1:
            started = time.perf_counter()
    return losses, (time.perf_counter() - started) / max(len(batches_drawn) - 1, 1)


def main(argv: list[str] | None = None) -> int:
    """Run the script.

    Returns:
        The exit code: 0 success, 1 the check failed, 2 an error that the user can fix.
    """
    argv = sys.argv[1:] if argv is None else argv
    agreed = [True]
    code = run_guarded(lambda: agreed.append(_run(argv)), debug="--debug" in argv)
    return code or int(not agreed[-1])


def _run(argv: list[str]) -> bool:
    parser = _parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        refuse_unknown(unknown, flags_of(parser))
    _check_flags(args)
    devices = find_devices(args.devices)
    batches_drawn, *sizes = batches(args)
    make_first, make_second = _makers(args, *sizes)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    keras.utils.set_random_seed(args.seed)
    first, second = Half(devices[0], make_first, make_optimizer), Half(devices[1], make_second, make_optimizer)
    total = show_budget(first, second, args.budget_mb)
    step = make_step(first, second, loss, args.micro_batches)
    placed = operations_by_device(step, batches_drawn[0])
    print("operations of the traced step: " + ", ".join(f"{name} {placed[name]}" for name in sorted(placed)))
    losses, seconds = train(step, batches_drawn, every=max(args.steps // 5, 1))
    print(f"on two devices: {1000 * seconds:.0f} ms a step")
    if not (total <= SMALL * MEGABYTE if args.check is None else args.check):
        return True
    keras.utils.set_random_seed(args.seed)  # the same first weights: the halves are made in the same order
    with tf.device(devices[0]):
        step, weights = one_device_step(make_first(), make_second(), loss)
        expected, seconds = train(step, batches_drawn)
    print(f"on one device: {1000 * seconds:.0f} ms a step")
    return _show_agreement(losses, expected, [*first.weights, *second.weights], weights)


def _makers(args: argparse.Namespace, vocabulary_size: int, outputs: int) -> tuple[Callable, Callable]:
    shape, blocks = (args.max_tokens, args.width), args.depth // 2
    make_first = partial(first_half, vocabulary_size, *shape, blocks)
    return make_first, partial(second_half, outputs, *shape, args.depth - blocks)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(usage="python apps/model_parallel.py [options]", description=(__doc__ or "").splitlines()[0])

    def number(flag: str, default: float, help: str) -> None:
        parser.add_argument(flag, type=type(default), default=default, help=f"{help} (default: {default})")

    number("--depth", 4, "Number of encoder blocks. The first half of them is placed on the first device.")
    number("--width", 160, "Width of the embeddings and blocks, a multiple of 4.")
    number("--max-tokens", 32, "Maximum number of tokens per text.")
    number("--batch-size", 32, "Number of training examples per step.")
    number("--micro-batches", 1, "Number of parts of a batch, which the halves can process concurrently.")
    number("--steps", 120, "Number of training steps.")
    number("--seed", 0, "Random seed for weight initialization and shuffling.")
    number("--budget-mb", 12.0, "Maximum size of the variables on one device, in MB of 2**20 bytes.")
    parser.add_argument("--devices", help='Two devices, as in "GPU:0,GPU:1". (default: two GPUs, or else CPU:0,CPU:1)')
    parser.add_argument(
        "--check",
        action=argparse.BooleanOptionalAction,
        help="Also train on the first device alone, and compare losses and weights. "
        f"(default: up to {SMALL} MB of variables)",
    )
    parser.add_argument("--debug", action="store_true", help="Show the full traceback of an error.")
    return parser


def _check_flags(args: argparse.Namespace) -> None:
    for name, least in (("depth", 2), ("width", 4), ("max_tokens", 1), ("micro_batches", 1), ("steps", 1)):
        if getattr(args, name) < least:
            flag = f"--{name.replace('_', '-')}"
            raise DlkitError(f"{flag} must be at least {least}. Received: {getattr(args, name)}.")
    if args.width % 4:
        raise DlkitError(f"--width must be a multiple of the 4 attention heads. Received: {args.width}.")
    if args.batch_size < 1 or args.batch_size % args.micro_batches:
        received = f"--batch-size {args.batch_size}, --micro-batches {args.micro_batches}"
        raise DlkitError(f"--batch-size must be a positive multiple of --micro-batches. Received: {received}.")


def find_devices(names: str | None) -> list[str]:
    """Return the two devices to use. Creates as many logical CPUs as are named; they share the processor and its
    memory.
    """
    load_tensorflow()
    if names is None:
        names = "GPU:0,GPU:1" if len(tf.config.list_physical_devices("GPU")) > 1 else "CPU:0,CPU:1"
    devices = [name.strip().upper() for name in names.split(",")]
    if len(devices) != 2:
        raise DlkitError(f'--devices must name two devices, as in "CPU:0,CPU:1". Received: {names}.')
    cpus = [int(name[4:]) + 1 for name in devices if name.startswith("CPU:") and name[4:] in ("0", "1")]
    processor = tf.config.list_physical_devices("CPU")[0]
    logical = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(processor, [logical] * max(cpus, default=1))
    available = [short(device.name) for device in tf.config.list_logical_devices()]
    for device in devices:
        if device not in available:
            raise DlkitError(f"there is no device {device}. This machine has: {', '.join(available)}.")
    return devices


def show_budget(first: Half, second: Half, budget: float) -> int:
    """Print the memory on each device and return the bytes of both. Raises DlkitError for a half over `budget` MB."""
    sizes = bytes_by_device([*first.variables, *second.variables])
    total = sum(sizes.values())
    for device, size in sizes.items():
        print(f"{device}: {size:,} bytes of weights and optimizer slots")
        if size > budget * MEGABYTE:
            fits = f"{size / MEGABYTE:.2f} MB on {device} is over the {budget:g} MB of --budget-mb"
            raise DlkitError(f"{fits}. Lower --width or --depth, or raise the budget.")
    if total > budget * MEGABYTE:
        print(f"{total / MEGABYTE:.2f} MB in all: over the {budget:g} MB of one device, while each half fits")
    else:
        print(f"{total / MEGABYTE:.2f} MB in all: within the {budget:g} MB of one device, so one device would suffice")
    return total


def _show_agreement(losses: list[float], expected: list[float], weights: list[Any], alone: list[Any]) -> bool:
    loss_difference = float(np.max(np.abs(np.subtract(losses, expected)) / np.abs(expected)))
    pairs = [(ours.numpy(), theirs.numpy()) for ours, theirs in zip(weights, alone, strict=True)]
    largest = max(np.abs(theirs).max() for _, theirs in pairs)
    weight_difference = float(max(np.abs(ours - theirs).max() for ours, theirs in pairs) / largest)
    agree = bool(loss_difference <= AGREE and weight_difference <= AGREE)  # false where one is not a number
    print(f"largest relative difference: losses {loss_difference:.1e}, weights {weight_difference:.1e}", end="")
    print(f" ({'within' if agree else 'NOT WITHIN'} {AGREE:g})")
    return agree


if __name__ == "__main__":
    sys.exit(main())
