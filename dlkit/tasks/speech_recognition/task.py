"""Speech recognition: from a recording to its text, or to one word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from dlkit.audio.columns import Audio
from dlkit.classification import labels
from dlkit.classification.metrics import score_single
from dlkit.columns import Column, Reason, Score, Text
from dlkit.data.table import Table
from dlkit.hparams import hparam, take_defaults
from dlkit.lazy import tf
from dlkit.padding import Padding
from dlkit.rows import ERROR, Rows
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.speech_recognition.check_options import WORD_NETWORKS, check_options
from dlkit.tasks.speech_recognition.columns import Seconds, WordTimes
from dlkit.tasks.speech_recognition.defaults import DEFAULT_SIZES, WORD_DEFAULTS, WORD_EPOCHS, words_default
from dlkit.tasks.speech_recognition.encode_clips import cut_or_pad, first_error
from dlkit.tasks.speech_recognition.rows import TranscriptRows
from dlkit.tasks.speech_recognition.transcripts import Transcript, encode_characters

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature

AUTO = "auto"
FRAME_MULTIPLE = 16  # of the lengths of batches, as each length costs the kernels a plan of its own
TEXT_NETWORKS = ("conv_gru", "conformer", "attention")


@dataclass(kw_only=True)
class SpeechRecognizer(Task):
    """Recognizes what is said in recordings: texts with the times of their words, or one word of each recording.

    Examples:
        >>> model = dlkit.SpeechRecognizer(width=16, blocks=1, epochs=1)
        >>> data = model.samples()
        >>> history = model.fit(data["train"], data["validation"], verbose=0)
        >>> sorted(model.predict(data["test"]["audio"][0]))
        ['ends', 'score', 'seconds', 'starts', 'text', 'words']
    """

    default_epochs = DefaultEpochs(60, fewest=1500, most=50_000, tuned=10)
    epochs: int = default_epochs.hparam(f"For words, it takes {WORD_EPOCHS.usual} epochs.")
    batch_size: int = hparam(
        16,
        f"Number of training clips per step. It is the total over all devices. {words_default('batch_size')}",
        minimum=1,
    )
    learning_rate: float = hparam(3e-3, "Peak learning rate.", minimum=0, tuned=1e-4)
    weight_decay: float = hparam(
        1e-2, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0
    )
    clip_norm: float = hparam(1.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0)
    ema: float = hparam(
        0.99,
        "Decay of an exponential moving average of the weights, such as 0.999. The averaged weights are used for "
        "validation and in the final model. 0 disables it.",
        minimum=0,
        maximum=0.999999,
    )
    monitor: str = hparam(
        "accuracy",
        "Validation metric that selects the best epoch, without the prefix val_. `accuracy` is that of characters, "
        'without the language model, or of words for `objective="words"`.',
    )
    objective: Literal["text", "words"] = hparam(
        "text", "What is recognized. With `text`, it is the text of a clip; with `words`, one word of a fixed set."
    )
    network: str = hparam(
        AUTO,
        "Network architecture. With `auto`, it is `conv_gru` for texts and `tdnn` for words; `cnn` is for words, "
        "too. A preset is the encoder of a Whisper or Moonshine of KerasHub.",
        choices=(AUTO, *TEXT_NETWORKS, *WORD_NETWORKS, "preset:"),
    )
    rate: int = hparam(
        0,
        "Sample rate of the features in Hz. Clips of other rates are resampled. 0 selects the most frequent rate of "
        "the training clips, at most 16,000.",
        minimum=0,
        maximum=96_000,
    )
    mels: int = hparam(64, f"Number of mel bands of the features. {words_default('mels')}", minimum=8, maximum=256)
    max_seconds: float = hparam(
        30.0, "Maximum duration of a clip in seconds. Longer clips are refused.", minimum=0.1, maximum=3600
    )
    window_seconds: float = hparam(
        0.0,
        "Duration of windows in seconds. Longer clips are read in windows that overlap by a quarter; 0 reads clips as "
        "a whole. It applies to `conv_gru` and `conformer`.",
        minimum=0,
        maximum=600,
    )
    width: int = hparam(
        0,
        "Width of the layers. For `cnn`, it is the number of filters of the first block. 0 selects 256, 144 for "
        "`conformer`, 96 for `tdnn`, or 32 for `cnn`.",
        minimum=0,
    )
    blocks: int = hparam(
        0, "Number of recurrent layers or blocks. 0 selects 3, 4 for `conformer` and `cnn`, or 2 for `tdnn`.", minimum=0
    )
    stride: int = hparam(
        4,
        "Frames of 10 ms for each output of the network: 1, 2 or 4. It does not apply to `cnn`.",
        minimum=1,
        maximum=4,
    )
    heads: int = hparam(
        4, "Number of attention heads. It applies to `conformer` and to the decoder of `attention`.", minimum=1
    )
    streaming: bool = hparam(
        False,
        "Whether the model can read streams. It then recognizes a recording while it is made: the layers of `conv_gru` "
        "see no later frames, and features are normalized by statistics of the training clips. It needs "
        '`precision="float32"`.',
    )
    dropout: float = hparam(0.2, "Dropout rate.", minimum=0, maximum=0.95)
    lowercase: bool = hparam(True, "Whether to convert texts to lower case.")
    punctuation: bool = hparam(
        False,
        "Whether punctuation belongs to texts. By default, letters, digits and apostrophes inside of words "
        "remain; other characters are replaced by spaces, in training and true texts.",
    )
    beam_width: int = hparam(
        32,
        "Number of texts that the search keeps. 1 takes the best character of each frame, without the language model. "
        "`attention` uses at most 16.",
        minimum=1,
        maximum=256,
    )
    lm_order: int = hparam(
        8, "Longest n-grams of the language model. They are n-grams of characters; 0 disables it.", minimum=0, maximum=8
    )
    lm_weight: float = hparam(1.2, "Weight of the language model in the search.", minimum=0)
    lm_texts: str = hparam(
        "",
        "Texts for the language model. The file has one text per line. By default, it is learned from the training "
        "texts.",
        file=True,
    )
    length_penalty: float = hparam(1.0, "Length penalty of `attention`. Higher values favor longer texts.", minimum=0)
    character_bonus: float = hparam(
        2.5, "Bonus for each character in the search. It applies with a language model, which favors short texts."
    )
    speed: float = hparam(
        0.15,
        f"Largest random change of the speed. It is a fraction; 0 disables this augmentation. {words_default('speed')}",
        minimum=0,
        maximum=0.5,
    )
    vocal_tract: float = hparam(
        0.1,
        "Largest random change of the vocal tract. It is a fraction of its length; 0 disables this augmentation. "
        f"{words_default('vocal_tract')}",
        minimum=0,
        maximum=0.5,
    )
    level: float = hparam(
        0.0, f"Augmentation: largest change of level and tilt of the features. {words_default('level')}", minimum=0
    )
    background: float = hparam(
        0.0,
        "Augmentation: largest rise of a background noise, in deviations of the features; 3 raises it to the mean of "
        f"a clip. {words_default('background')}",
        minimum=0,
    )
    noise: float = hparam(
        0.0, f"Augmentation: largest standard deviation of noise on the features. {words_default('noise')}", minimum=0
    )
    time_masks: int = hparam(2, "Augmentation: number of time masks (SpecAugment); 0 disables them.", minimum=0)
    band_masks: int = hparam(2, "Augmentation: number of masks of mel bands (SpecAugment).", minimum=0)
    label_smoothing: float = hparam(
        0.1,
        "Label smoothing for words; 0 disables it. This fraction of the target probability is spread evenly over all "
        "words.",
        minimum=0,
        maximum=0.9,
    )
    class_weights: str = hparam(
        "",
        'Class weights for words: "balanced" or "yes=2,no=1". With "balanced", weights are inversely proportional to '
        "the number of training examples of a word, with a mean of 1 over the examples. With weights by name, other "
        "words have a weight of 1.",
    )
    top_k: int = hparam(0, "Number of words to return; 0 returns all. The best ones come first.", minimum=0)

    public_methods = (*Task.public_methods, "stream")
    inputs = {"audio": Audio()}
    target = cast("dict[str, Column]", {"text": Transcript()})
    answer = cast(
        "dict[str, Column]",
        {
            "text": Text(),
            "score": Score(),
            "seconds": Seconds(),
            "words": WordTimes(),
            ERROR: Reason(),
        },
    )
    rows = TranscriptRows
    padding = cast(
        "Sequence[Padding]",
        (
            Padding("padding_mask", ("features", "padding_mask"), FRAME_MULTIPLE),
            Padding("decoder_ids", ("decoder_ids",)),
        ),
    )
    primary_metric = "word_accuracy"
    shown_metrics = ("word_accuracy", "wer", "cer")
    training_only = (
        "speed", "vocal_tract", "level", "background", "noise", "time_masks", "band_masks", "label_smoothing",
        "class_weights",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective == "words":
            self.default_epochs = WORD_EPOCHS
            take_defaults(self, WORD_DEFAULTS, self._given_hparams)
        self.rate_ = self.rate
        self.frames_ = 0  # of the longest training clip
        self.stride_ = self.stride  # frames of each output
        self.output_seconds_ = 0.01 * self.stride
        self.reads_samples_ = False  # as a preset of Moonshine does, instead of mel bands
        self.characters_: list[str] = []
        self.mean_length_ = 1.0  # of the training texts, in characters
        self.language_model_: dict[str, Any] = {}
        self.labels_: list[str] = []
        self.class_weights_: list[float] = []
        check_options(self)
        if self.chosen_network == "attention":  # Keras names a metric after its output where there are two
            take_defaults(self, {"monitor": "loss"}, self._given_hparams)
        self.target = {"text": Transcript(lowercase=self.lowercase, punctuation=self.punctuation)}
        if self.objective == "words":
            self.rows, self.primary_metric = labels.LabelRows, "accuracy"  # type: ignore[assignment]
            self.target, self.shown_metrics = labels.SINGLE_TARGET, ()  # type: ignore[assignment]
            self.answer = {**labels.SINGLE_ANSWER, "seconds": Seconds(), ERROR: Reason()}

    @property
    def chosen_network(self) -> str:
        """The network architecture, for `network="auto"` that of the objective."""
        if self.network != AUTO:
            return self.network
        return (WORD_NETWORKS if self.objective == "words" else TEXT_NETWORKS)[0]

    @property
    def size(self) -> dict[str, Any]:
        """Width and number of blocks of the network."""
        width, blocks = DEFAULT_SIZES[self.chosen_network]
        return {"width": self.width or width, "blocks": self.blocks or blocks}

    def build(self, examples: Table) -> Stages:
        from dlkit.tasks.speech_recognition.stages import build_stages

        return build_stages(self, examples)

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        made = self.stages_.preprocess(features)
        tensors = {
            "features": cut_or_pad(made["features"], self.frames_),
            "padding_mask": cut_or_pad(made["padding_mask"], self.frames_),
        }
        is_long = tf.reduce_sum(tf.cast(made["padding_mask"], tf.int32), 1) > self.frames_
        error = first_error(made[ERROR], is_long, "longer than the longest training clip")
        if self.objective == "words":
            one_hot = labels.encode_labels(target["label"], self.labels_)
            weights = [labels.weigh_rows(one_hot, self.class_weights_)] if self.class_weights else []
            return {**tensors, ERROR: error}, {"logits": one_hot}, *weights
        outputs = -(-self.frames_ // self.stride_)
        ids, needed = encode_characters(target["text"], self.characters_, outputs)
        frames = tf.reduce_sum(tf.cast(tensors["padding_mask"], tf.int32), 1)
        error = first_error(error, frames == 0, "silent, but has a text")
        is_short = needed > -(-frames // self.stride_)
        span = f"{1000 * self.output_seconds_:g} ms"
        error = first_error(error, is_short, f"too short for its text (fewer outputs of {span} than characters)")
        if self.chosen_network != "attention":
            return {**tensors, ERROR: error}, {"logits": ids}
        from dlkit.tasks.speech_recognition.write_text import shift_characters

        decoder_ids, next_ids = shift_characters(ids)
        return {**tensors, "decoder_ids": decoder_ids, ERROR: error}, {"logits": ids, "text_logits": next_ids}

    def augment(self, tensors: Any, target: Any, step: tf.Tensor) -> tuple[Any, Any]:
        from dlkit.audio.log_mels import HIGHEST_SHARE, LOWEST_HZ
        from dlkit.tasks.speech_recognition.augmentation import augment_features

        min_frames: Any = 1
        if self.objective == "text":
            ids = target["logits"]
            repeated = (ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] >= 0)
            outputs = sum(tf.reduce_sum(tf.cast(each, tf.int32), 1) for each in (ids >= 0, repeated))
            min_frames = outputs * self.stride_
        changes: dict[str, Any] = {"time_masks": self.time_masks}
        if not self.reads_samples_:
            names = ("speed", "vocal_tract", "level", "background", "noise", "band_masks")
            changes |= {name: getattr(self, name) for name in names}
        features, mask = augment_features(
            tensors["features"],
            tensors["padding_mask"],
            seed=self.seed,
            step=step,
            min_frames=min_frames,
            band_hz=(LOWEST_HZ, HIGHEST_SHARE * self.rate_ / 2),
            **changes,
        )
        return {**tensors, "features": features, "padding_mask": mask}, target

    def loss(self) -> Any:
        if self.objective == "words":
            return labels.make_label_loss(multi_label=False, smoothing=self.label_smoothing)
        from dlkit.tasks.speech_recognition.ctc_loss import CtcLoss

        losses: dict[str, Any] = {"logits": CtcLoss(self.mean_length_)}
        if self.chosen_network == "attention":
            from dlkit.layers.token_loss import TokenCrossEntropy

            losses["text_logits"] = TokenCrossEntropy(self.mean_length_ + 1, self.label_smoothing)
        return losses

    def metrics(self) -> Any:
        if self.objective == "words":
            return labels.make_label_metrics(multi_label=False)
        from dlkit.tasks.speech_recognition.character_accuracy import CharacterAccuracy

        return {"logits": [CharacterAccuracy()]}

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return the answer with the lists `words`, `starts` and `ends`."""
        return answer if self.objective == "words" else {**answer, **WordTimes.parse(answer["words"])}

    def signatures(self) -> list[Signature]:
        if not self.streaming:
            return []
        from dlkit.tasks.speech_recognition.streaming import make_signature

        return [make_signature(self)]

    def stream(self, chunks: Iterable[Any]) -> Iterator[dict[str, Any]]:
        """Recognize a recording while it is made, as the signature `stream` does; needs `streaming=True`.

        Args:
            chunks: the parts of the recording in their order, of one channel at the sample rate `rate_`: bytes of
                16-bit samples, or arrays of int16 or of floats in [-1, 1].

        Yields:
            A dict after each chunk, as `predict` returns it. Before the last chunk, `text` is that of the most probable
            characters so far, without the language model, and there are no `words`. The last answer is that of
            `predict` for the whole recording.

        Raises:
            DlkitError: the model was not trained with `streaming=True`.
            DataError: a chunk is no part of a recording, or they are longer than `max_seconds` in all.

        Examples:
            >>> for answer in model.stream([first, second]):  # doctest: +SKIP
            ...     print(answer["text"])
        """
        from dlkit.tasks.speech_recognition.streaming import stream

        return stream(self, chunks)

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        if self.objective == "words":
            return score_single(targets["label"], answers, self.labels_)
        from dlkit.tasks.speech_recognition.metrics import score_transcripts

        return score_transcripts(targets["text"], answers["text"])

    def picture(self, rows: Rows) -> Any:
        from dlkit.tasks.speech_recognition.plots import MAX_CLIPS, plot_clips

        plotted = rows.to_plot(MAX_CLIPS)
        answers = self.present_rows(self.predict_table(plotted))
        clips = plotted.raw_column("audio", self.inputs["audio"])
        ((name, column),) = self.target.items()
        truths = [truth.decode() for truth in plotted.raw_column(name, column)] if rows.labeled else []
        return plot_clips(clips, answers, truths, self.rate_, self.max_seconds)

    def with_labels(self, stages: Stages) -> Stages:
        """Build stages for the current words, which begin with those of `stages`; the network has new weights."""
        from dlkit.tasks.speech_recognition.stages import build_ranking

        network = labels.widen_output(stages.network, "logits", len(self.labels_))
        return Stages(stages.preprocess, network, build_ranking(self))

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.speech_recognition.sample import load_commands

        return load_commands()
