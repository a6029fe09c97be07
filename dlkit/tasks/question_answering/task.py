"""Question answering: a question and a text in, the part of the text that answers it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from dlkit.columns import Count, Labels, Score, Scores, Text, Truncated, tensor_specs
from dlkit.data.table import Table
from dlkit.errors import HparamError
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.options import option
from dlkit.padding import Padding
from dlkit.report import Report
from dlkit.rows import ROW, Rows
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.question_answering.columns import Answers, Context, Logits, Offset, Offsets, QuestionId
from dlkit.tasks.question_answering.metrics import exact_match, f1, max_over_gold_answers
from dlkit.tasks.question_answering.predictions import write_predictions
from dlkit.text.inspect_texts import inspect_shared_rows

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.training.store import Store

# What `SpanDecoder` reads beside logits.
SPAN_TENSORS = ("token_starts", "token_ends", "is_max_context", "row_ids", "context_text")


class ContextRows(Rows):
    """Questions about contexts: training uses the window with the answer and, of a long context, one without."""

    task: QuestionAnswerer
    windows_per_row = 2
    prediction_files = {".json": write_predictions}

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        answers = self.table.columns["answers"]
        report.statistics["questions without an answer"] = sum(not row for row in answers)
        missing = [row for row, pairs in enumerate(answers) if pairs and all(start < 0 for _, start in pairs)]
        if missing:
            report.add_warning(
                f"{len(missing)} of {len(answers)} questions have no answer that occurs in their context",
                map(self.table.where, missing),
                "They are excluded from training.",
            )
        if validation is not None:
            inspect_shared_rows(report, self.table, validation.table, ("question", "context"), "questions")

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Add exact match and F1 against the gold answer that fits best, and the id of the question if it has one."""
        del row
        golds = [text.decode() for text, _ in target["answers"]]
        scores = {metric.__name__: max_over_gold_answers(metric, answer["text"], golds) for metric in (exact_match, f1)}
        return [{"id": target["id"].decode() or None, "true_answers": golds, **answer, **scores}]

    def remarks(self, store: Store) -> list[str]:
        first, last = store.every(lambda row: row[1]["start_logits"]), store.every(lambda row: row[1]["end_logits"])
        has_answer = first[:, 0] > 0  # position 0, the opening token, is the target of windows without an answer
        shortest = np.where(first > 0, last - first + 1, np.iinfo(first.dtype).max).min(axis=1)
        too_long = int((has_answer & (shortest > self.task.max_answer_tokens)).sum())
        unanswerable = sum(not row for row in self.table.columns["answers"])
        remarks = []
        if unanswerable and not self.task.has_unanswerable_:
            remarks.append(
                f"{unanswerable} questions have no answer, but the model cannot predict that: all questions in its "
                "initial training data had one"
            )
        if too_long:
            remarks.append(
                f"of {has_answer.sum()} questions with an answer, {too_long} have none of at most "
                f"{option('max_answer_tokens')} ({self.task.max_answer_tokens}) tokens, and cannot be answered "
                f"correctly: increase it, and {option('overlap')} to twice that value"
            )
        return remarks


@dataclass(kw_only=True)
class QuestionAnswerer(Task):
    """Answers questions with a span of a given text (extractive question answering), with its offset and score.

    Examples:
        >>> model = dlkit.QuestionAnswerer(width=16, rnn_units=8, epochs=1)
        >>> history = model.fit(model.samples()["train"], verbose=0)
        >>> answer = model.predict({"question": "Where was Ada born?", "context": "Ada was born in Dunmere."})
        >>> 0 <= answer["score"] <= 1
        True
    """

    # The defaults of presets are those of the figures in `benchmarks/RESULTS.md`.
    default_epochs = DefaultEpochs(6, fewest=80, most=12_000, tuned=2, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(
        32, "Number of training examples per step. It is the total over all devices.", minimum=1, tuned=16
    )
    learning_rate: float = hparam(2e-3, "Peak learning rate.", minimum=0, tuned=2e-4)
    schedule: Literal["constant", "cosine", "one_cycle"] = hparam("cosine", "Learning rate schedule.")
    warmup: float = hparam(
        0.1,
        'Fraction of the training steps used for linear warmup of the learning rate. With `schedule="one_cycle"`, 0 '
        "selects 0.3.",
        minimum=0,
        maximum=0.9,
    )
    weight_decay: float = hparam(
        0.0, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0, tuned=0.01
    )
    clip_norm: float = hparam(1.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0)
    freeze: str = hparam(
        "",
        "Layers to freeze, counted from the input. For a preset, it is the number of transformer blocks to "
        'freeze, whose outputs are computed once and cached, or "backbone".',
    )
    network: str = hparam(
        "bidaf",
        "Network architecture. A preset is a BERT-like KerasHub backbone.",
        choices=("bidaf", "transformer", "preset:"),
    )
    max_tokens: int = hparam(
        256,
        "Maximum number of tokens of a window. They include the question. Longer contexts are read in "
        "overlapping windows.",
    )
    overlap: int = hparam(
        64, "Overlap of consecutive windows, in tokens. Windows are parts of a long context.", minimum=2
    )
    max_question_tokens: int = hparam(
        48, "Maximum question length, in tokens. Longer questions are truncated.", minimum=1
    )
    max_answer_tokens: int = hparam(
        30, "Maximum answer length, in tokens. It must be at most half of `overlap`.", minimum=1
    )
    top_k: int = hparam(5, "Number of candidate answers to return.", minimum=1)
    no_answer_threshold: float = hparam(
        0.5,
        'Minimum score of "no answer", from 0 to 1. An empty answer is predicted if the score of "no answer" '
        "reaches this value.",
        minimum=0,
        maximum=1,
    )
    vocabulary_size: int = hparam(20_000, "Vocabulary size, in words. Presets use their own vocabulary.", minimum=4)
    lowercase: bool = hparam(
        True,
        "Whether to lowercase the text. Its capitalization is still passed as a feature. Presets ignore this option.",
    )
    width: int = hparam(128, "Width of embeddings and `transformer` blocks.", minimum=1)
    rnn_units: int = hparam(64, "Recurrent units per direction of `bidaf`.", minimum=1)
    blocks: int = hparam(3, "Number of blocks of `transformer`.", minimum=1)
    dropout: float = hparam(
        0.2, "Dropout rate. For a preset, it also applies inside the backbone.", minimum=0, maximum=0.95, tuned=0.0
    )

    inputs = {"question": Text(), "context": Context()}
    target = {"answers": Answers(), "id": QuestionId(optional=True)}
    answer = {
        "text": Text(),
        "start": Offset(),
        "end": Offset(),
        "score": Score(),
        "texts": Labels(ranked_by="scores"),
        "starts": Offsets(ranked_by="scores"),
        "ends": Offsets(ranked_by="scores"),
        "scores": Scores(),
        "truncated": Truncated(),
    }
    extra_outputs = {"start_logits": Logits(), "end_logits": Logits()}
    primary_metric = "f1"
    rows = ContextRows
    padding = (Padding(),)
    max_inference_batch = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        self.has_unanswerable_ = False  # whether the training data had questions without an answer
        if self._is_preset():
            self.frozen = ""  # the frozen blocks of a preset are preprocessing
        if 2 * self.max_answer_tokens > self.overlap:
            raise HparamError(
                f"{option('max_answer_tokens')} must be at most half of {option('overlap')}, so that every answer lies "
                f"within a window. Received: {option('max_answer_tokens', self.max_answer_tokens)}, "
                f"{option('overlap', self.overlap)}."
            )
        if self._is_preset() and self.freeze and not (self.freeze.isdecimal() or self.freeze == "backbone"):
            raise HparamError(
                f'{option("freeze")} of a preset must be a number of blocks or "backbone". Received: {self.freeze!r}.'
            )

    def build(self, examples: Table) -> Stages:
        self.has_unanswerable_ = not all(examples.columns["answers"])
        preprocess, network = self._build_preset() if self._is_preset() else self._build_from_scratch(examples)
        return Stages(preprocess, network, self._build_postprocess())

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        from dlkit.tasks.question_answering.span_targets import make_span_targets

        windows = self.stages_.preprocess(features)
        chosen, targets = make_span_targets(windows, target["answers"])
        tensors = {name: tf.gather(windows[name], chosen) for name in self.stages_.network.input}
        missing = self.max_tokens - tf.shape(windows["token_starts"])[1]
        padded = {
            name: tf.ensure_shape(
                tf.pad(values, [[0, 0], [0, missing]] + [[0, 0]] * (values.shape.rank - 2)),
                [None, self.max_tokens, *values.shape[2:]],
            )
            for name, values in tensors.items()
        }
        return {**padded, ROW: tf.gather(windows["row_ids"], chosen)}, targets

    def loss(self) -> Any:
        from dlkit.tasks.question_answering.span_targets import position_crossentropy

        return {"start_logits": position_crossentropy, "end_logits": position_crossentropy}

    def metrics(self) -> Any:
        return None

    def signatures(self) -> list[Signature]:
        from dlkit.serving.signature import Signature

        network = self.stages_.network

        def compute_logits(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return network(tensors, training=False)

        def make_windows(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            windows = self.stages_.preprocess(raw)
            return {name: tf.cast(windows[name], spec.dtype) for name, spec in specs.items()}

        def answer_with_options(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            from dlkit.stages import MicroBatched, chain

            tensors = chain(self.stages_.preprocess, MicroBatched(network, self.max_inference_batch))(raw)
            decoder = self.stages_.postprocess.get_layer("span_decoder")
            options = {name: raw[name] for name in ("max_answer_tokens", "no_answer_threshold")}
            outputs = {**tensors, **decoder(tensors, **options)}
            return {name: outputs[name] for name in self.answer}

        def make_example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            rows = tf.shape(raw["question"])
            options = {
                "max_answer_tokens": tf.fill(rows, max(self.max_answer_tokens // 2, 1)),
                "no_answer_threshold": tf.fill(rows, self.no_answer_threshold),
            }
            return {**raw, **options}

        specs = {
            name: tf.TensorSpec(spec.shape, "float32" if spec.dtype == "float16" else spec.dtype)  # JSON has no float16
            for name, spec in network.input.items()
        }
        columns = {
            **self.inputs,
            "max_answer_tokens": Count(optional=True, default=self.max_answer_tokens, limits=Limits(1)),
            "no_answer_threshold": Score(optional=True, default=self.no_answer_threshold, limits=Limits(0, 1)),
        }
        return [
            Signature("preprocessed", compute_logits, specs, example=make_windows),
            Signature(
                "answer_with_options", answer_with_options, tensor_specs(columns), example=make_example, columns=columns
            ),
        ]

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        count = sum(start >= 0 for start in answer["starts"])
        return {name: value[:count] if isinstance(value, list) else value for name, value in answer.items()}

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.question_answering.metrics import score_answers

        golds = [[text.decode() for text, _ in row] for row in targets["answers"]]
        return score_answers(golds, [text.decode("utf-8", errors="replace") for text in answers["text"]])

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.question_answering.sample import make_passages

        return make_passages()

    def _is_preset(self) -> bool:
        return self.network.startswith("preset:")

    def _build_from_scratch(self, examples: Table) -> tuple[keras.Model, keras.Model]:
        from dlkit.text.words import Words

        texts = dict.fromkeys(text for name in self.inputs for text in examples.columns[name])
        decoded = [Text().raw(text).decode() for text in texts]
        tokenizer = Words.learn(decoded, self.vocabulary_size, self.max_tokens, lowercase=self.lowercase, nfc=True)
        packer = self._make_packer(tokenizer, lexical_features=True)
        if self.network == "bidaf":
            from dlkit.tasks.question_answering.bidaf import bidaf

            options: dict[str, Any] = {"width": self.width, "rnn_units": self.rnn_units, "dropout": self.dropout}
            return _build_preprocess(packer), bidaf(packer.vocabulary_size, **options)
        from dlkit.tasks.question_answering.span_transformer import span_transformer

        options = {"width": self.width, "blocks": self.blocks, "dropout": self.dropout}
        return _build_preprocess(packer), span_transformer(packer.vocabulary_size, **options)

    def _build_preset(self) -> tuple[keras.Model, keras.Model]:
        from dlkit.tasks.question_answering.preset import load_backbone, preset_span_network, split_preset
        from dlkit.text.preset import get_blocks

        name = self.network.removeprefix("preset:")
        tokenizer, backbone = load_backbone(name, self.max_tokens, self.dropout)
        packer = self._make_packer(tokenizer)
        if not self.freeze:
            return _build_preprocess(packer), preset_span_network(backbone)
        num_frozen = len(get_blocks(backbone)[1]) if self.freeze == "backbone" else int(self.freeze)
        encoder, network = split_preset(backbone, num_frozen)
        return _build_preprocess(packer, encoder, self.max_inference_batch), network

    def _make_packer(self, tokenizer: Any, lexical_features: bool = False) -> Any:
        from dlkit.tasks.question_answering.window_packer import WindowPacker

        return WindowPacker(
            tokenizer,
            self.max_tokens,
            self.max_question_tokens,
            self.overlap,
            lexical_features,
            name="window_packer",
        )

    def _build_postprocess(self) -> keras.Model:
        from dlkit.tasks.question_answering.span_decoder import SpanDecoder

        decoder = SpanDecoder(
            self.top_k,
            self.max_answer_tokens,
            self.has_unanswerable_,
            self.no_answer_threshold,
            name="span_decoder",
        )
        dtypes = {"token_starts": "int32", "token_ends": "int32", "is_max_context": "bool"}
        dtypes |= dict.fromkeys(self.extra_outputs, "float32")
        tensors = {name: keras.Input((None,), dtype=dtype, name=name) for name, dtype in dtypes.items()}
        tensors["row_ids"] = keras.Input((), dtype="int32", name="row_ids")
        tensors["context_text"] = keras.Input((), dtype="string", name="context_text")
        return keras.Model(tensors, decoder(tensors), name="postprocess")


def _build_preprocess(
    packer: keras.layers.Layer, encoder: keras.Model | None = None, max_batch: int = 0
) -> keras.Model:
    """Build the preprocessing model, whose frozen encoder, if there is one, takes `max_batch` windows at a time."""
    inputs = {name: keras.Input((), dtype="string", name=name) for name in ("question", "context")}
    tensors = packer(inputs["question"], inputs["context"])
    if encoder is not None:
        from dlkit.layers.micro_batches import MicroBatches

        features = MicroBatches(encoder, max_batch, name="frozen_encoder")(
            {name: tensors[name] for name in encoder.input}
        )
        tensors = {**{name: tensors[name] for name in (*SPAN_TENSORS, "padding_mask", "truncated")}, **features}
    return keras.Model(inputs, tensors, name="preprocess")
