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
from dlkit.tasks.question_answering.columns import Answers, Logits, Offset, Offsets, Passage, QuestionId
from dlkit.tasks.question_answering.metrics import best_over, exact_match, f1
from dlkit.tasks.question_answering.predictions import write_predictions
from dlkit.text.inspect_texts import inspect_shared_rows

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.training.store import Store

FOR_ANSWERS = ("starts", "ends", "own", "row", "context_text")  # what `BestSpans` reads beside logits


class PassageRows(Rows):
    """Questions about passages: of each the window with the answer and, of a long passage, one without."""

    task: QuestionAnswerer
    windows_per_row = 2
    prediction_files = {".json": write_predictions}

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        answers = self.table.columns["answers"]
        none = sum(not row for row in answers)
        report.statistics["questions without an answer"] = none
        lost = [row for row, pairs in enumerate(answers) if pairs and all(start < 0 for _, start in pairs)]
        if lost:
            report.add_warning(
                f"{len(lost)} of {len(answers)} questions have no answer that occurs in their context",
                map(self.table.where, lost),
                "They are excluded from training.",
            )
        if validation is not None:
            inspect_shared_rows(report, self.table, validation.table, ("question", "context"), "questions")

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Exact match and F1 of the answer, against the true one that fits best; and the question's id, if it has
        one."""
        del row
        golds = [text.decode() for text, _ in target["answers"]]
        scores = {metric.__name__: best_over(metric, answer["text"], golds) for metric in (exact_match, f1)}
        return [{"id": target["id"].decode() or None, "true_answers": golds, **answer, **scores}]

    def remarks(self, store: Store) -> list[str]:
        first, last = store.every(lambda row: row[1]["start_logits"]), store.every(lambda row: row[1]["end_logits"])
        answered = first[:, 0] > 0  # no answer stands in the others
        shortest = np.where(first > 0, last - first + 1, np.iinfo(first.dtype).max).min(axis=1)
        longer = int((answered & (shortest > self.task.max_answer)).sum())
        none = sum(not row for row in self.table.columns["answers"])
        said = []
        if none and not self.task.unanswerable_:
            said.append(
                f"{none} questions have no answer, but the model cannot predict that: all questions in its initial "
                "training data had one"
            )
        if not longer:
            return said
        return [
            *said,
            f"of {answered.sum()} questions with an answer, {longer} have none of at most {option('max_answer')} "
            f"({self.task.max_answer}) tokens, and cannot be answered correctly: increase it, and "
            f"{option('overlap')} to twice that value",
        ]


@dataclass(kw_only=True)
class QuestionAnswerer(Task):
    """Answers questions by a span of a given text (extractive question answering), with its offset and score.

    Example:
        >>> model = dlkit.QuestionAnswerer(embedding=16, units=8, epochs=1)
        >>> history = model.fit(model.samples()["train"], verbose=0)
        >>> answer = model.predict({"question": "Where was Ada born?", "context": "Ada was born in Dunmere."})
        >>> 0 <= answer["score"] <= 1
        True
    """

    # The defaults of presets are those of the figures in `benchmarks/RESULTS.md`.
    default_epochs = DefaultEpochs(6, fewest=80, most=12_000, tuned=2, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(32, "Batch size: number of rows per training step.", minimum=1, tuned=16)
    learning_rate: float = hparam(2e-3, "Peak learning rate.", minimum=0, tuned=2e-4)
    schedule: Literal["constant", "cosine", "one_cycle"] = hparam("cosine", "Learning rate schedule.")
    warmup: float = hparam(
        0.1, "Fraction of the training steps used for linear warmup of the learning rate.", minimum=0, maximum=0.9
    )
    weight_decay: float = hparam(
        0.0, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0, tuned=0.01
    )
    clip_norm: float = hparam(1.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0)
    freeze: str = hparam(
        "",
        "Layers to freeze, from the input on; of a preset, a number of blocks, whose outputs are computed once and "
        "cached.",
    )
    network: str = hparam(
        "bidaf",
        "Network architecture; preset:NAME_OR_FOLDER uses a BERT-like KerasHub backbone.",
        choices=("bidaf", "transformer", "preset:"),
    )
    window: int = hparam(
        256, "Maximum sequence length, in tokens, question included; longer contexts are read in overlapping windows."
    )
    overlap: int = hparam(64, "Overlap of consecutive windows of a context (document stride), in tokens.", minimum=2)
    max_question: int = hparam(48, "Maximum question length, in tokens; longer questions are truncated.", minimum=1)
    max_answer: int = hparam(30, "Maximum answer length, in tokens; at most half of the overlap.", minimum=1)
    top_k: int = hparam(5, "Number of candidate answers in a prediction.", minimum=1)
    threshold: float = hparam(0.5, 'Minimum score of "no answer" at which it is predicted.', minimum=0, maximum=1)
    vocabulary_size: int = hparam(20_000, "Vocabulary size, in words; presets use their own vocabulary.", minimum=4)
    lowercase: bool = hparam(
        True, "Lowercases the text but passes its capitalization as a feature; presets use their own tokenizer."
    )
    embedding: int = hparam(128, "Embedding dimension, which is also the width of the transformer.", minimum=1)
    units: int = hparam(64, "Number of recurrent units per direction, for bidaf.", minimum=1)
    blocks: int = hparam(3, "Number of transformer blocks.", minimum=1)
    dropout: float = hparam(
        0.2, "Dropout rate; of a preset, inside its backbone too.", minimum=0, maximum=0.95, tuned=0.0
    )

    inputs = {"question": Text(), "context": Passage()}
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
    rows = PassageRows
    padding = (Padding(),)
    max_inference_batch = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        self.unanswerable_ = False  # whether training had questions without an answer
        if self._is_preset():
            self.frozen = ""  # what is frozen of a preset is preprocessing
        if 2 * self.max_answer > self.overlap:
            raise HparamError(
                f"{option('max_answer')} must be at most half of {option('overlap')}, so that every answer lies "
                f"within a window. Received: {option('max_answer', self.max_answer)}, "
                f"{option('overlap', self.overlap)}."
            )
        if self._is_preset() and self.freeze and not (self.freeze.isdecimal() or self.freeze == "backbone"):
            raise HparamError(
                f'{option("freeze")} of a preset must be a number of blocks or "backbone". Received: {self.freeze!r}.'
            )

    def build(self, examples: Table) -> Stages:
        self.unanswerable_ = not all(examples.columns["answers"])
        windows, network = self._preset() if self._is_preset() else self._from_scratch(examples)
        return Stages(windows, network, self._best_spans(network))

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        from dlkit.tasks.question_answering.place_answers import place_answers

        made = self.stages_.preprocess(features)
        chosen, places = place_answers(made, target["answers"])
        tensors = {name: tf.gather(made[name], chosen) for name in self.stages_.network.input}
        missing = self.window - tf.shape(made["starts"])[1]
        padded = {
            name: tf.ensure_shape(
                tf.pad(values, [[0, 0], [0, missing]] + [[0, 0]] * (values.shape.rank - 2)),
                [None, self.window, *values.shape[2:]],
            )
            for name, values in tensors.items()
        }
        return {**padded, ROW: tf.gather(made["row"], chosen)}, places

    def loss(self) -> Any:
        from dlkit.tasks.question_answering.place_answers import place_loss

        return {"start_logits": place_loss, "end_logits": place_loss}

    def metrics(self) -> Any:
        return None

    def signatures(self) -> list[Signature]:
        from dlkit.serving.signature import Signature

        network = self.stages_.network

        def logits(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return network(tensors, training=False)

        def window(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            made = self.stages_.preprocess(raw)
            return {name: tf.cast(made[name], spec.dtype) for name, spec in inputs.items()}

        def ask(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            from dlkit.stages import MicroBatched, chain

            known = chain(self.stages_.preprocess, MicroBatched(network, self.max_inference_batch))(raw)
            spans = self.stages_.postprocess.get_layer("best_spans")
            made = {**known, **spans(known, limit=raw["max_answer"], threshold=raw["threshold"])}
            return {name: made[name] for name in self.answer}

        def asked(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            rows = tf.shape(raw["question"])
            short = max(self.max_answer // 2, 1)
            return {**raw, "max_answer": tf.fill(rows, short), "threshold": tf.fill(rows, self.threshold)}

        inputs = {
            name: tf.TensorSpec(spec.shape, "float32" if spec.dtype == "float16" else spec.dtype)  # JSON has no halves
            for name, spec in network.input.items()
        }
        # A model that was saved before limits were clipped answers 0 with nothing.
        least = Limits(1) if self.stages_.postprocess.get_layer("best_spans").clip_limit else None
        columns = {
            **self.inputs,
            "max_answer": Count(optional=True, default=self.max_answer, limits=least),
            "threshold": Score(optional=True, default=self.threshold, limits=Limits(0, 1)),
        }
        return [
            Signature("preprocessed", logits, inputs, example=window),
            Signature("ask", ask, tensor_specs(columns), example=asked, columns=columns),
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
        from dlkit.tasks.question_answering.sample import passages

        return passages()

    def _is_preset(self) -> bool:
        return self.network.startswith("preset:")

    def _from_scratch(self, examples: Table) -> tuple[keras.Model, keras.Model]:
        from dlkit.text.words import Words

        texts = dict.fromkeys(text for name in self.inputs for text in examples.columns[name])
        decoded = [Text().raw(text).decode() for text in texts]
        words = Words.learn(decoded, self.vocabulary_size, self.window, lowercase=self.lowercase, nfc=True)
        windows = self._windows(words, surface=True)
        if self.network == "bidaf":
            from dlkit.tasks.question_answering.bidaf import bidaf

            options: dict[str, Any] = {"embedding": self.embedding, "units": self.units, "dropout": self.dropout}
            return _windowed(windows), bidaf(windows.vocabulary_size, **options)
        from dlkit.tasks.question_answering.transformer import span_transformer

        options = {"width": self.embedding, "blocks": self.blocks, "dropout": self.dropout}
        return _windowed(windows), span_transformer(windows.vocabulary_size, **options)

    def _preset(self) -> tuple[keras.Model, keras.Model]:
        from dlkit.tasks.question_answering.preset import cut_preset, load_backbone, span_preset
        from dlkit.text.preset import get_blocks

        name = self.network.removeprefix("preset:")
        tokenizer, backbone = load_backbone(name, self.window, self.dropout)
        windows = self._windows(tokenizer)
        if not self.freeze:
            return _windowed(windows), span_preset(backbone)
        frozen = len(get_blocks(backbone)[1]) if self.freeze == "backbone" else int(self.freeze)
        lower, upper = cut_preset(backbone, frozen)
        return _windowed(windows, lower, self.max_inference_batch), upper

    def _windows(self, tokenizer: Any, surface: bool = False) -> Any:
        from dlkit.tasks.question_answering.windows import Windows

        return Windows(
            tokenizer,
            self.window,
            self.max_question,
            self.overlap,
            surface,
            tell_truncated=True,
            nothing_of_nothing=True,
            name="windows",
        )

    def _best_spans(self, network: keras.Model) -> keras.Model:
        from dlkit.tasks.question_answering.best_spans import BestSpans

        spans = BestSpans(
            self.top_k, self.max_answer, self.unanswerable_, self.threshold, clip_limit=True, name="best_spans"
        )
        kinds = {"starts": "int32", "ends": "int32", "own": "bool", "start_logits": "float32", "end_logits": "float32"}
        tensors = {name: keras.Input((None,), dtype=kind, name=name) for name, kind in kinds.items()}
        tensors["row"] = keras.Input((), dtype="int32", name="row")
        tensors["context_text"] = keras.Input((), dtype="string", name="context_text")
        return keras.Model(tensors, spans(tensors), name="postprocess")


def _windowed(windows: keras.layers.Layer, lower: keras.Model | None = None, rows: int = 0) -> keras.Model:
    inputs = {name: keras.Input((), dtype="string", name=name) for name in ("question", "context")}
    made = windows(inputs["question"], inputs["context"])
    if lower is not None:
        from dlkit.layers.micro_batches import MicroBatches

        features = MicroBatches(lower, rows, name="lower")({name: made[name] for name in lower.input})
        made = {**{name: made[name] for name in (*FOR_ANSWERS, "padding_mask", "truncated")}, **features}
    return keras.Model(inputs, made, name="preprocess")
