"""Translation, or any other task of generating a text from a text."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dlkit.columns import Score, Text, Truncated, tensor_specs
from dlkit.data.table import Table
from dlkit.generation.columns import FinishReason
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.padding import Padding
from dlkit.rows import LENGTH
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.translation.columns import ParallelText
from dlkit.tasks.translation.filter_pairs import PairRows, parse_filters

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature

MAX_SAMPLED_ROWS = 2_000  # training rows of which the mean target length is computed
LENGTH_MULTIPLE = 4  # of the lengths of batches, as each length costs the kernels a plan of its own


@dataclass(kw_only=True)
class Translator(Task):
    """Translates texts, or learns any other mapping from text to text from pairs.

    Examples:
        >>> model = dlkit.Translator(width=16, blocks=1, vocabulary_size=300, epochs=1)
        >>> history = model.fit(model.samples()["train"], verbose=0)
        >>> sorted(model.predict("Good morning."))
        ['finish_reason', 'score', 'translation', 'truncated']
    """

    # The defaults of presets are those of their authors; they have not been measured.
    default_epochs = DefaultEpochs(20, fewest=180, most=20_000, tuned=3, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(32, "Number of training examples per step. It is the total over all devices.", minimum=1)
    learning_rate: float = hparam(1e-3, "Peak learning rate.", minimum=0, tuned=1e-4)
    warmup: float = hparam(
        0.05,
        'Fraction of the training steps used for linear warmup of the learning rate. With `schedule="one_cycle"`, 0 '
        "selects 0.3.",
        minimum=0,
        maximum=0.9,
    )
    clip_norm: float = hparam(1.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0)
    network: str = hparam(
        "transformer",
        "Network architecture. A preset is a BART or T5 of KerasHub with its own vocabulary.",
        choices=("transformer", "gru", "preset:"),
    )
    width: int = hparam(256, "Width of the embeddings and of every block.", minimum=2)
    blocks: int = hparam(2, "Number of encoder blocks, and of decoder blocks.", minimum=1)
    heads: int = hparam(4, "Number of attention heads of `transformer`. It must divide `width`.", minimum=1)
    feedforward_width: int = hparam(
        0, "Feed-forward width; 0 is four times `width`. It applies to `transformer`.", minimum=0
    )
    positions: Literal["sinusoidal", "relative"] = hparam(
        "sinusoidal",
        "Position encoding. It applies to `transformer`; the value `relative` selects T5's relative position biases.",
    )
    attention: Literal["luong", "bahdanau"] = hparam("luong", "Attention of `gru`.")
    dropout: float = hparam(0.1, "Dropout rate.", minimum=0, maximum=0.95)
    label_smoothing: float = hparam(
        0.1,
        "Label smoothing; 0 disables it. This fraction of the target probability is spread evenly over all tokens.",
        minimum=0,
        maximum=0.9,
    )
    vocabulary_size: int = hparam(
        8000,
        "Size of the joint subword vocabulary. It is shared by source and target and includes 256 byte tokens "
        "and 3 special tokens.",
        minimum=260,
    )
    max_tokens: int = hparam(
        128,
        "Maximum number of tokens of a text. Longer sources and targets are truncated, and a translation has at "
        "most as many tokens.",
        minimum=2,
    )
    beam_width: int = hparam(4, "Number of beams; 1 is greedy decoding.", minimum=1, maximum=16)
    length_penalty: float = hparam(
        1.0,
        "Length penalty of beam search; 0 is off. It is the exponent of the length normalization: higher values "
        "favor longer translations.",
        minimum=0,
    )
    filters: str = hparam(
        "empty+ratio+duplicate",
        "Filters of training pairs, joined by +. The filters are `empty`, `ratio` and `duplicate`; an empty "
        "string disables them. The number of removed pairs is reported.",
    )
    max_length_ratio: float = hparam(
        9.0,
        "Maximum length ratio of the `ratio` filter. It is the ratio of the lengths of the two texts of a pair, "
        "in characters, after 10 are added to both.",
        minimum=1,
    )

    public_methods = (*Task.public_methods, "generate")
    inputs = {"source": ParallelText()}
    target = {"target": ParallelText(), "source": ParallelText()}  # the source too, for the baseline of `score`
    answer = {"translation": Text(), "score": Score(), "truncated": Truncated(), "finish_reason": FinishReason()}
    rows = PairRows
    padding = (
        Padding("token_ids", ("token_ids", "padding_mask"), LENGTH_MULTIPLE),
        Padding("decoder_ids", ("decoder_ids",), LENGTH_MULTIPLE),
    )
    training_only = ("label_smoothing", "filters", "max_length_ratio")
    primary_metric = "chrf"  # which suits every language; BLEU needs words

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_filters(self.filters)
        self.mean_target_length_ = 1.0  # of the training data, in tokens

    def build(self, examples: Table) -> Stages:
        from dlkit.tasks.translation.token_generator import TokenGenerator

        network, tokenizer, detokenizer = self._build_network(examples)
        sample = examples.take(range(0, len(examples), -(-len(examples) // MAX_SAMPLED_ROWS)))
        targets = sample.raw_column("target", self.target["target"])
        lengths = tf.reduce_sum(tf.cast(tokenizer(targets)["padding_mask"], tf.float32), 1)
        self.mean_target_length_ = float(tf.reduce_mean(lengths))
        source = keras.Input((), dtype="string", name="source")
        tokens = {
            "token_ids": keras.Input((self.max_tokens,), dtype="int32", name="token_ids"),
            "padding_mask": keras.Input((self.max_tokens,), dtype="bool", name="padding_mask"),
        }
        generated_ids = keras.Input((None,), dtype="int32", name="generated_ids")
        generator = TokenGenerator(
            network,
            self.max_tokens,
            self.beam_width,
            self.length_penalty,
            name="generator",
        )
        return Stages(
            preprocess=keras.Model({"source": source}, tokenizer(source), name="preprocess"),
            network=network,
            postprocess=keras.Model(
                {"generated_ids": generated_ids}, {"translation": detokenizer(generated_ids)}, name="postprocess"
            ),
            decode=keras.Model(tokens, generator(tokens["token_ids"], tokens["padding_mask"]), name="decode"),
        )

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, Any]:
        from dlkit.text.subword_tokenizer import END_ID, START_ID

        source = self.stages_.preprocess(features)
        target_tokens = self.stages_.preprocess({"source": target["target"]})
        ids = target_tokens["token_ids"]
        is_last = tf.one_hot(self.max_tokens - 1, self.max_tokens, True, False, dtype=tf.bool)
        # A truncated target does not end with the end token.
        labels = tf.where(target_tokens["truncated"][:, tf.newaxis] & is_last, 0, ids)
        tensors = {
            "token_ids": source["token_ids"],
            "padding_mask": source["padding_mask"],
            "decoder_ids": tf.pad(tf.where(ids == END_ID, 0, ids)[:, :-1], [[0, 0], [1, 0]], constant_values=START_ID),
        }
        # Of the sum, either length and their maximum, sorting by the maximum leaves the least padding.
        length = tf.maximum(_count_tokens(source["token_ids"]), _count_tokens(labels))
        return {**tensors, LENGTH: length}, {"logits": labels}

    def loss(self) -> Any:
        from dlkit.layers.token_loss import TokenCrossEntropy

        return {"logits": TokenCrossEntropy(self.mean_target_length_, self.label_smoothing)}

    def metrics(self) -> Any:
        return None  # the argmax over the vocabulary of each token would take a tenth of a step

    def signatures(self) -> list[Signature]:
        from dlkit.generation.sample_tokens import Sampling
        from dlkit.serving.signature import Signature
        from dlkit.tasks.translation.generate import make_request_columns

        preprocess, decode, postprocess = self.stages_.serving_models()
        generator = decode.get_layer("generator")

        def generate(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            tokens = preprocess({"source": tensors["source"]}, training=False)
            sampling = Sampling(**{name: tensors[name] for name in Sampling._fields if name in tensors})
            generated = generator.generate(
                tokens["token_ids"],
                tokens["padding_mask"],
                tensors["max_tokens"],
                tensors["beam_width"],
                tensors["length_penalty"],
                sampling=sampling,
            )
            texts = postprocess({"generated_ids": generated["generated_ids"]}, training=False)
            outputs = {**tokens, **generated, **texts}
            return {name: outputs[name] for name in self.answer}

        columns = {**self.inputs, **make_request_columns(self)}
        return [Signature("generate", generate, tensor_specs(columns), example=self._make_example, columns=columns)]

    def _make_example(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Make a request of each row: greedy, with beam search, or with sampling."""
        kind = tf.strings.length(raw["source"]) % 3
        is_sampling = tf.cast(kind == 2, tf.float32)
        return {
            "source": raw["source"],
            "max_tokens": tf.fill(tf.shape(kind), min(48, self.max_tokens)),
            "beam_width": tf.where(kind == 1, 3, 1),
            "length_penalty": tf.fill(tf.shape(kind), self.length_penalty),
            "temperature": 0.8 * is_sampling,
            "top_k": tf.where(kind == 2, 20, 0),
            "top_p": 1.0 - 0.1 * is_sampling,
            "seed": kind,
        }

    def generate(self, sources: list[str], **options: Any) -> list[dict[str, Any]]:
        """Translate texts with options of each text, as the signature `generate` does.

        Args:
            sources: the texts to translate.
            options: a number for all texts, or a list with one for each: `max_tokens`, the maximum number of tokens to
                generate; `beam_width`, from 1 to 16; `length_penalty`; `temperature`, above 0 for sampling; `top_k`,
                the number of tokens to sample from (0 for all); `top_p`, their probability mass (1 for all); `seed`, of
                the sampling.

        Returns:
            A dict for each text, as `predict` returns it.

        Raises:
            HparamError: there is no such option.
            DataError: a list does not have a value for each text.

        Examples:
            >>> model = dlkit.Translator(width=16, blocks=1, vocabulary_size=300, epochs=1)
            >>> history = model.fit(model.samples()["train"], verbose=0)
            >>> len(model.generate(["Good morning.", "Good night."], temperature=0.8, seed=[1, 2], max_tokens=8))
            2
        """
        from dlkit.tasks.translation.generate import generate

        return generate(self, sources, options)

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.translation.metrics import score_translations

        return score_translations(targets["target"], answers["translation"], targets["source"])

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.translation.sample import make_sentences

        return make_sentences()

    def _build_network(self, examples: Table) -> tuple[keras.Model, keras.layers.Layer, keras.layers.Layer]:
        """Build the network, its tokenizer and its detokenizer."""
        if self.network.startswith("preset:"):
            from dlkit.tasks.translation.preset import translation_preset

            return translation_preset(self.network.removeprefix("preset:"), self.max_tokens)
        from dlkit.tasks.translation.networks import translation_gru, translation_transformer
        from dlkit.text.subword_tokenizer import SubwordDetokenizer, SubwordTokenizer, learn_subwords

        texts = [text.decode() for name in self.target for text in examples.raw_column(name, self.target[name])]
        subwords = learn_subwords([unicodedata.normalize("NFC", text) for text in texts], self.vocabulary_size)
        tokenizer = SubwordTokenizer(subwords, self.max_tokens, name="tokenizer")
        detokenizer = SubwordDetokenizer(subwords, name="detokenizer")
        sizes: dict[str, Any] = {"width": self.width, "blocks": self.blocks, "dropout": self.dropout}
        if self.network == "gru":
            return translation_gru(tokenizer.vocabulary_size, attention=self.attention, **sizes), tokenizer, detokenizer
        network = translation_transformer(
            tokenizer.vocabulary_size,
            heads=self.heads,
            feedforward_width=self.feedforward_width or 4 * self.width,
            positions=self.positions,
            **sizes,
        )
        return network, tokenizer, detokenizer


def _count_tokens(ids: tf.Tensor) -> tf.Tensor:
    """Count the tokens of each row that are no padding: (batch, tokens) to (batch,) int32."""
    return tf.reduce_sum(tf.cast(ids > 0, tf.int32), axis=1)
