"""Image segmentation: from an encoded image to a mask of the same size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dlkit.columns import Image, Reason, Scores
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.rows import ERROR, Rows
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.image_segmentation.columns import ClassIds, Mask
from dlkit.tasks.image_segmentation.loss_terms import parse_losses
from dlkit.tasks.image_segmentation.mask_rows import MaskRows, write_masks
from dlkit.vision.choose_flips import FLIP_HELP, ROTATE_HELP, choose_flips
from dlkit.vision.image_facts import check_channels, choose_shape, find_max_sample
from dlkit.vision.plots import MAX_IMAGES

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature

MAX_SIDE = 256  # maximum side of the network's input, in pixels, if `image_size` is 0


@dataclass(kw_only=True)
class ImageSegmenter(Task):
    """Segments images: predicts the class of each pixel, as a mask of the size of the image.

    Examples:
        >>> model = dlkit.ImageSegmenter(width=4, depth=2, epochs=1)
        >>> data = model.samples()
        >>> history = model.fit(data["train"], data["validation"], verbose=0)
        >>> image = data["test"]["image"][0]
        >>> model.predict(image)["mask"].shape == image.shape[:2]
        True
    """

    default_epochs = DefaultEpochs(30, fewest=600, most=20_000)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(4, "Number of training examples per step. It is the total over all devices.", minimum=1)
    learning_rate: float = hparam(6e-3, "Peak learning rate.", minimum=0)
    warmup: float = hparam(
        0.1,
        'Fraction of the training steps used for linear warmup of the learning rate. With `schedule="one_cycle"`, 0 '
        "selects 0.3.",
        minimum=0,
        maximum=0.9,
    )
    weight_decay: float = hparam(
        0.01, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0
    )
    monitor: str = hparam(
        "accuracy",
        "Validation metric that selects the best epoch: `accuracy`, the pixel accuracy, or `loss`. Metrics of "
        "`evaluate` such as `mean_iou` are not computed during training.",
    )
    network: str = hparam(
        "unet",
        "Network architecture. A preset is a DeepLabV3 or SegFormer of KerasHub, or another image backbone, "
        "which gets a new decoder.",
        choices=("unet", "deeplab_v3", "segformer", "preset:"),
    )
    width: int = hparam(
        16,
        "Number of filters of `unet` at the first level. It doubles at each further level. With `encoder`, it applies "
        "to the decoder.",
        minimum=1,
    )
    depth: int = hparam(
        4, "Number of downsampling steps of `unet`. With `encoder`, there are always five.", minimum=1, maximum=8
    )
    encoder: str = hparam(
        "",
        "Encoder of `unet`, such as MobileNetV2. It is the name of a model of `keras.applications`, for example "
        "EfficientNetV2B0. Without it, `unet` is trained with its own plain encoder.",
    )
    encoder_weights: str = hparam(
        "",
        'Encoder weights: "imagenet" or a file. The weights named "imagenet" are downloaded by Keras. (default: '
        "random)",
    )
    image_size: int = hparam(
        0,
        "Network input size in pixels, or 0 to infer it. A positive value is the side of a square. 0 selects the size "
        "of the training images if all have the same size, at most 256 x 256; otherwise, a square with the median of "
        "their shorter sides, at most 256.",
        minimum=0,
    )
    channels: int = hparam(
        0,
        "Color channels: 1, 3, or 0 to infer them. Images with 1 channel are grayscale, and those with 3 are "
        "RGB. 0 uses the channels of the training images.",
        minimum=0,
        maximum=3,
    )
    resize: Literal["stretch", "pad"] = hparam(
        "pad", "Image resizing. The value `stretch` ignores the aspect ratio, and `pad` keeps it and adds borders."
    )
    tiles: bool = hparam(
        False,
        "Whether to process large images in tiles. Images are read at their original resolution, in overlapping "
        "tiles of the network's input size, in training and in prediction.",
    )
    tile_overlap: float = hparam(0.25, "Overlap of tiles, as a fraction of a tile's side.", minimum=0, maximum=0.9)
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
    flip: Literal["auto", "none", "horizontal", "vertical", "both"] = hparam("auto", FLIP_HELP)
    rotate_90: bool | None = hparam(None, ROTATE_HELP)
    rotate: float = hparam(0.0, "Maximum random rotation, in degrees. 0 disables it.", minimum=0, maximum=180)
    scale: float = hparam(
        0.0,
        "Maximum random shrinking; 0 disables it. Each training image is shrunk by a factor between 1 and 1 plus "
        "this value.",
        minimum=0,
        maximum=3,
    )
    crop: float = hparam(
        1.0,
        "Minimum area of random crops, or 1 for none. It is a fraction of the image area.",
        minimum=0.01,
        maximum=1,
    )
    color_jitter: float = hparam(
        0.0,
        "Strength of random color changes, 0 to 1. At 1, brightness and contrast change by up to 50%, and "
        "saturation changes by up to 75%.",
        minimum=0,
        maximum=1,
    )
    losses: str = hparam(
        "cross_entropy+dice", "Losses joined by +: cross_entropy, dice, focal. They are added with equal weights."
    )
    class_weights: str = hparam(
        "",
        'Class weights: "balanced" or "road=2,sky=1". With "balanced", weights are inversely proportional to the '
        "number of training pixels of a class, with a mean of 1 over the pixels. With weights by name, other classes "
        "have a weight of 1.",
    )
    dropout: float = hparam(
        0.0,
        "Dropout rate at the deepest level. For `segformer`, it is also that of its transformer blocks.",
        minimum=0,
        maximum=0.95,
    )

    inputs = {"image": Image()}
    target = {"mask": Mask()}
    answer = {"mask_bytes": Mask(), "error": Reason()}
    extra_outputs = {"mask": ClassIds(), "scores": Scores()}
    rows = MaskRows
    prediction_writer = write_masks
    primary_metric = "mean_iou"
    training_only = ("flip", "rotate_90", "rotate", "scale", "crop", "color_jitter", "losses", "class_weights")

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_losses(self.losses)
        self.labels_: list[str] = []
        self.max_sample_ = 0  # largest value in 16-bit training images; 0 if there are none
        self.class_weights_: list[float] | None = None
        self.tile_grid_ = [1, 1]  # rows and columns of tiles of a typical training image
        self.flips_: dict[str, Any] = {}  # the flips and rotations of training images, and why
        check_channels(self.channels)

    def build(self, examples: Table) -> Stages:
        from dlkit.tasks.image_segmentation.mask_rows import check_masks

        num_classes = check_masks(examples)
        self.labels_ = list(examples.classes) or [str(number) for number in range(num_classes)]
        if len(self.labels_) < 2:
            raise DataError(f"{examples.source}: a segmenter needs at least two classes. Found: {self.labels_}.")
        shape = self.network_shape(examples)
        self.compute_mask_statistics(examples, shape[:2])
        self.flips_ = choose_flips(self, examples, shape[:2]).as_dict()
        self.max_sample_ = find_max_sample(examples, self.inputs["image"], self.max_pixels)
        return self._stages(self._decode(shape), self._network(shape))

    def with_labels(self, stages: Stages) -> Stages:
        """Build the stages of a model for more classes, the first of which it knows; the network gets fresh weights."""
        from dlkit.classification.labels import widen_output

        return self._stages(stages.preprocess, widen_output(stages.network, "classes", len(self.labels_)))

    def _stages(self, preprocess: keras.Model, network: keras.Model) -> Stages:
        if self.tiles:
            return Stages(preprocess, network, _identity("mask_bytes"), decode=self._tiled(network))
        return Stages(preprocess, network, self._postprocess(network))

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, Any]:
        from dlkit.tasks.image_segmentation.logits_to_masks import resize_masks
        from dlkit.tasks.image_segmentation.tiled_inference import extract_tiles

        height, width, _ = self._shape()
        if self.tiles:
            decode = self.stages_.serving_models()[1].get_layer("tiled_inference").decode
            images, masks, errors = extract_tiles(features["image"], target["mask"], decode, self.tile_grid_)
            return {"image": images, ERROR: errors}, {"logits": masks}
        outputs = self.stages_.preprocess(features)
        tensors = {"image": outputs["image"], ERROR: outputs[ERROR]}
        return tensors, {"logits": resize_masks(target["mask"], height, width, self.resize)}

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.tasks.image_segmentation.augment_masks import augment_masks

        images, masks = augment_masks(
            tensors["image"],
            target["logits"],
            seed=self.seed,
            step=step,
            flip=self.flips_["flip"],
            rotate_90=self.flips_["rotate_90"],
            rotate=self.rotate,
            scale=self.scale,
            crop=self.crop,
            color_jitter=self.color_jitter,
        )
        return {"image": images}, {"logits": masks}

    def loss(self) -> Any:
        from dlkit.tasks.image_segmentation.losses import build_mask_loss

        return {"logits": build_mask_loss(self.losses, self.class_weights_)}

    def metrics(self) -> Any:
        from dlkit.tasks.image_segmentation.losses import pixel_accuracy

        return {"logits": [keras.metrics.MeanMetricWrapper(pixel_accuracy, name="accuracy")]}

    def signatures(self) -> list[Signature]:
        from dlkit.serving.signature import Signature

        def predict_mask(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            logits = self.stages_.network({"image": tensors["image"]}, training=False)["logits"]
            return {"mask": tf.cast(tf.argmax(logits, axis=-1), tf.uint8)}

        def predict_scores(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            logits = self.stages_.network({"image": tensors["image"]}, training=False)["logits"]
            best = tf.reduce_max(tf.nn.softmax(logits), axis=-1)
            return {"mask": tf.cast(tf.argmax(logits, axis=-1), tf.uint8), "scores": best}

        def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return {"image": self.stages_.preprocess(raw)["image"]}

        inputs = {"image": tf.TensorSpec([None, *self._shape()], tf.uint8)}
        return [
            Signature("preprocessed", predict_mask, inputs, example=example),
            Signature("preprocessed_with_scores", predict_scores, inputs, example=example),
        ]

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        mask = answer["mask_bytes"]
        counts = np.bincount(mask.ravel(), minlength=len(self.labels_))
        fractions = {self.labels_[number]: float(counts[number] / mask.size) for number in np.flatnonzero(counts)}
        return {"mask": mask, "classes": [*fractions], "pixel_fractions": fractions}

    def picture(self, rows: Rows) -> Any:
        from dlkit.tasks.image_segmentation.plots import plot_masks, plot_predicted_masks

        confusion = (
            self.evaluate_rows(rows)["confusion"] if rows.labeled else {}
        )  # also rotates masks of images as stored
        plotted = rows.to_plot(6 if rows.labeled else MAX_IMAGES)
        images = plotted.raw_column("image", self.inputs["image"])
        predicted_masks = [answer["mask"] for answer in self.present_rows(self.predict_table(plotted))]
        if not rows.labeled:
            return plot_predicted_masks(images, predicted_masks, self.labels_)
        true_masks = [*map(self.target["mask"].show, plotted.raw_column("mask", self.target["mask"]))]
        return plot_masks(images, true_masks, predicted_masks, confusion)

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.image_segmentation.metrics import score_masks

        return score_masks(targets["mask"], answers["mask_bytes"], self.labels_)

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.vision.scenes import segmentation_sample

        return segmentation_sample()

    def network_shape(self, examples: Table) -> tuple[int, int, int]:
        """Choose height, width and channels of the network's input for a table."""
        return choose_shape(
            examples,
            self.inputs["image"],
            self.max_pixels,
            image_size=self.image_size,
            channels=self.channels,
            largest=MAX_SIDE,
        )

    def _shape(self) -> tuple[int, int, int]:
        return self.stages_.network.input["image"].shape[1:]

    def compute_mask_statistics(self, examples: Table, size: tuple[int, int]) -> None:
        """Compute class weights, and the number of tiles of a typical image.

        Args:
            examples: training rows.
            size: height and width of the network's input, in pixels.
        """
        from dlkit.classification.labels import compute_class_weights
        from dlkit.tasks.image_segmentation.mask_rows import count_pixels_and_sizes
        from dlkit.tasks.image_segmentation.tiled_inference import count_tiles

        if not (self.class_weights or self.tiles):
            return
        counts, sizes = count_pixels_and_sizes(examples, len(self.labels_))
        if self.class_weights:
            weights = compute_class_weights(self.class_weights, self.labels_, counts, counts.sum())
            self.class_weights_ = weights.tolist()
        if self.tiles:
            height, width = np.median(sizes, axis=0).astype(int)
            self.tile_grid_ = list(count_tiles(int(height), int(width), size))

    def _network(self, shape: tuple[int, int, int]) -> keras.Model:
        num_classes = len(self.labels_)
        if self.network.startswith("preset:"):
            from dlkit.tasks.image_segmentation.preset import preset_segmenter

            return preset_segmenter(self.network.removeprefix("preset:"), shape, num_classes, dropout=self.dropout)
        if self.network == "deeplab_v3":
            from dlkit.tasks.image_segmentation.deeplab_v3 import deeplab_v3

            return deeplab_v3(shape, num_classes, dropout=self.dropout)
        if self.network == "segformer":
            from dlkit.tasks.image_segmentation.segformer import segformer

            return segformer(shape, num_classes, dropout=self.dropout)
        from dlkit.tasks.image_segmentation.unet import unet

        options: dict[str, Any] = {"width": self.width, "depth": self.depth, "dropout": self.dropout}
        return unet(shape, num_classes, encoder=self.encoder, weights=self.encoder_weights, **options)

    def _decode(self, shape: tuple[int, int, int]) -> keras.Model:
        from dlkit.vision.decode_image import DecodeImage

        encoded = keras.Input((), dtype="string", name="image")
        options = {"fit": self.resize, "max_pixels": self.max_pixels, "with_size": True, **self._decode_options()}
        decode = DecodeImage(*shape, **options, name="decode_image")
        # Tiles are read from the encoded file, one image at a time: a batch of decoded images may not fit in memory.
        file = {"encoded_image": encoded} if self.tiles else {}
        return keras.Model({"image": encoded}, {**decode(encoded), **file}, name="preprocess")

    def _tiled(self, network: keras.Model) -> keras.Model:
        from dlkit.tasks.image_segmentation.tiled_inference import TiledInference

        encoded = keras.Input((), dtype="string", name="encoded_image")
        options = self._decode_options()
        outputs = TiledInference(network, self.tile_overlap, self.max_pixels, options, name="tiled_inference")(encoded)
        return keras.Model({"encoded_image": encoded}, outputs, name="decode")

    def _decode_options(self) -> dict[str, Any]:
        return {"transparency": self.transparency, "max_sample": self.max_sample_}

    def _postprocess(self, network: keras.Model) -> keras.Model:
        from dlkit.layers.blank_invalid_rows import blank_invalid_rows
        from dlkit.tasks.image_segmentation.logits_to_masks import LogitsToMasks

        logits = keras.Input(network.output["logits"].shape[1:], name="logits")
        size = keras.Input((2,), dtype="int32", name="original_size")
        masks = LogitsToMasks(self.resize, name="logits_to_masks")(logits, size)
        inputs = {"logits": logits, "original_size": size}
        return blank_invalid_rows(keras.Model(inputs, {"mask_bytes": masks}, name="postprocess"))


def _identity(name: str) -> keras.Model:
    tensor = keras.Input((), dtype="string", name=name)
    return keras.Model({name: tensor}, {name: tensor}, name="postprocess")
