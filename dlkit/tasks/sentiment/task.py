"""Sentiment classification, or any other classification of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from dlkit.classification import labels
from dlkit.classification.metrics import score_multi, score_single
from dlkit.columns import Text, Truncated, to_batch
from dlkit.data.table import Table
from dlkit.errors import HparamError
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.options import option
from dlkit.padding import Padding
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.sentiment.text_rows import TextRows, choose_tokenizer

if TYPE_CHECKING:
    import numpy as np

NGRAMS_PER_TOKEN = 24  # maximum number of n-grams of a text, per token of `max_tokens`
CHARACTERS = (2, 5)  # lengths of n-grams of characters


@dataclass(kw_only=True)
class SentimentClassifier(Task):
    """Classifies texts by sentiment, or by any other set of labels, with scores.

    Examples:
        >>> model = dlkit.SentimentClassifier(epochs=1)
        >>> history = model.fit(model.samples()["train"], verbose=0)
        >>> answer = model.predict("A wonderful film.")
        >>> answer["label"], 0.5 < answer["score"] <= 1
        ('positive', True)
    """

    # The defaults of presets are those of the figures in `apps/sentiment.py` and `benchmarks/RESULTS.md`.
    default_epochs = DefaultEpochs(3, fewest=300, most=6_000, frozen=15, fewest_preset=15, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(
        64, "Number of training examples per step. It is the total over all devices.", minimum=1, tuned=32
    )
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = hparam("adam", "Optimizer.", tuned="adamw")
    learning_rate: float = hparam(2e-3, "Peak learning rate.", minimum=0, tuned=1e-4, frozen=3e-4)
    schedule: Literal["constant", "cosine", "one_cycle"] = hparam(
        "constant", "Learning rate schedule.", tuned="cosine", frozen="cosine"
    )
    warmup: float = hparam(
        0.0,
        'Fraction of the training steps used for linear warmup of the learning rate. With `schedule="one_cycle"`, 0 '
        "selects 0.3.",
        minimum=0,
        maximum=0.9,
        tuned=0.1,
    )
    weight_decay: float = hparam(
        0.0, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0, tuned=0.01
    )
    clip_norm: float = hparam(0.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0, tuned=1.0)
    monitor: str = hparam("accuracy", "Validation metric that selects the best epoch, without the prefix val_.")
    network: str = hparam(
        "mlp",
        "Network architecture. The default is a bag of n-grams, and a preset is a BERT-like KerasHub backbone.",
        choices=("mlp", "cnn", "lstm", "gru", "transformer", "preset:"),
    )
    max_tokens: int = hparam(
        64,
        "Maximum number of tokens per text. Longer texts are truncated. For `mlp`, the maximum is 16 times as many "
        "n-grams.",
        minimum=3,
    )
    tokenizer: Literal["auto", "words", "characters", "wordpiece"] = hparam(
        "auto",
        "Tokenizer. It is used by `cnn`, `lstm`, `gru` and `transformer`. With `auto`, texts are split into "
        "characters if most letters of the training data belong to scripts without spaces (Thai, Chinese, "
        "Japanese), and otherwise into words.",
    )
    vocabulary_file: str = hparam(
        "", 'BERT vocabulary file, vocab.txt. It is required with `tokenizer="wordpiece"`.', file=True
    )
    vocabulary_size: int = hparam(
        0,
        "Vocabulary size, or 0 to select it. 0 selects 200,000 n-grams for `mlp` and 20,000 tokens for other networks.",
        minimum=0,
    )
    lowercase: bool = hparam(True, "Whether to lowercase the text. Presets ignore this option.")
    word_ngrams: int = hparam(2, "Maximum length of word n-grams, for `mlp`.", minimum=1, maximum=5)
    character_ngrams: bool = hparam(
        True, "Whether `mlp` uses character n-grams. They have 2 to 5 characters and may contain spaces."
    )
    width: int = hparam(
        128,
        "Embedding width; `mlp` uses a quarter of it. It is also the width of the layers of `transformer`.",
        minimum=1,
    )
    dropout: float = hparam(
        0.3, "Dropout rate. It also applies to the n-grams of `mlp`.", minimum=0, maximum=0.95, tuned=0.1, frozen=0.0
    )
    label_smoothing: float = hparam(
        0.0,
        "Label smoothing; 0 disables it. This fraction of the target probability is spread evenly over all labels.",
        minimum=0,
        maximum=0.9,
    )
    class_weights: str = hparam(
        "",
        'Class weights: "balanced" or "spam=2,ham=1". With "balanced", weights are inversely proportional to the '
        "number of training examples of a label, with a mean of 1 over the examples. With weights by name, other "
        "labels have a weight of 1.",
    )
    multi_label: bool = hparam(
        False, "Whether a text can have several labels. With `multi_label=True`, a text can also have no label."
    )
    score_threshold: float = hparam(
        0.5,
        "Minimum score of a label with `multi_label=True`. Otherwise, the option is not used.",
        minimum=0,
        maximum=1,
    )
    top_k: int = hparam(0, "Number of labels to return; 0 returns all. The best labels come first.", minimum=0)

    public_methods = (*Task.public_methods, "explain")
    inputs = {"text": Text()}
    target = labels.SINGLE_TARGET
    answer = {**labels.SINGLE_ANSWER, "truncated": Truncated()}
    rows = TextRows
    padding = cast("Sequence[Padding]", (Padding(),))
    primary_metric = "accuracy"
    training_only = ("label_smoothing", "class_weights")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.labels_: list[str] = []
        self.class_weights_: list[float] = []
        self.tokenizer_ = ""  # the selected tokenizer, "words" or "characters"
        if self.network.startswith("preset:") and self.freeze == "backbone":
            self.frozen = ""  # the features of a frozen backbone are preprocessing, and have no length either
        if self.multi_label:
            self.target, self.primary_metric = labels.MULTI_TARGET, "micro_f1"
            self.answer = {**labels.MULTI_ANSWER, "truncated": Truncated()}
        if self.tokenizer == "wordpiece" and not self.vocabulary_file and not self.network.startswith("preset:"):
            raise HparamError(
                f"{option('tokenizer', 'wordpiece')} needs {option('vocabulary_file')}: a vocab.txt with one token "
                "per line."
            )

    def build(self, examples: Table) -> Stages:
        column = self.target["label"]
        self.labels_ = labels.learn_labels(examples, column)
        self.class_weights_ = labels.compute_label_weights(self.class_weights, self.labels_, examples, column)
        texts = [text.decode() for text in examples.raw_column("text", self.inputs["text"])]
        if self.network.startswith("preset:"):
            preprocess, network = self._build_preset()
        elif self.network == "mlp":
            named = to_batch([examples.raw(row, self.target) for row in range(len(examples))], self.target)
            preprocess, network = self._build_mlp(texts, labels.encode_labels(named["label"], self.labels_).numpy())
        else:
            preprocess, network = self._build_from_scratch(texts)
        postprocess = labels.rank_labels(self.labels_, self.multi_label, self.top_k, self.score_threshold)
        return Stages(preprocess, network, postprocess)

    def with_labels(self, stages: Stages) -> Stages:
        """Build stages for the current labels, which begin with those of `stages`; the network has new weights."""
        network = labels.widen_output(stages.network, "logits", len(self.labels_))
        postprocess = labels.rank_labels(self.labels_, self.multi_label, self.top_k, self.score_threshold)
        return Stages(stages.preprocess, network, postprocess)

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        outputs, targets = self.stages_.preprocess(features), labels.encode_labels(target["label"], self.labels_)
        tensors = {name: outputs[name] for name in self.stages_.network.input}
        if not self.class_weights:
            return tensors, {"logits": targets}
        return tensors, {"logits": targets}, labels.weigh_rows(targets, self.class_weights_)

    def loss(self) -> Any:
        return labels.make_label_loss(self.multi_label, self.label_smoothing)

    def metrics(self) -> Any:
        return labels.make_label_metrics(self.multi_label)

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        return labels.present_labels(answer)

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        score = score_multi if self.multi_label else score_single
        return score(targets["label"], answers, self.labels_)

    def explain(self, text: str) -> dict[str, Any]:
        """Explain a prediction by the contribution of each word to the score of the best label.

        The contribution of a word is the decrease of the score when the word is removed (Li et al., 2016,
        arXiv:1612.08220): positive if the word is evidence for the label. Contributions do not add up to the score.

        Args:
            text: the text to classify; its words are separated by whitespace.

        Returns:
            Dict of `label`, `score`, and `words`: pairs (word, contribution) in the order of the text.

        Examples:
            >>> model = dlkit.SentimentClassifier(epochs=1)
            >>> history = model.fit(model.samples()["train"], verbose=0)
            >>> explanation = model.explain("A wonderful film.")
            >>> explanation["label"], [word for word, contribution in explanation["words"]]
            ('positive', ['A', 'wonderful', 'film.'])
        """
        words = text.split()
        shortened = [" ".join(words[:index] + words[index + 1 :]) for index in range(len(words))]
        answers = self.predict([text, *shortened])
        label = (answers[0].get("ranked_labels") or answers[0]["labels"])[0]
        scores = [_get_score(label, answer) for answer in answers]
        return {
            "label": label,
            "score": scores[0],
            "words": [(word, scores[0] - score) for word, score in zip(words, scores[1:], strict=True)],
        }

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.sentiment.sample import load_reviews

        return load_reviews()

    def _build_preset(self) -> tuple[keras.Model, keras.Model]:
        from dlkit.tasks.sentiment.preset import feature_classifier, pool_layers, preset_classifier
        from dlkit.text.preset import load_preset

        tokenizer, backbone = load_preset(self.network.removeprefix("preset:"), self.max_tokens)
        outputs = len(self.labels_)
        if self.freeze != "backbone":
            return _build_preprocess(tokenizer), preset_classifier(backbone, outputs, dropout=self.dropout)
        # A frozen backbone is preprocessing: its features are computed once and cached.
        encoder = pool_layers(backbone, self.max_tokens)
        width = encoder.output["features"].shape[-1]
        return _build_preprocess(tokenizer, encoder), feature_classifier(width, outputs, dropout=self.dropout)

    def _build_from_scratch(self, texts: list[str]) -> tuple[keras.Model, keras.Model]:
        tokenizer = self._make_tokenizer(texts)
        sizes = (None, tokenizer.vocabulary_size, len(self.labels_))  # None: batches are trimmed to their longest row
        if self.network == "cnn":
            from dlkit.tasks.sentiment.cnn import text_cnn

            network = text_cnn(*sizes, width=self.width, dropout=self.dropout)
        elif self.network == "transformer":
            from dlkit.tasks.sentiment.transformer import text_transformer

            network = text_transformer(*sizes, width=self.width, dropout=self.dropout)
        else:
            from dlkit.tasks.sentiment.rnn import text_rnn

            network = text_rnn(*sizes, cell=self.network, width=self.width, dropout=self.dropout)
        return _build_preprocess(tokenizer), network

    def _build_mlp(self, texts: list[str], targets: np.ndarray) -> tuple[keras.Model, keras.Model]:
        from dlkit.tasks.sentiment.mlp import text_mlp
        from dlkit.tasks.sentiment.ngram_tokenizer import NgramTokenizer
        from dlkit.tasks.sentiment.term_weights import compute_term_weights

        tokenizer = NgramTokenizer.learn(
            texts,
            self.vocabulary_size or 200_000,
            self.max_tokens * NGRAMS_PER_TOKEN,
            word_ngrams=self.word_ngrams,
            character_ngrams=CHARACTERS if self.character_ngrams else None,
            lowercase=self.lowercase,
            across_words=True,
        )
        network = text_mlp(
            None,
            tokenizer.vocabulary_size,
            len(self.labels_),
            width=max(self.width // 4, 1),
            dropout=self.dropout,
            token_dropout=self.dropout,
            token_weights=compute_term_weights(tokenizer, texts, targets),
        )
        return _build_preprocess(tokenizer), network

    def _make_tokenizer(self, texts: list[str]) -> Any:
        from dlkit.tasks.sentiment.character_tokenizer import CharacterTokenizer
        from dlkit.text.words import Words

        if self.tokenizer == "wordpiece":
            from dlkit.text.vocabulary import read_vocabulary
            from dlkit.text.wordpiece import WordPiece

            vocabulary = read_vocabulary(self.vocabulary_file)
            return WordPiece(vocabulary, self.max_tokens, lowercase=self.lowercase)
        self.tokenizer_ = choose_tokenizer(texts) if self.tokenizer == "auto" else self.tokenizer
        tokenizer_class = CharacterTokenizer if self.tokenizer_ == "characters" else Words
        size = self.vocabulary_size or 20_000
        return tokenizer_class.learn(texts, size, self.max_tokens, lowercase=self.lowercase)


def _build_preprocess(tokenizer: keras.layers.Layer, encoder: keras.Model | None = None) -> keras.Model:
    text = keras.Input((), dtype="string", name="text")
    tokens = tokenizer(text)
    truncated = tokens.pop("truncated")
    if encoder is not None:
        tokens = encoder(tokens)
    return keras.Model({"text": text}, {**tokens, "truncated": truncated}, name="preprocess")


def _get_score(label: str, answer: Mapping[str, Any]) -> float:
    names, scores = answer.get("ranked_labels") or answer["labels"], answer.get("ranked_scores") or answer["scores"]
    return scores[names.index(label)] if label in names else 0.0
