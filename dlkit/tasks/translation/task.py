"""Translation, or any other way from one text to another: a text in, a text out."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dlkit.columns import Score, Text, Truncated, tensor_specs
from dlkit.data.table import Table
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.padding import Padding
from dlkit.rows import LENGTH
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.translation.columns import FinishReason, Side
from dlkit.tasks.translation.pairs import PairRows, check_reasons

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature

SHOWN = 2_000  # training rows by which the usual length is measured
ROUND = 4  # lengths of batches are multiples of it: each is a plan of its own for the kernels


@dataclass(kw_only=True)
class Translator(Task):
    """Translates texts, or learns any other mapping from text to text from pairs.

    Example:
        >>> model = dlkit.Translator(width=16, blocks=1, vocabulary_size=300, epochs=1)
        >>> history = model.fit(model.samples()["train"], verbose=0)
        >>> sorted(model.predict("Good morning."))
        ['finish_reason', 'score', 'translation', 'truncated']
    """

    # Those of presets are what their authors tune with; there are no figures of them.
    default_epochs = DefaultEpochs(20, fewest=180, most=20_000, tuned=3, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(32, "Batch size: number of rows per training step.", minimum=1)
    learning_rate: float = hparam(1e-3, "Peak learning rate.", minimum=0, tuned=1e-4)
    warmup: float = hparam(
        0.05, "Fraction of the training steps used for linear warmup of the learning rate.", minimum=0, maximum=0.9
    )
    clip_norm: float = hparam(1.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0)
    network: str = hparam(
        "transformer",
        "Network architecture; preset:NAME_OR_FOLDER uses a KerasHub Bart or T5 with its own vocabulary.",
        choices=("transformer", "gru", "preset:"),
    )
    width: int = hparam(256, "Embedding dimension, which is also the width of every block.", minimum=2)
    blocks: int = hparam(2, "Number of encoder blocks, and of decoder blocks.", minimum=1)
    heads: int = hparam(4, "Number of attention heads of the transformer; must divide width.", minimum=1)
    hidden: int = hparam(0, "Width of the transformer's feed-forward layers; 0 selects four times width.", minimum=0)
    positions: Literal["sines", "relative"] = hparam(
        "sines", "Position encoding of the transformer: sinusoidal (sines), or T5's relative position biases."
    )
    attention: Literal["luong", "bahdanau"] = hparam("luong", "Attention score of the gru.")
    dropout: float = hparam(0.1, "Dropout rate.", minimum=0, maximum=0.95)
    label_smoothing: float = hparam(
        0.1, "Label smoothing: fraction of each target spread evenly over all tokens.", minimum=0, maximum=0.9
    )
    vocabulary_size: int = hparam(
        8000,
        "Size of the joint subword vocabulary of source and target, which includes 259 bytes and special tokens.",
        minimum=260,
    )
    max_tokens: int = hparam(
        128, "Maximum sequence length of source and target, in tokens; longer ones are truncated.", minimum=2
    )
    beam_width: int = hparam(4, "Number of beams in beam search; 1 is greedy decoding.", minimum=1, maximum=16)
    length_penalty: float = hparam(
        1.0,
        "Exponent of the length normalization in beam search; higher values favor longer translations, 0 disables it.",
        minimum=0,
    )
    drop: str = hparam(
        "empty+ratio+duplicate",
        'Filters applied to training pairs, joined by +; "" disables them. Dropped pairs are counted.',
    )
    max_ratio: float = hparam(9.0, "Maximum length ratio of the two sides of a pair, for the filter ratio.", minimum=1)

    public_methods = (*Task.public_methods, "generate")
    inputs = {"source": Side()}
    target = {"target": Side(), "source": Side()}  # the source too: `score` compares with it
    answer = {"translation": Text(), "score": Score(), "truncated": Truncated(), "finish_reason": FinishReason()}
    rows = PairRows
    padding = (
        Padding("token_ids", ("token_ids", "padding_mask"), ROUND),
        Padding("decoder_ids", ("decoder_ids",), ROUND),
    )
    training_only = ("label_smoothing", "drop", "max_ratio")
    primary_metric = "chrf"  # which every language has; BLEU needs words

    def __post_init__(self) -> None:
        super().__post_init__()
        check_reasons(self.drop)
        self.usual_length_ = 1.0  # of a target, in tokens

    def build(self, examples: Table) -> Stages:
        from dlkit.tasks.translation.write_tokens import WriteTokens

        network, split, join = self._parts(examples)
        few = examples.take(range(0, len(examples), -(-len(examples) // SHOWN)))
        shown = few.raw_column("target", self.target["target"])
        self.usual_length_ = float(tf.reduce_mean(tf.reduce_sum(tf.cast(split(shown)["padding_mask"], tf.float32), 1)))
        source = keras.Input((), dtype="string", name="source")
        tokens = {
            "token_ids": keras.Input((self.max_tokens,), dtype="int32", name="token_ids"),
            "padding_mask": keras.Input((self.max_tokens,), dtype="bool", name="padding_mask"),
        }
        written = keras.Input((None,), dtype="int32", name="written_ids")
        write = WriteTokens(
            network,
            self.max_tokens,
            self.beam_width,
            self.length_penalty,
            nothing_of_nothing=True,
            tell_finish=True,
            name="write",
        )
        return Stages(
            preprocess=keras.Model({"source": source}, split(source), name="preprocess"),
            network=network,
            postprocess=keras.Model({"written_ids": written}, {"translation": join(written)}, name="postprocess"),
            decode=keras.Model(tokens, write(tokens["token_ids"], tokens["padding_mask"]), name="decode"),
        )

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, Any]:
        from dlkit.tasks.translation.subwords import END, START

        source = self.stages_.preprocess(features)
        written = self.stages_.preprocess({"source": target["target"]})
        ids = written["token_ids"]
        last = tf.one_hot(self.max_tokens - 1, self.max_tokens, True, False, dtype=tf.bool)
        labels = tf.where(written["truncated"][:, tf.newaxis] & last, 0, ids)  # what was cut did not end there
        tensors = {
            "token_ids": source["token_ids"],
            "padding_mask": source["padding_mask"],
            "decoder_ids": tf.pad(tf.where(ids == END, 0, ids)[:, :-1], [[0, 0], [1, 0]], constant_values=START),
        }
        length = tf.maximum(_count(source["token_ids"]), _count(labels))  # of sums and either alone, the least padding
        return {**tensors, LENGTH: length}, {"logits": labels}

    def loss(self) -> Any:
        from dlkit.layers.token_loss import TokenCrossEntropy

        return {"logits": TokenCrossEntropy(self.usual_length_, self.label_smoothing)}

    def metrics(self) -> Any:
        return None  # the best of thousands of logits for each token would take a tenth of a step

    def signatures(self) -> list[Signature]:
        from dlkit.serving.signature import Signature
        from dlkit.tasks.translation.generate import request_columns
        from dlkit.tasks.translation.write_tokens import Draw

        split, decode, join = self.stages_.serving_models()
        write = decode.get_layer("write")

        def generate(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            read = split({"source": tensors["source"]}, training=False)
            draw = Draw(*(tensors[name] for name in Draw._fields))
            written = write.write(
                read["token_ids"],
                read["padding_mask"],
                tensors["max_tokens"],
                tensors["beam_width"],
                tensors["length_penalty"],
                draw=draw,
            )
            made = {**read, **written, **join({"written_ids": written["written_ids"]}, training=False)}
            return {name: made[name] for name in self.answer}

        columns = {**self.inputs, **request_columns(self)}
        return [Signature("generate", generate, tensor_specs(columns), example=self._example, columns=columns)]

    def _example(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """A request for each row, of one of three kinds: greedy, by beams, by sampling."""
        kind = tf.strings.length(raw["source"]) % 3
        samples = tf.cast(kind == 2, tf.float32)
        return {
            "source": raw["source"],
            "max_tokens": tf.fill(tf.shape(kind), min(48, self.max_tokens)),
            "beam_width": tf.where(kind == 1, 3, 1),
            "length_penalty": tf.fill(tf.shape(kind), self.length_penalty),
            "temperature": 0.8 * samples,
            "top_k": tf.where(kind == 2, 20, 0),
            "top_p": 1.0 - 0.1 * samples,
            "seed": kind,
        }

    def generate(self, sources: list[str], **options: Any) -> list[dict[str, Any]]:
        """Answers with options of each request, as the signature `generate` does.

        Args:
            sources: texts.
            options: `max_tokens`, `beam_width`, `length_penalty`, `temperature` (0 for none), `top_k` (0 for all),
                `top_p` (1 for all) and `seed`: a number for all, or a list with one for each text.

        Raises:
            HparamError: an option that there is not.
        """
        from dlkit.tasks.translation.generate import generate

        return generate(self, sources, options)

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.translation.metrics import score_texts

        return score_texts(targets["target"], answers["translation"], targets["source"])

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.translation.sample import sentences

        return sentences()

    def _parts(self, examples: Table) -> tuple[keras.Model, keras.layers.Layer, keras.layers.Layer]:
        """The network; what makes ids of texts, and texts of ids."""
        if self.network.startswith("preset:"):
            from dlkit.tasks.translation.preset import translation_preset

            return translation_preset(self.network.removeprefix("preset:"), self.max_tokens)
        from dlkit.tasks.translation.networks import translation_gru, translation_transformer
        from dlkit.tasks.translation.subwords import JoinSubwords, Subwords, learn_pieces

        texts = [text.decode() for name in self.target for text in examples.raw_column(name, self.target[name])]
        pieces = learn_pieces([unicodedata.normalize("NFC", text) for text in texts], self.vocabulary_size)
        split, join = Subwords(pieces, self.max_tokens, nfc=True, name="split"), JoinSubwords(pieces, name="join")
        size: dict[str, Any] = {"width": self.width, "blocks": self.blocks, "dropout": self.dropout}
        if self.network == "gru":
            return translation_gru(split.vocabulary_size, attention=self.attention, **size), split, join
        network = translation_transformer(
            split.vocabulary_size,
            heads=self.heads,
            hidden=self.hidden or 4 * self.width,
            positions=self.positions,
            **size,
        )
        return network, split, join


def _count(ids: tf.Tensor) -> tf.Tensor:
    """(batch, tokens) to (batch,) int32: how many tokens are no padding."""
    return tf.reduce_sum(tf.cast(ids > 0, tf.int32), axis=1)
