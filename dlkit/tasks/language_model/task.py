"""Language models: text that goes on after a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dlkit.columns import Reason, Text, Truncated
from dlkit.data.table import Table
from dlkit.errors import HparamError
from dlkit.generation.columns import FinishReason
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.options import option
from dlkit.rows import ERROR, ROW
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.language_model.columns import Bits, Bytes, Embedding, PromptBits, PromptBytes, Ratio, Tokens
from dlkit.tasks.language_model.documents import DocumentText
from dlkit.tasks.language_model.rows import IS_LEARNED, DocumentRows

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.language_model.ngram_mixture import NgramMixture
    from dlkit.tasks.language_model.text_generator import TextGenerator
    from dlkit.text.subword_tokenizer import SubwordTokenizer


@dataclass(kw_only=True)
class LanguageModel(Task):
    """Continues texts, scores them, and embeds them.

    Examples:
        >>> model = dlkit.LanguageModel(width=16, blocks=1, heads=1, vocabulary_size=300, epochs=1, max_tokens=8)
        >>> history = model.fit(model.samples()["train"], verbose=0)
        >>> sorted(model.predict("The night was"))
        ['finish_reason', 'prompt_bits', 'prompt_bytes', 'text', 'truncated']
    """

    # The defaults of presets are those of their authors; they have not been measured.
    default_epochs = DefaultEpochs(8, fewest=100, most=20_000, tuned=3, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(2, "Number of windows per step. It is the total over all devices.", minimum=1)
    learning_rate: float = hparam(2e-3, "Peak learning rate.", minimum=0, tuned=1e-4)
    warmup: float = hparam(
        0.05,
        'Fraction of the training steps used for linear warmup of the learning rate. With `schedule="one_cycle"`, 0 '
        "selects 0.3.",
        minimum=0,
        maximum=0.9,
    )
    weight_decay: float = hparam(
        0.1, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0, tuned=0.0
    )
    clip_norm: float = hparam(1.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0)
    network: str = hparam(
        "gpt",
        "Network architecture. A preset is a GPT-2, Gemma, Llama, Qwen or another causal backbone of KerasHub.",
        choices=("gpt", "gru", "preset:"),
    )
    tokens: Literal["subwords", "bytes"] = hparam(
        "subwords", "Tokens: subwords learned from the training data, or bytes. A preset has its own."
    )
    vocabulary_size: int = hparam(
        2048, "Size of the subword vocabulary. It includes 256 byte tokens and 3 special tokens.", minimum=260
    )
    context_length: int = hparam(512, "Number of tokens that the network reads.", minimum=4)
    stride: int = hparam(
        0,
        "Stride of the windows of long texts, in tokens. 0 selects `context_length` for training, and half of it "
        "for scores.",
        minimum=0,
    )
    width: int = hparam(192, "Width of the embeddings and of every block.", minimum=2)
    blocks: int = hparam(4, "Number of blocks, or of recurrent layers.", minimum=1)
    heads: int = hparam(4, "Number of attention heads of `gpt`. The width must be an even multiple of it.", minimum=1)
    feedforward_width: int = hparam(
        0, "Feed-forward width of `gpt`. 0 is four times `width`, and 8/3 of it for `swiglu`.", minimum=0
    )
    feedforward: Literal["gelu", "swiglu"] = hparam("gelu", "Feed-forward networks of `gpt`.")
    positions: Literal["rotary", "learned"] = hparam("rotary", "Position encoding of `gpt`.")
    ngram: int = hparam(
        4,
        "Longest n-grams of the mixture; 0 disables it. The probabilities of `gpt` or `gru` are mixed with those of "
        "n-grams of tokens of the training text and of repetitions in the context, by a learned gate.",
        minimum=0,
        maximum=8,
    )
    dropout: float = hparam(0.0, "Dropout rate.", minimum=0, maximum=0.95)
    lora_rank: int = hparam(
        0, "Rank of low-rank adaptation of a preset. Its own weights then stay as they are. 0 disables it.", minimum=0
    )
    max_tokens: int = hparam(
        64, "Maximum number of tokens to generate. This option and those below are defaults of requests.", minimum=0
    )
    temperature: float = hparam(0.0, "Temperature of sampling. 0 is greedy decoding.", minimum=0)
    top_k: int = hparam(0, "Number of tokens to sample from; 0 is all. They are the most probable ones.", minimum=0)
    top_p: float = hparam(
        1.0, "Probability mass to sample from. It is that of the most probable tokens.", minimum=0, maximum=1
    )
    repetition_penalty: float = hparam(
        1.0, "Penalty of repeated tokens; 1 is none. It applies to those of the prompt, too.", minimum=0.01
    )
    stop: tuple[str, ...] = hparam((), "Strings before which generation stops.")
    long_prompts: Literal["refuse", "truncate"] = hparam(
        "refuse", "Prompts longer than the context: refuse them, or read their last tokens."
    )

    public_methods = (*Task.public_methods, "choose", "generate", "measure_samples", "stream")
    inputs = {"prompt": DocumentText(optional=True, default="")}
    target = {"text": DocumentText(aliases=("response", "completion"))}
    answer = {
        "text": Text(),
        "finish_reason": FinishReason(),
        "prompt_bits": PromptBits(),
        "prompt_bytes": PromptBytes(),
        "truncated": Truncated(),
        ERROR: Reason(),
    }
    extra_outputs = {
        "bits": Bits(),
        "bytes": Bytes(),
        "tokens": Tokens(),
        "bits_per_byte": Ratio(),
        "perplexity": Ratio(),
        "embedding": Embedding(),
    }
    rows = DocumentRows
    prefers_cores = True
    primary_metric = "compression"
    evaluated_signature = "score"  # which reads texts of any length

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lora_rank and not self.network.startswith("preset:"):
            raise HparamError(f"{option('lora_rank')} applies to presets. Received: {option('network', self.network)}.")
        if self.stride > self.context_length:
            raise HparamError(
                f"{option('stride')} must be at most {option('context_length')}, {self.context_length}. Received: "
                f"{self.stride}."
            )
        self.byte_counts_ = [0] * 256  # of the training data, for the baseline

    @property
    def end_id(self) -> int:
        """The token before and after each document."""
        from dlkit.text.subword_tokenizer import END_ID

        return END_ID

    @property
    def packs(self) -> bool:
        """Whether documents share windows: attention of presets cannot be kept from crossing them."""
        return not self.network.startswith("preset:")

    @property
    def tokenizer(self) -> SubwordTokenizer:
        """The tokenizer of the fitted task."""
        return self.stages_.preprocess.get_layer("prompt_tokenizer").tokenizer

    @property
    def generator(self) -> TextGenerator:
        """The layer of the fitted task that generates text."""
        return self.stages_.serving_models()[1].get_layer("generator")

    @property
    def mixture(self) -> NgramMixture | None:
        """The mixture of the fitted task with n-grams, if it has one."""
        return next((layer for layer in self.stages_.network.layers if layer.name == "mixture"), None)

    @property
    def score_stride(self) -> int:
        """Number of tokens between the starts of the windows in which texts are scored."""
        return min(self.stride or max(1, self.context_length // 2), self.context_length)

    def build(self, examples: Table) -> Stages:
        from dlkit.layers.blank_invalid_rows import blank_invalid_rows
        from dlkit.tasks.language_model.learn_texts import learn_texts
        from dlkit.tasks.language_model.prompt_tokenizer import PromptTokenizer
        from dlkit.tasks.language_model.request_columns import default_options
        from dlkit.tasks.language_model.text_generator import TextGenerator

        subwords, self.byte_counts_ = learn_texts(self, examples)
        network, tokenizer = self._build_network(subwords, examples)
        room = 0 if self.long_prompts == "refuse" else max(1, min(self.max_tokens, self.context_length // 2))
        prompt = keras.Input((), dtype="string", name="prompt")
        tokens = {
            "token_ids": keras.Input((self.context_length,), dtype="int32", name="token_ids"),
            "padding_mask": keras.Input((self.context_length,), dtype="bool", name="padding_mask"),
        }
        generator = TextGenerator(
            network,
            tokenizer.subwords,
            tokenizer.byte_ids,
            self.context_length,
            default_options(self),
            name="generator",
        )
        kinds = {"text": "string", "finish_reason": "string", "prompt_bits": "float32"}
        kinds |= {"prompt_bytes": "int32", "truncated": "bool"}
        made = {name: keras.Input((), dtype=kind, name=name) for name, kind in kinds.items()}
        return Stages(
            preprocess=keras.Model(
                {"prompt": prompt},
                PromptTokenizer(tokenizer, self.context_length, room, name="prompt_tokenizer")(prompt),
                name="preprocess",
            ),
            network=network,
            postprocess=blank_invalid_rows(keras.Model(made, dict(made), name="postprocess")),
            decode=keras.Model(tokens, generator(tokens["token_ids"], tokens["padding_mask"]), name="decode"),
        )

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, Any]:
        tokenizer = self.tokenizer
        prompt, text = tokenizer.tokenize(features["prompt"]), tokenizer.tokenize(target["text"])
        ids = tf.concat([prompt, text], 1)
        is_learned = tf.concat([tf.zeros_like(prompt), tf.ones_like(text)], 1)
        rows = tf.cast(ids.value_rowids(), tf.int32)
        return {"token_ids": ids.flat_values, IS_LEARNED: is_learned.flat_values > 0, ROW: rows}, {}

    def loss(self) -> Any:
        from dlkit.layers.token_loss import TokenCrossEntropy
        from dlkit.tasks.language_model.ngram_mixture import MixtureCrossEntropy

        loss = TokenCrossEntropy if self.mixture is None else MixtureCrossEntropy
        return {"logits": loss(self.context_length)}

    def metrics(self) -> Any:
        return None  # the argmax over the vocabulary of each token would take a tenth of a step

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.language_model.metrics import score_texts

        metrics = score_texts(targets["text"], answers["bits"], answers["tokens"], self.byte_counts_)
        return {**metrics, "context_length": self.context_length, "stride": self.score_stride}

    def signatures(self) -> list[Signature]:
        from dlkit.tasks.language_model.signatures import make_signatures

        return make_signatures(self)

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.language_model.sample import load_passages

        return load_passages()

    def generate(self, prompts: Sequence[str], **options: Any) -> list[dict[str, Any]]:
        """Continue prompts with options of each, as the signature `generate` does.

        Args:
            prompts: the texts to continue.
            options: a value for all prompts, or a list with one for each: `max_tokens`, the maximum number of tokens to
                generate; `temperature`, above 0 for sampling; `top_k`, the number of tokens to sample from (0 for all);
                `top_p`, their probability mass (1 for all); `repetition_penalty`, above 1 to avoid tokens that the text
                has already; `seed`, of the sampling; `stop`, a string before which to stop, or a list of them.

        Returns:
            A dict for each prompt, as `predict` returns it.

        Raises:
            HparamError: there is no such option.
            DataError: a list does not have a value for each prompt, or a prompt is too long.

        Examples:
            >>> model = dlkit.LanguageModel(width=16, blocks=1, heads=1, vocabulary_size=300, epochs=1)
            >>> history = model.fit(model.samples()["train"], verbose=0)
            >>> len(model.generate(["She was", "He was"], temperature=0.8, seed=[1, 2], max_tokens=8, stop="."))
            2
        """
        from dlkit.tasks.language_model.generate import generate

        return generate(self, prompts, options)

    def stream(self, prompt: str, **options: Any) -> Iterator[str]:
        """Continue a prompt and yield the text while it is generated.

        Args:
            prompt: the text to continue.
            options: as of `generate`.

        Yields:
            Pieces of the text, which make up the text of `generate`.

        Raises:
            HparamError: there is no such option.
            DataError: the prompt is too long.

        Examples:
            >>> model = dlkit.LanguageModel(width=16, blocks=1, heads=1, vocabulary_size=300, epochs=1)
            >>> history = model.fit(model.samples()["train"], verbose=0)
            >>> "".join(model.stream("She was", max_tokens=8)) == model.generate(["She was"], max_tokens=8)[0]["text"]
            True
        """
        from dlkit.tasks.language_model.stream import stream

        return stream(self, prompt, options)

    def measure_samples(self, prompts: Sequence[str], **options: Any) -> dict[str, float]:
        """Generate a text after each prompt and measure how varied and how repetitive the texts are.

        Args:
            prompts: the texts to continue.
            options: as of `generate`.

        Returns:
            `distinct_1` and `distinct_2`, the share of different words and pairs of words; `repetition`, the share of
            sequences of four words that have occurred before in their text; each from 0 to 1.

        Raises:
            HparamError: there is no such option.
            DataError: a list does not have a value for each prompt, or a prompt is too long.

        Examples:
            >>> model = dlkit.LanguageModel(width=16, blocks=1, heads=1, vocabulary_size=300, epochs=1)
            >>> history = model.fit(model.samples()["train"], verbose=0)
            >>> sorted(model.measure_samples(["She was", "He was"], max_tokens=8))
            ['distinct_1', 'distinct_2', 'repetition']
        """
        from dlkit.tasks.language_model.sample_metrics import distinct_ngrams, repetition

        texts = [answer["text"] for answer in self.generate(prompts, **options)]
        distinct = {f"distinct_{n}": distinct_ngrams(texts, n) for n in (1, 2)}
        return {**distinct, "repetition": repetition(texts)}

    def choose(self, prompt: str, choices: Sequence[str]) -> dict[str, Any]:
        """Choose the most probable of several continuations of a prompt.

        Args:
            prompt: the text to continue.
            choices: its continuations, with the space before them.

        Returns:
            A dict of `choice`, the most probable one; `scores`, the probability of each choice if one of them follows;
            and `bits_per_byte` of each, by which choices of different length can be compared.

        Raises:
            DataError: there is no choice.

        Examples:
            >>> model = dlkit.LanguageModel(width=16, blocks=1, heads=1, vocabulary_size=300, epochs=1)
            >>> history = model.fit(model.samples()["train"], verbose=0)
            >>> sorted(model.choose("She was", [" happy", " xxxxx"]))
            ['bits_per_byte', 'choice', 'scores']
        """
        from dlkit.tasks.language_model.choose import choose

        return choose(self, prompt, choices)

    def _build_network(self, subwords: list[str], examples: Table) -> tuple[keras.Model, SubwordTokenizer]:
        """Build the network and its tokenizer."""
        if self.network.startswith("preset:"):
            from dlkit.tasks.language_model.preset import language_model_preset

            return language_model_preset(self.network.removeprefix("preset:"), self.context_length, self.lora_rank)
        from dlkit.tasks.language_model.networks import causal_gru, gpt
        from dlkit.text.subword_tokenizer import SubwordTokenizer

        tokenizer = SubwordTokenizer(subwords, self.context_length, exact=True, name="tokenizer")
        sizes: dict[str, Any] = {"width": self.width, "blocks": self.blocks, "dropout": self.dropout}
        sizes["mixture"] = self._learn_mixture(tokenizer, examples) if self.ngram else None
        if self.network == "gru":
            return causal_gru(tokenizer.vocabulary_size, **sizes), tokenizer
        hidden = 4 * self.width if self.feedforward == "gelu" else 8 * self.width // 3
        network = gpt(
            tokenizer.vocabulary_size,
            context_length=self.context_length,
            heads=self.heads,
            feedforward_width=self.feedforward_width or hidden,
            feedforward=self.feedforward,
            positions=self.positions,
            **sizes,
        )
        return network, tokenizer

    def _learn_mixture(self, tokenizer: SubwordTokenizer, examples: Table) -> NgramMixture:
        """Count the n-grams of the training text."""
        import numpy as np

        from dlkit.tasks.language_model.expert_windows import MAX_NGRAM_TOKENS, cap_documents
        from dlkit.tasks.language_model.learn_texts import read_tokens
        from dlkit.tasks.language_model.ngram_mixture import NgramMixture
        from dlkit.text.kneser_ney import KneserNey

        documents = cap_documents(read_tokens(tokenizer, examples, MAX_NGRAM_TOKENS))
        ids = np.concatenate([np.append(document, self.end_id) for document in documents])
        return NgramMixture.of(KneserNey(ids, tokenizer.vocabulary_size, self.ngram, self.end_id), name="mixture")
