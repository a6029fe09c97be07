"""Image generation: new images like those of the training data, by seed and label."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dlkit.columns import Column, Image, Reason
from dlkit.data.split import evenly_spaced
from dlkit.data.table import Table
from dlkit.errors import DataError, HparamError
from dlkit.hparams import hparam, take_defaults
from dlkit.lazy import tf
from dlkit.options import option
from dlkit.rows import ERROR, Rows
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.image_generation.columns import Anomaly, Condition, GeneratedImage, Guidance, Latent, Nats, Seed, Steps
from dlkit.tasks.image_generation.network_options import DEFAULTS, LOSSES, REQUESTED
from dlkit.tasks.image_generation.rows import IMAGE, LABEL, SCORED_STEPS, ImageRows
from dlkit.vision.image_facts import check_channels, choose_shape, find_max_sample

if TYPE_CHECKING:
    import numpy as np

    from dlkit.serving.signature import Signature
    from dlkit.vision.decode_image import DecodeImage

MAX_SIDE, INFERRED_SIDE = 128, 64  # of generated images in pixels: at most, and at most if `image_size` is 0
MAX_STEP_PIXELS = 2**22  # steps times pixels of a request: 256 steps of 128 x 128 pixels


@dataclass(kw_only=True)
class ImageGenerator(Task):
    """Generates images like those that it has learned from, by label if they have labels.

    Examples:
        >>> model = dlkit.ImageGenerator(width=8, blocks=1, sampling_steps=2, epochs=1)
        >>> history = model.fit(model.samples()["train"], verbose=0)
        >>> model.predict({"label": "3", "seed": 1})["image"].shape
        (8, 8)
    """

    default_epochs = DefaultEpochs(30, fewest=2_000, most=100_000)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(64, "Number of training examples per step. It is the total over all devices.", minimum=1)
    learning_rate: float = hparam(2e-3, "Peak learning rate. Default for `gan`: `0.001`.", minimum=0)
    warmup: float = hparam(
        0.1,
        'Fraction of the training steps used for linear warmup of the learning rate. With `schedule="one_cycle"`, 0 '
        "selects 0.3.",
        minimum=0,
        maximum=0.9,
    )
    clip_norm: float = hparam(1.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0)
    ema: float = hparam(
        0.999,
        "Decay of an exponential moving average of the weights. The averaged weights are used for validation and in "
        "the final model. 0 disables it.",
        minimum=0,
        maximum=0.999999,
    )
    monitor: str = hparam(
        "kid_skill",
        "Validation metric that selects the best epoch, without the prefix val_: `kid_skill`, measured every few "
        "epochs, or `loss`. Default for `vae`: `loss`.",
    )
    network: str = hparam("diffusion", "Kind of generator.", choices=("diffusion", "gan", "vae"))
    image_size: int = hparam(
        0,
        "Side of the generated square images in pixels, or 0 to infer their size. 0 selects the size of the training "
        "images if all have the same size, at most 64 x 64; otherwise, a square with the median of their shorter "
        "sides, at most 64.",
        minimum=0,
        maximum=MAX_SIDE,
    )
    channels: int = hparam(
        0,
        "Color channels: 1, 3, or 0 to infer them. Images with 1 channel are grayscale, and those with 3 are RGB. 0 "
        "uses the channels of the training images.",
        minimum=0,
        maximum=3,
    )
    resize: Literal["crop", "stretch", "pad"] = hparam(
        "crop",
        'Image resizing. The value "crop" keeps the aspect ratio and cuts off the edges, "stretch" ignores it, and '
        '"pad" keeps it and adds borders.',
    )
    max_pixels: int = hparam(
        50_000_000,
        "Maximum number of pixels of an image. Larger images are not decoded and count as unreadable.",
        minimum=1,
    )
    width: int = hparam(
        48,
        "Features of the first level, a multiple of 8. Each level doubles it. Default for `gan` and `vae`: `32`.",
        minimum=8,
    )
    depth: int = hparam(
        0,
        "Number of levels, or 0 to select it. Each level has half the size of the one before. 0 selects 2 levels, or 3 "
        "for more than 16 patches in a row. It applies to `diffusion` and `gan`.",
        minimum=0,
    )
    blocks: int = hparam(
        2,
        "Number of residual blocks per level. It applies to `diffusion` and `gan`. Default for `gan`: `1`.",
        minimum=1,
    )
    patch: int = hparam(
        0,
        "Side of the patches in pixels; 0 selects it. The selected value is 1 for images below 24 pixels, 2 up to 64, "
        "and 4 for larger ones. It applies to `diffusion` and `gan`.",
        minimum=0,
        maximum=8,
    )
    dropout: float = hparam(
        0.0, "Dropout rate in the residual blocks. It applies to `diffusion`.", minimum=0, maximum=0.95
    )
    label_dropout: float = hparam(
        0.1,
        "Fraction of examples without their label. Guidance needs such training examples, and the model then also "
        "generates images without a label.",
        minimum=0,
        maximum=1,
    )
    sampler: Literal["ddim", "ancestral"] = hparam(
        "ddim",
        "Sampler. The value `ddim` adds no noise on the way, and needs fewer steps than `ancestral`. It applies to "
        "`diffusion`.",
    )
    sampling_steps: int = hparam(
        20, "Number of denoising steps. Requests can set another one. It applies to `diffusion`.", minimum=1
    )
    guidance: float = hparam(
        1.5,
        "Strength of classifier-free guidance. Requests can set another one. 1 is none; higher values give images that "
        "are more typical of their label, and less varied. It applies to `diffusion`.",
        minimum=0,
        maximum=50,
    )
    latents: int = hparam(
        32,
        "Length of the latent vectors. It applies to `gan` and `vae`. Default for `gan`: `64`.",
        minimum=2,
        maximum=4096,
    )
    likelihood: Literal["bernoulli", "logistic"] = hparam(
        "bernoulli",
        "Distribution of pixels. The value `bernoulli` takes their levels for probabilities of white, `logistic` has a "
        "mean and a scale for each of them. It applies to `vae`.",
    )
    beta: float = hparam(
        1.0,
        "Weight of the divergence in the loss. It is that from the prior, and 1 gives the ELBO. It applies to `vae`.",
        minimum=0,
    )
    free_nats: float = hparam(
        0.0, "Free bits: divergence of an image, in nats, that costs nothing. It applies to `vae`.", minimum=0
    )
    adversarial_loss: Literal["hinge", "non_saturating"] = hparam("hinge", "Losses of generator and critic of `gan`.")
    critic_learning_rate: float = hparam(
        1.0,
        "Relative learning rate of the critic. It is a multiple of `learning_rate`. It applies to `gan`.",
        minimum=0.01,
        maximum=100,
    )
    augmented_share: float = hparam(
        0.0,
        "Fraction of images augmented for the critic. Real and generated images are shifted, change their colors, and "
        "have a square cut out before the critic sees them. It helps with few training images. It applies to `gan`.",
        minimum=0,
        maximum=1,
    )

    feature_model: str = hparam(
        "",
        "Network whose features are compared. Metrics compare generated images with real ones in the features of: the "
        'folder of an image classifier that dlkit has saved, a `.keras` file of a classifier, or "patches" for '
        "features that need no network. Empty selects a small classifier that `fit` trains on the training images, or "
        "patches if there are no labels.",
    )

    public_methods = (
        *(*Task.public_methods, "generate", "plot_denoising", "plot_interpolation", "plot_nearest"),
        *("anomaly_scores", "from_latents", "reconstruct", "to_latents"),
    )
    target = {IMAGE: Image()}
    answer = {"image_bytes": GeneratedImage(), ERROR: Reason()}
    extra_outputs = {"latent": Latent(), "anomaly": Anomaly(), "negative_elbo": Nats()}
    rows = ImageRows
    primary_metric = "kid_skill"
    shown_metrics = ("kid_skill", "kid", "fid")
    max_inference_batch = 32
    training_only = ("label_dropout",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.labels_: list[str] = []  # none of data without labels
        self.shape_: list[int] = []  # height, width and channels
        self.max_sample_ = 0  # largest value in 16-bit training images; 0 if there are none
        check_channels(self.channels)
        take_defaults(self, DEFAULTS.get(self.network, {}), self._given_hparams)
        if self.network == "diffusion":  # passes with and without label, where a training row takes one, and backward
            self.answer_cost = min(SCORED_STEPS, self.sampling_steps) * 2 / 3
        requested: dict[str, Column] = {
            "steps": Steps(optional=True, default=self.sampling_steps),
            "guidance": Guidance(optional=True, default=self.guidance),
        }
        self.inputs = {
            LABEL: Condition(optional=True, default=""),
            "seed": Seed(optional=True, default=0),
            **{name: requested[name] for name in REQUESTED.get(self.network, ())},
        }

    def build(self, examples: Table) -> Stages:
        from dlkit.tasks.image_generation.stages import build_stages

        column = self.target[IMAGE]
        self.shape_ = list(self.network_shape(examples))
        self.max_sample_ = find_max_sample(examples, column, self.max_pixels)
        self.labels_ = self._learn_labels(examples)
        if self.sampling_steps > self.max_steps:
            raise HparamError(
                f"{option('sampling_steps')} must be at most {self.max_steps} for images of {self.shape_[0]} x "
                f"{self.shape_[1]} pixels. Received: {self.sampling_steps}."
            )
        return build_stages(self)

    def with_labels(self, stages: Stages) -> Stages:
        """Build the stages of a model for more labels, the first of which it knows; the network gets fresh weights."""
        from dlkit.tasks.image_generation.stages import build_stages

        del stages
        return build_stages(self)

    @property
    def max_steps(self) -> int:
        """The maximum number of steps of a request."""
        return MAX_STEP_PIXELS // (self.shape_[0] * self.shape_[1])

    def network_shape(self, examples: Table) -> tuple[int, int, int]:
        """Choose height, width and channels of the generated images for a table."""
        options: dict[str, Any] = {"image_size": self.image_size, "channels": self.channels}
        return choose_shape(examples, self.target[IMAGE], self.max_pixels, largest=INFERRED_SIDE, **options)

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, Any]:
        from dlkit.tasks.image_generation.read_request import look_up_labels

        decoded = self.image_decoder()(target[IMAGE])
        digest = tf.cast(tf.strings.to_hash_bucket_fast(target[IMAGE], 2**31 - 1), tf.int32)
        tensors = {
            "image": decoded["image"],
            "label_id": tf.maximum(look_up_labels(features[LABEL], self.labels_), 0),
            "row_seed": tf.stack([digest, tf.zeros_like(digest)], 1),  # of validation: always the same noise
            ERROR: decoded["error"],
        }
        return tensors, dict.fromkeys(self._losses, tf.zeros([tf.shape(digest)[0], 1]))

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.training.step_seeds import StepSeeds

        seeds = StepSeeds(self.seed, step)
        rows = tf.shape(tensors["label_id"])[0]
        row_seed = tf.random.stateless_uniform([rows, 2], seeds.next(), minval=None, maxval=None, dtype=tf.int32)
        kept = seeds.uniform([rows]) >= self.label_dropout
        label_id = tf.where(kept, tensors["label_id"], 0)
        return {**tensors, "row_seed": row_seed, "label_id": label_id}, target

    def loss(self) -> Any:
        from dlkit.tasks.image_generation.losses import OutputAsLoss

        return {name: OutputAsLoss() for name in self._losses}

    def metrics(self) -> Any:
        return None

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        return {"image": answer["image_bytes"]}

    def picture(self, rows: Rows) -> Any:
        from dlkit.tasks.image_generation.plots import plot_sheet

        table = rows.to_plot(64)
        images = [answer["image"] for answer in self.present_rows(self.predict_table(table))]
        return plot_sheet(images, [name.decode() for name in table.raw_column(LABEL, self.inputs[LABEL])])

    def score(self, targets: dict[str, list], answers: dict[str, list], labels: Sequence[str] = ()) -> dict[str, Any]:
        """Compare generated images with real ones, and with the labels that were asked for, if there are any."""
        from dlkit.tasks.image_generation.encode_images import decode_answers
        from dlkit.tasks.image_generation.judge import features_of, score_labels
        from dlkit.tasks.image_generation.metrics import MIN_IMAGES, score_images

        real, readable = self.read_images(targets[IMAGE])
        count = int(readable.sum())
        if count < MIN_IMAGES:
            raise DataError(
                f"distributions of images are compared from at least {MIN_IMAGES} readable ones. Received: {count}."
            )
        generated = decode_answers(answers["image_bytes"])
        metrics = score_images(real[readable], generated, features_of(self.stages_.judge))
        metrics |= score_labels(self.stages_.judge, self.labels_, labels, generated, real, readable)
        if self.network == "vae":
            from dlkit.tasks.image_generation.image_scores import objective_of, score_bound

            metrics |= score_bound(objective_of(self.stages_.network), real[readable])
        return metrics

    def read_images(self, files: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Decode image files as training does: (n, height, width, channels) uint8, and whether each can be read."""
        decoded = tf.function(self.image_decoder().call, autograph=False)(tf.constant(files))
        return decoded["image"].numpy(), (decoded["error"] == "").numpy()

    def signatures(self) -> list[Signature]:
        if self.network != "vae":
            return []
        from dlkit.tasks.image_generation.vae_signatures import make_signatures

        return make_signatures(self)

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.vision.digits import digits

        parts = digits()
        # The images of an evaluation: a seed of its own for each.
        parts["test"]["seed"] = list(range(len(parts["test"][LABEL])))
        return parts

    def generate(
        self,
        label: str = "",
        count: int = 1,
        *,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> list[np.ndarray]:
        """Generate images.

        Args:
            label: a label of the training data; "" for images of any kind.
            count: number of images, with the seeds `seed`, `seed + 1` and so on.
            seed: of the first image. The same seed gives the same image.
            steps: number of denoising steps; None for `sampling_steps`. Only for diffusion.
            guidance: strength of guidance; None for that of the model. Only for diffusion.

        Returns:
            The images: (height, width) or (height, width, 3) uint8 each.

        Raises:
            HparamError: `count` is not positive, or the network has no such option.
            DataError: there is no such label, or an option is out of range.

        Examples:
            >>> model = dlkit.ImageGenerator(width=8, blocks=1, sampling_steps=2, epochs=1)
            >>> history = model.fit(model.samples()["train"], verbose=0)
            >>> [image.shape for image in model.generate("7", count=2)]
            [(8, 8), (8, 8)]
        """
        from dlkit.tasks.image_generation.generate import generate

        return generate(self, label, count, seed, {"steps": steps, "guidance": guidance})

    def to_latents(self, images: Sequence[Any]) -> np.ndarray:
        """Encode images as the means of their latent vectors: (n, latents) float32. Only for `network="vae"`.

        Args:
            images: files, bytes or arrays, as for `fit`.

        Raises:
            DlkitError: the network is another one.
            DataError: an image cannot be read.
        """
        import numpy as np

        return np.array([answer["latent"] for answer in self._ask("encode", IMAGE, images)], np.float32)

    def from_latents(self, latents: Sequence[Any]) -> list[np.ndarray]:
        """Decode latent vectors, (n, latents), to images, (height, width) or (height, width, 3) uint8 each. Only for
        `network="vae"`.

        Raises:
            DlkitError: the network is another one.
            DataError: a vector has another length, or numbers that are not finite.

        Examples:
            >>> first, last = model.to_latents(["a.png", "b.png"])  # doctest: +SKIP
            >>> between = model.from_latents(np.linspace(first, last, 8))  # doctest: +SKIP
        """
        return [answer["image_bytes"] for answer in self._ask("decode", "latent", latents)]

    def reconstruct(self, images: Sequence[Any]) -> list[np.ndarray]:
        """Encode and decode images; arguments and errors as of `to_latents`, the result as of `from_latents`."""
        return [answer["image_bytes"] for answer in self._ask("reconstruct", IMAGE, images)]

    def anomaly_scores(self, images: Sequence[Any]) -> list[dict[str, float]]:
        """Say how unusual images are. Only for `network="vae"`.

        Args:
            images: as of `to_latents`.

        Returns:
            A dict for each image: `anomaly`, the percentage of validation images that are more probable to the model,
            and `negative_elbo` in nats. They are the same every time.

        Raises:
            DlkitError: the network is another one, or the model was trained without validation images.
            DataError: an image cannot be read.
        """
        answers = self._ask("score", IMAGE, images)
        return [{name: answer[name] for name in ("anomaly", "negative_elbo")} for answer in answers]

    def _ask(self, signature: str, name: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        from dlkit.tasks.image_generation.vae_methods import ask

        return ask(self, signature, name, values)

    def plot_interpolation(self, seed: int = 0, to_seed: int = 1, label: str = "", count: int = 8) -> Any:
        """Plot `count` images from that of one seed to that of another: their noise is interpolated on the sphere.

        Returns:
            A `matplotlib.figure.Figure`.

        Raises:
            DlkitError: an argument is invalid, the network does not begin with noise, or matplotlib is not installed.
        """
        from dlkit.tasks.image_generation.pictures import interpolate
        from dlkit.tasks.image_generation.plots import plot_sheet

        images = interpolate(self, seed, to_seed, label, count)
        return plot_sheet(images, [f"seed {seed}", *[""] * (count - 2), f"seed {to_seed}"])

    def plot_denoising(self, label: str = "", seed: int = 0, count: int = 8) -> Any:
        """Plot how noise becomes an image: up to `count` evenly spaced steps of its way.

        Returns:
            A `matplotlib.figure.Figure`.

        Raises:
            DlkitError: an argument is invalid, the network has no steps, or matplotlib is not installed.
        """
        from dlkit.tasks.image_generation.pictures import denoise
        from dlkit.tasks.image_generation.plots import plot_sheet

        way = denoise(self, label, seed)
        chosen = evenly_spaced(len(way), max(count, 2))
        return plot_sheet([way[step] for step in chosen], [f"step {step}" for step in chosen])

    def plot_nearest(self, data: Any, label: str = "", count: int = 8, seed: int = 0, neighbors: int = 3) -> Any:
        """Plot generated images, each above the images of `data` that are nearest to it.

        Of the training data, they show whether the model copies: the difference of a copy is near 0. It is the root
        mean square over pixels, in levels from 0 to 255.

        Args:
            data: images as for `fit`.
            label: of the generated images; "" for none.
            count: number of generated images, with the seeds `seed`, `seed + 1` and so on.
            seed: of the first one.
            neighbors: number of images below each.

        Returns:
            A `matplotlib.figure.Figure`.

        Raises:
            DlkitError: an argument is invalid, the data cannot be read, or matplotlib is not installed.
        """
        from dlkit.tasks.image_generation.pictures import find_nearest
        from dlkit.tasks.image_generation.plots import plot_nearest

        generated = self.generate(label, count, seed=seed)
        return plot_nearest(generated, seed, find_nearest(self, generated, self.read(data).table, neighbors))

    @property
    def _losses(self) -> Collection[str]:
        return LOSSES.get(self.network, ("objective",))

    def _learn_labels(self, examples: Table) -> list[str]:
        if LABEL not in examples.columns:
            return []
        names = {name.decode() for name in examples.raw_column(LABEL, self.inputs[LABEL])} - {""}
        return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))

    def image_decoder(self) -> DecodeImage:
        """Return the layer that reads image files as the training images were read."""
        from dlkit.vision.decode_image import DecodeImage

        height, width, channels = self.shape_
        return DecodeImage(
            height, width, channels, fit=self.resize, max_pixels=self.max_pixels, max_sample=self.max_sample_
        )
