"""Image classification: from an encoded image to a label with its score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from dlkit.classification import labels
from dlkit.classification.metrics import score_multi, score_single
from dlkit.columns import Image, Reason
from dlkit.data.table import Table
from dlkit.errors import HparamError
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.options import option
from dlkit.rows import Rows
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.image_classification.choose_augmentation import BY_DATA, Augmentation, choose_augmentation
from dlkit.tasks.image_classification.image_rows import ImageRows
from dlkit.vision.image_facts import check_channels, choose_shape, find_max_sample
from dlkit.vision.plots import MAX_IMAGES

MIN_SIDES = {"lenet": 24}  # minimum side of a network's input, in pixels, if `image_size` is 0


@dataclass(kw_only=True)
class ImageClassifier(Task):
    """Classifies images, with scores.

    Examples:
        >>> model = dlkit.ImageClassifier(network="mlp", learning_rate=0.01, epochs=1)
        >>> data = model.samples()
        >>> history = model.fit(data["train"], data["validation"], verbose=0)
        >>> answer = model.predict(data["test"]["image"][0])
        >>> sorted(answer)
        ['label', 'labels', 'score', 'scores']
    """

    default_epochs = DefaultEpochs(30, fewest=200, most=14_000)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(128, "Number of training examples per step. It is the total over all devices.", minimum=1)
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = hparam("sgd", "Optimizer.")
    learning_rate: float = hparam(0.1, "Peak learning rate.", minimum=0)
    warmup: float = hparam(
        0.2,
        'Fraction of the training steps used for linear warmup of the learning rate. With `schedule="one_cycle"`, 0 '
        "selects 0.3.",
        minimum=0,
        maximum=0.9,
    )
    weight_decay: float = hparam(
        5e-3, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0
    )
    validation_split: float = hparam(
        BY_DATA,
        "Fraction of the training data held out for validation if no validation data is given; -1 selects a tenth of "
        "the rows, but at most 2,000. 0 disables it.",
        minimum=BY_DATA,
        maximum=0.9,
    )
    monitor: str = hparam("accuracy", "Validation metric that selects the best epoch, without the prefix val_.")
    network: str = hparam(
        "resnet",
        "Network architecture. A preset is a KerasHub image backbone with its own preprocessing.",
        choices=("mlp", "lenet", "alexnet", "vgg", "resnet", "preset:"),
    )
    depth: int = hparam(
        0,
        "Number of layers of `resnet` or `vgg`; 0 infers it. A `resnet` has 6n + 2 layers (8, 14, 20, and so on) for "
        "images below 64 pixels, and 18, 34, 50, 101 or 152 for larger ones; a `vgg` has 11, 13, 16 or 19. 0 selects a "
        "wide `resnet` with 0.31M parameters for images below 64 pixels, 18 layers for larger ones, and 16 layers for "
        "`vgg`.",
        minimum=0,
    )
    image_size: int = hparam(
        0,
        "Network input size in pixels, or 0 to infer it. A positive value is the side of a square. 0 selects the size "
        "of the training images if all have the same size, at most 224 x 224; otherwise, a square with the median of "
        "their shorter sides, at most 224.",
        minimum=0,
    )
    channels: int = hparam(
        0,
        "Color channels: 1, 3, or 0 to infer them. Images with 1 channel are grayscale, and those with 3 are "
        "RGB. 0 uses the channels of the training images.",
        minimum=0,
        maximum=3,
    )
    resize: Literal["stretch", "crop", "pad"] = hparam(
        "stretch",
        'Image resizing. The value "stretch" ignores the aspect ratio, "crop" keeps it and cuts off the edges, '
        'and "pad" keeps it and adds borders.',
    )
    max_pixels: int = hparam(
        50_000_000,
        "Maximum number of pixels of an image. Larger images are not decoded and count as unreadable.",
        minimum=1,
    )
    transparency: Literal["white", "drop"] = hparam(
        "white",
        "Alpha channel. The value `white` composites the image onto a white background, and `drop` discards the "
        "alpha channel.",
    )
    augmentation: Literal["auto", "none", "light", "strong"] = hparam(
        "auto",
        "Strength of augmentation. It sets `flip`, `shift`, `color_jitter` and `erase` unless you set them. With "
        "`light`, images are shifted by up to 1/12 of their shorter side, and color images get a color jitter of 0.2. "
        "With `strong`, these values are 1/8 and 0.4, and a rectangle is erased in a quarter of the images. With "
        "either, images are flipped horizontally if a linear classifier of thumbnails keeps at least 45% of its "
        "accuracy above chance on mirror images of held-out training images; if this cannot be tested, only color "
        "images are flipped. The value `auto` is the same as `light`.",
    )
    flip: Literal["auto", "none", "horizontal", "vertical"] = hparam(
        "auto",
        "Random flips. With `auto`, `augmentation` sets them. Training images are flipped with a probability of 0.5.",
    )
    test_time_flip: bool = hparam(
        False,
        "Whether to average with the mirror image. This test-time augmentation averages the predictions for an "
        "image and its mirror image, at twice the cost.",
    )
    shift: int = hparam(
        BY_DATA,
        "Maximum random shift in pixels; -1 selects it. The selected value depends on `augmentation`, and 0 disables "
        "shifts. Training images are shifted after they have been resized.",
        minimum=BY_DATA,
    )
    crop: float = hparam(
        1.0,
        "Minimum area of random crops, or 1 for none. It is a fraction of the image area.",
        minimum=0.05,
        maximum=1,
    )
    color_jitter: float = hparam(
        BY_DATA,
        "Color jitter strength, 0 to 1; -1 selects it. The selected value depends on `augmentation`, and 0 disables "
        "color jitter. At 1, brightness and contrast change by up to 50%, and saturation changes by up to 75%.",
        minimum=BY_DATA,
        maximum=1,
    )
    rand_augment: float = hparam(0.0, "RandAugment magnitude, from 0 (off) to 1.", minimum=0, maximum=1)
    erase: float = hparam(
        BY_DATA,
        "Probability of random erasing; -1 selects it. The selected value depends on `augmentation`, and 0 disables "
        "random erasing, which erases a random rectangle of a training image.",
        minimum=BY_DATA,
        maximum=1,
    )
    mixup_alpha: float = hparam(
        0.0, "MixUp alpha; 0 disables it. The mixing ratio is drawn from Beta(alpha, alpha).", minimum=0, maximum=1
    )
    cutmix_alpha: float = hparam(
        0.0, "CutMix alpha; 0 disables it. The mixing ratio is drawn from Beta(alpha, alpha).", minimum=0, maximum=1
    )
    dropout: float = hparam(0.0, "Dropout rate before the last layer.", minimum=0, maximum=0.95)
    label_smoothing: float = hparam(
        0.1,
        "Label smoothing; 0 disables it. This fraction of the target probability is spread evenly over all labels.",
        minimum=0,
        maximum=0.9,
    )
    class_weights: str = hparam(
        "",
        'Class weights: "balanced" or "cat=2,dog=1". With "balanced", weights are inversely proportional to '
        "the number of training examples of a label, with a mean of 1 over the examples. With weights by name, other "
        "labels have a weight of 1.",
    )
    multi_label: bool = hparam(
        False,
        "Whether an image can have several labels. With `multi_label=True`, an image can also have no label.",
    )
    score_threshold: float = hparam(
        0.5,
        "Minimum score of a label with `multi_label=True`. Otherwise, the option is not used.",
        minimum=0,
        maximum=1,
    )
    top_k: int = hparam(0, "Number of labels to return; 0 returns all. The best labels come first.", minimum=0)

    inputs = {"image": Image()}
    target = labels.SINGLE_TARGET
    answer = {**labels.SINGLE_ANSWER, "error": Reason()}
    rows = ImageRows
    primary_metric = "accuracy"
    training_only = (
        "augmentation", "flip", "shift", "color_jitter", "crop", "rand_augment", "erase", "mixup_alpha", "cutmix_alpha",
        "label_smoothing", "class_weights",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        self.labels_: list[str] = []
        self.max_sample_ = 0  # largest value in 16-bit training images; 0 if there are none
        self.class_weights_: list[float] = []
        self.augmentation_: dict[str, Any] = {}  # of the training images, and why
        check_channels(self.channels)
        if self.multi_label:
            self.target, self.primary_metric = labels.MULTI_TARGET, "micro_f1"
            self.answer = {**labels.MULTI_ANSWER, "error": Reason()}

    def build(self, examples: Table) -> Stages:
        column = self.target["label"]
        self.labels_ = labels.learn_labels(examples, column)
        self.class_weights_ = labels.compute_label_weights(self.class_weights, self.labels_, examples, column)
        shape = self.network_shape(examples)
        self.augmentation_ = self.choose_augmentation(examples, shape).as_dict()
        self.max_sample_ = find_max_sample(examples, self.inputs["image"], self.max_pixels)
        return self._stages(self._decode(shape), self._network(shape))

    def with_labels(self, stages: Stages) -> Stages:
        """Build the stages of a model for more labels, the first of which it knows; the network gets fresh weights."""
        network = labels.widen_output(stages.network, "logits", len(self.labels_))
        return self._stages(stages.preprocess, network)

    def _stages(self, preprocess: keras.Model, network: keras.Model) -> Stages:
        from dlkit.layers.blank_invalid_rows import blank_invalid_rows

        return Stages(
            preprocess=preprocess,
            network=network,
            postprocess=blank_invalid_rows(
                labels.rank_labels(self.labels_, self.multi_label, self.top_k, self.score_threshold)
            ),
            decode=_average_with_flip(network) if self.test_time_flip else None,
        )

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        tensors, targets = self.stages_.preprocess(features), labels.encode_labels(target["label"], self.labels_)
        if not self.class_weights:
            return tensors, {"logits": targets}
        return tensors, {"logits": targets}, labels.weigh_rows(targets, self.class_weights_)

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.tasks.image_classification.augment_images import augment_images

        chosen = self.augmentation_
        images, classes = augment_images(
            tensors["image"],
            tf.cast(target["logits"], tf.float32),
            seed=self.seed,
            step=step,
            flip=None if chosen["flip"] == "none" else chosen["flip"],
            shift=chosen["shift"],
            color_jitter=chosen["color_jitter"],
            crop=self.crop,
            rand_augment=self.rand_augment,
            erase=chosen["erase"],
            mixup_alpha=self.mixup_alpha,
            cutmix_alpha=self.cutmix_alpha,
        )
        return {"image": images}, {"logits": classes}

    def loss(self) -> Any:
        return labels.make_label_loss(self.multi_label, self.label_smoothing)

    def metrics(self) -> Any:
        return labels.make_label_metrics(self.multi_label)

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        return labels.present_labels(answer)

    def picture(self, rows: Rows) -> Any:
        from dlkit.tasks.image_classification.plots import plot_labeled_images, plot_scores

        plotted = rows.to_plot(24 if rows.labeled else MAX_IMAGES)
        images = plotted.raw_column("image", self.inputs["image"])
        answers = self.present_rows(self.predict_table(plotted))
        if not rows.labeled:
            return plot_scores(images, answers)
        true = plotted.raw_column("label", self.target["label"])
        names = [b", ".join(label).decode() if self.multi_label else label.decode() for label in true]
        return plot_labeled_images(images, names, answers)

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        score = score_multi if self.multi_label else score_single
        return score(targets["label"], answers, self.labels_)

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.vision.digits import digits

        return digits()

    def network_shape(self, examples: Table) -> tuple[int, int, int]:
        """Choose height, width and channels of the network's input for a table."""
        if self.image_size and self.channels:
            return self.image_size, self.image_size, self.channels
        height, width, channels = choose_shape(
            examples, self.inputs["image"], self.max_pixels, image_size=self.image_size, channels=self.channels
        )
        min_side = 0 if self.image_size else MIN_SIDES.get(self.network, 0)
        if min(height, width) < min_side:  # scaled by an integer, which keeps the aspect ratio
            factor = -(-min_side // min(height, width))
            height, width = height * factor, width * factor
        return height, width, channels

    def choose_augmentation(self, examples: Table, shape: tuple[int, int, int]) -> Augmentation:
        """Choose the augmentation for a table of training rows and the shape of the network's input."""
        column = self.target["label"]
        chosen = choose_augmentation(
            self.augmentation,
            examples,
            self.inputs["image"],
            None if self.multi_label else [name.decode() for name in examples.raw_column("label", column)],
            shape,
            self.max_pixels,
            tests_flips=self.flip == "auto",
        )
        given: dict[str, Any] = {
            name: getattr(self, name) for name in ("shift", "color_jitter", "erase") if getattr(self, name) >= 0
        }
        return replace(chosen, flip=chosen.flip if self.flip == "auto" else self.flip, **given)

    def _decode(self, shape: tuple[int, int, int]) -> keras.Model:
        from dlkit.vision.decode_image import DecodeImage

        encoded = keras.Input((), dtype="string", name="image")
        options: dict[str, Any] = {"transparency": self.transparency, "max_sample": self.max_sample_}
        outputs = DecodeImage(*shape, fit=self.resize, max_pixels=self.max_pixels, **options, name="decode_image")(
            encoded
        )
        return keras.Model({"image": encoded}, outputs, name="preprocess")

    def _network(self, shape: tuple[int, int, int]) -> keras.Model:
        outputs = len(self.labels_)
        if self.network.startswith("preset:"):
            from dlkit.vision.preset import preset

            return preset(self.network.removeprefix("preset:"), shape, outputs, dropout=self.dropout)
        if self.network == "resnet":
            from dlkit.tasks.image_classification.resnet import resnet

            return resnet(shape, outputs, depth=self.depth or None, dropout=self.dropout)
        if self.network == "vgg":
            from dlkit.tasks.image_classification.vgg import vgg

            return vgg(shape, outputs, blocks=_vgg_blocks(self.depth or 16), dropout=self.dropout)
        if self.network == "alexnet":
            from dlkit.tasks.image_classification.alexnet import alexnet

            return alexnet(shape, outputs, dropout=self.dropout)
        if self.network == "lenet":
            from dlkit.tasks.image_classification.lenet import lenet

            return lenet(shape, outputs, dropout=self.dropout)
        from dlkit.tasks.image_classification.mlp import mlp

        return mlp(shape, outputs, dropout=self.dropout)


def _average_with_flip(network: keras.Model) -> keras.Model:
    """Average the network's logits over an image and its mirror image."""
    image = keras.Input(network.input["image"].shape[1:], name="image")
    logits = [network({"image": view})["logits"] for view in (image, keras.ops.flip(image, axis=2))]
    return keras.Model(
        {"image": image}, {"logits": keras.layers.Average(dtype="float32")(logits)}, name="test_time_flip"
    )


def _vgg_blocks(depth: int) -> tuple[int, ...]:
    blocks = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
    if depth not in blocks:
        raise HparamError(
            f"{option('depth')} of vgg must be one of 11, 13, 16, 19. Received: {option('depth', depth)}."
        )
    return blocks[depth]
