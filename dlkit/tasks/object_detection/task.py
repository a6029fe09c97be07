"""Object detection: from an encoded image to labeled boxes in its pixels."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dlkit.columns import Count, Image, Labels, Reason, Score, Scores, tensor_specs
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.rows import ERROR, Rows
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.object_detection.boxes import ObjectRows, choose_image_side
from dlkit.tasks.object_detection.coco_results import write_coco_results
from dlkit.tasks.object_detection.columns import Boxes, BoxLabels, CrowdBoxes
from dlkit.vision.choose_flips import FLIP_HELP, ROTATE_HELP, choose_flips
from dlkit.vision.image_facts import check_channels, choose_shape, find_max_sample
from dlkit.vision.plots import MAX_IMAGES

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature

SIDE_MULTIPLE = 32  # sides of the network's input are multiples of its largest stride, in pixels
MAX_SIDE = 512  # maximum side of the network's input, in pixels, if `image_size` is 0
MAX_SIDE_SMALL_OBJECTS = 1024  # the same for images with small objects
MIN_OBJECT_SIDE = (
    8  # median shorter side of the objects, in pixels of the network's input, below which the input is enlarged
)


@dataclass(kw_only=True)
class ObjectDetector(Task):
    """Detects objects in images: their boxes, labels and scores.

    Examples:
        >>> model = dlkit.ObjectDetector(width=8, epochs=1)
        >>> data = model.samples()
        >>> history = model.fit(data["train"], data["validation"], verbose=0)
        >>> answer = model.predict(data["test"]["image"][0])
        >>> sorted(answer)
        ['boxes', 'labels', 'num_detections', 'scores']
    """

    default_epochs = DefaultEpochs(60, fewest=800, most=20_000)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(16, "Number of training examples per step. It is the total over all devices.", minimum=1)
    learning_rate: float = hparam(2e-3, "Peak learning rate.", minimum=0)
    warmup: float = hparam(
        0.1,
        'Fraction of the training steps used for linear warmup of the learning rate. With `schedule="one_cycle"`, 0 '
        "selects 0.3.",
        minimum=0,
        maximum=0.9,
    )
    weight_decay: float = hparam(
        0.02, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0
    )
    clip_norm: float = hparam(10.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0)
    network: str = hparam(
        "centernet",
        "Network architecture. A preset is a KerasHub backbone, which gets a feature pyramid and the heads of "
        "`retinanet`.",
        choices=("centernet", "retinanet", "yolo_v8", "preset:"),
    )
    width: int = hparam(
        32, "Number of filters of the first layer of `centernet`. The other layers scale with it.", minimum=8
    )
    box_weight: float = hparam(5.0, "Weight of `centernet`'s box loss. It is relative to the heatmap loss.", minimum=0)
    image_size: int = hparam(
        0,
        "Network input size in pixels, or 0 to infer it. A positive value is the side of a square. Sides are rounded "
        "up to a multiple of 32. 0 selects the size of the training images if all have the same size, or a square "
        "with the median of their shorter sides: at most 512, or up to 1024 if at 512 at least half of the objects "
        "would have a shorter side of less than 8 pixels.",
        minimum=0,
    )
    channels: int = hparam(
        0,
        "Color channels: 1, 3, or 0 to infer them. Images with 1 channel are grayscale, and those with 3 are "
        "RGB. 0 uses the channels of the training images.",
        minimum=0,
        maximum=3,
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
    flip: Literal["auto", "none", "horizontal", "vertical", "both"] = hparam("auto", FLIP_HELP)
    rotate_90: bool | None = hparam(None, ROTATE_HELP)
    scale: float = hparam(
        0.5,
        "Maximum random shrinking; 0 disables it. Each training image is shrunk by a factor between 1 and 1 plus "
        "this value.",
        minimum=0,
        maximum=3,
    )
    crop: float = hparam(
        0.36,
        "Minimum area of random crops, or 1 for none. It is a fraction of the image area.",
        minimum=0.01,
        maximum=1,
    )
    color_jitter: float = hparam(
        0.5,
        "Strength of random color changes, 0 to 1. At 1, brightness and contrast change by up to 50%, and "
        "saturation changes by up to 75%.",
        minimum=0,
        maximum=1,
    )
    mosaic: float = hparam(
        0.3,
        "Fraction of training images replaced by mosaics of four images. 0 disables mosaics.",
        minimum=0,
        maximum=1,
    )
    mixup: float = hparam(0.0, "Fraction of images blended with another one. 0 disables it.", minimum=0, maximum=1)
    dropout: float = hparam(0.0, "Dropout rate before the heads. It is not used by `yolo_v8`.", minimum=0, maximum=0.95)
    score_threshold: float = hparam(
        0.05,
        "Minimum score of a returned detection. The default suits AP, which ranks all detections; a higher "
        "threshold, such as 0.3, suits display.",
        minimum=0,
        maximum=1,
    )
    iou_threshold: float = hparam(0.5, "IoU threshold of non-maximum suppression.", minimum=0, maximum=1)
    max_detections: int = hparam(100, "Maximum number of detections per image.", minimum=1)

    inputs = {"image": Image()}
    target = {"boxes": CrowdBoxes(), "labels": BoxLabels()}
    answer = {"boxes": Boxes(), "labels": Labels(), "scores": Scores(), "num_detections": Count(), "error": Reason()}
    rows = ObjectRows
    prediction_writer = write_coco_results
    primary_metric = "AP50"
    shown_metrics = ("AP50", "AP")
    training_only = ("box_weight", "flip", "rotate_90", "scale", "crop", "color_jitter", "mosaic", "mixup")
    default_max_side = MAX_SIDE

    def __post_init__(self) -> None:
        super().__post_init__()
        self.labels_: list[str] = []
        self.max_sample_ = 0  # largest value in 16-bit training images; 0 if there are none
        self.max_objects_ = 0  # maximum number of objects per training image
        self.mean_objects_ = 0.0  # mean number of objects per training image
        self.flips_: dict[str, Any] = {}  # the flips and rotations of training images, and why
        check_channels(self.channels)

    def build(self, examples: Table) -> Stages:
        names = examples.raw_column("labels", self.target["labels"])
        counts = [len(labels) for labels in names]
        if not sum(counts):
            raise DataError(f"{examples.source}: none of its {len(examples)} images has an object. Annotate some.")
        found = {label.decode() for labels in names for label in labels}
        self.labels_ = list(examples.classes) or sorted(found)
        self.max_objects_, self.mean_objects_ = max(counts), max(sum(counts) / len(counts), 1.0)
        shape = self.network_shape(examples)
        self.flips_ = choose_flips(self, examples, shape[:2]).as_dict()
        self.max_sample_ = find_max_sample(examples, self.inputs["image"], self.max_pixels)
        network = self._network(shape)
        return Stages(preprocess=self._decode(shape), network=network, postprocess=self._detect(shape, network))

    def with_labels(self, stages: Stages) -> Stages:
        """Build the stages of a model for more labels, the first of which it knows; the network gets fresh weights."""
        shape = stages.network.input["image"].shape[1:]
        network = self._network(shape)
        return Stages(stages.preprocess, network, self._detect(shape, network))

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, Any]:
        from dlkit.tasks.object_detection.objects import letterbox_objects

        outputs = self.stages_.preprocess(features)
        height, width = outputs["image"].shape[1:3]
        objects = letterbox_objects(
            target["boxes"], target["labels"], outputs["original_size"], self.labels_, height, width, self.max_objects_
        )
        return {"image": outputs["image"], ERROR: outputs[ERROR]}, {"predictions": objects}

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.tasks.object_detection.augment_objects import augment_objects

        images, objects = augment_objects(
            tensors["image"],
            target["predictions"],
            seed=self.seed,
            step=step,
            flip=self.flips_["flip"],
            rotate_90=self.flips_["rotate_90"],
            scale=self.scale,
            crop=self.crop,
            color_jitter=self.color_jitter,
            mosaic=self.mosaic,
            mixup=self.mixup,
        )
        return {"image": images}, {"predictions": objects}

    def loss(self) -> Any:
        shape = self.stages_.network.input["image"].shape[1:]
        options: dict[str, dict[str, Any]] = {
            "centernet": {"box_weight": self.box_weight},
            "yolo_v8": {"num_classes": len(self.labels_)},
        }
        return {"predictions": self._detector().build_loss(shape, self.mean_objects_, **options.get(self.network, {}))}

    def metrics(self) -> Any:
        return {"predictions": []}

    def signatures(self) -> list[Signature]:
        from dlkit.serving.signature import Signature

        decoder = self.stages_.postprocess.get_layer("detection_decoder")

        def predict(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            outputs = self.stages_.preprocess({"image": tensors["image"]})
            predictions = self.stages_.network({"image": outputs["image"]}, training=False)["predictions"]
            thresholds = tensors["score_threshold"], tensors["iou_threshold"]
            detections = decoder.call_with_thresholds(predictions, outputs["original_size"], *thresholds)
            blank = self.stages_.postprocess.get_layer("blank_invalid_rows")
            return {**blank(outputs[ERROR], detections), ERROR: outputs[ERROR]}

        def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            rows = tf.ones_like(raw["image"], tf.float32)
            return {**raw, "score_threshold": rows * self.score_threshold, "iou_threshold": rows * self.iou_threshold}

        columns = {
            **self.inputs,
            "score_threshold": Score(optional=True, default=self.score_threshold, limits=Limits(0, 1)),
            "iou_threshold": Score(optional=True, default=self.iou_threshold, limits=Limits(0, 1)),
        }
        return [Signature("thresholds", predict, tensor_specs(columns), example=example, columns=columns)]

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        count = answer["num_detections"]
        return {name: answer[name][:count] for name in ("boxes", "labels", "scores")}

    def picture(self, rows: Rows) -> Any:
        from dlkit.tasks.object_detection.plots import plot_detections, plot_predicted_boxes

        plotted = rows.to_plot(8 if rows.labeled else MAX_IMAGES)
        images = plotted.raw_column("image", self.inputs["image"])
        answers = self.present_rows(self.predict_table(plotted))
        if not rows.labeled:
            return plot_predicted_boxes(images, answers, self.labels_)
        curve = self.evaluate_rows(rows).get("precision_recall", [])
        return plot_detections(images, plotted.raw_column("boxes", self.target["boxes"]), answers, curve)

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.object_detection.metrics import score_objects

        return score_objects(targets, answers, self.labels_)

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.vision.scenes import detection_sample

        return detection_sample()

    def _detector(self) -> Any:
        name = "retinanet" if self.network.startswith("preset:") else self.network
        return importlib.import_module(f"dlkit.tasks.object_detection.{name}")

    def network_shape(self, examples: Table) -> tuple[int, int, int]:
        """Choose height, width and channels of the network's input for a table."""
        return choose_shape(
            examples,
            self.inputs["image"],
            self.max_pixels,
            image_size=self.image_size,
            channels=self.channels,
            largest=MAX_SIDE
            if self.image_size
            else choose_image_side(examples, MAX_SIDE, MAX_SIDE_SMALL_OBJECTS, MIN_OBJECT_SIDE),
            multiple=SIDE_MULTIPLE,
        )

    def _network(self, shape: tuple[int, int, int]) -> keras.Model:
        build_network, num_classes = self._detector().build_network, len(self.labels_)
        if self.network == "yolo_v8":
            return build_network(shape, num_classes)
        if self.network == "centernet":
            return build_network(shape, num_classes, width=self.width, dropout=self.dropout)
        return build_network(shape, num_classes, preset=self.network.partition(":")[2], dropout=self.dropout)

    def _decode(self, shape: tuple[int, int, int]) -> keras.Model:
        from dlkit.vision.decode_image import DecodeImage

        encoded = keras.Input((), dtype="string", name="image")
        options: dict[str, Any] = {"fit": "pad", "max_pixels": self.max_pixels, "with_size": True}
        options |= {"transparency": self.transparency, "max_sample": self.max_sample_}
        outputs = DecodeImage(*shape, **options, name="decode_image")(encoded)
        return keras.Model({"image": encoded}, outputs, name="preprocess")

    def _detect(self, shape: tuple[int, int, int], network: keras.Model) -> keras.Model:
        from dlkit.layers.blank_invalid_rows import blank_invalid_rows
        from dlkit.tasks.object_detection.detection_decoder import DetectionDecoder

        predictions = keras.Input(network.output["predictions"].shape[1:], name="predictions")
        size = keras.Input((2,), dtype="int32", name="original_size")
        decoder = DetectionDecoder(
            self._detector().__name__.rpartition(".")[2], *shape[:2], self.labels_, self.max_detections,
            self.score_threshold, self.iou_threshold, name="detection_decoder",
        )  # fmt: skip
        inputs = {"predictions": predictions, "original_size": size}
        return blank_invalid_rows(keras.Model(inputs, decoder(predictions, size), name="postprocess"))
