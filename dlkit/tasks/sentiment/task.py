"""Sentiment, or any other kind of text: a text in, its label with a score out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from dlkit.classification import labels
from dlkit.classification.metrics import score_multi, score_single
from dlkit.columns import Text, Truncated
from dlkit.data.table import Table
from dlkit.errors import HparamError
from dlkit.hparams import hparam
from dlkit.lazy import keras, tf
from dlkit.options import option
from dlkit.padding import Padding
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.sentiment.text_rows import TextRows, chosen_tokens

BAG = 16  # n-grams that the bag has room for, for each token
CAREFUL: dict[str, Any] = {"nfc": True, "tell_truncated": True}  # options of tokenizers, which older models lack


@dataclass(kw_only=True)
class SentimentClassifier(Task):
    """Classifies texts by sentiment, or by any other set of labels, with scores.

    Example:
        >>> model = dlkit.SentimentClassifier(epochs=1)
        >>> history = model.fit(model.samples()["train"], verbose=0)
        >>> answer = model.predict("A wonderful film.")
        >>> answer["label"], 0.5 < answer["score"] <= 1
        ('positive', True)
    """

    # The defaults of presets are those of the figures in `apps/sentiment.py` and `benchmarks/RESULTS.md`.
    default_epochs = DefaultEpochs(3, fewest=15, most=6_000, frozen=15, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(64, "Batch size: number of rows per training step.", minimum=1, tuned=32)
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = hparam("adam", "Optimizer.", tuned="adamw")
    learning_rate: float = hparam(2e-3, "Peak learning rate.", minimum=0, tuned=1e-4, frozen=3e-4)
    schedule: Literal["constant", "cosine", "one_cycle"] = hparam(
        "constant", "Learning rate schedule.", tuned="cosine", frozen="cosine"
    )
    warmup: float = hparam(
        0.0,
        "Fraction of the training steps used for linear warmup of the learning rate.",
        minimum=0,
        maximum=0.9,
        tuned=0.1,
    )
    weight_decay: float = hparam(
        0.0, "Decoupled weight decay, applied to kernels and embedding matrices only.", minimum=0, tuned=0.01
    )
    clip_norm: float = hparam(0.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0, tuned=1.0)
    monitor: str = hparam(
        "accuracy", "Validation metric that selects the best epoch, named as in the training history."
    )
    network: str = hparam(
        "mlp",
        "Network architecture; mlp is a bag of n-grams; preset:NAME_OR_FOLDER uses a BERT-like KerasHub backbone.",
        choices=("mlp", "cnn", "lstm", "gru", "transformer", "preset:"),
    )
    max_tokens: int = hparam(64, "Maximum sequence length, in tokens; longer texts are truncated.", minimum=3)
    tokens: Literal["auto", "words", "characters", "wordpiece"] = hparam(
        "auto",
        "Tokenization. auto selects characters if most letters belong to scripts without spaces (Thai, Chinese, "
        "Japanese), otherwise words; not used by presets and mlp.",
    )
    vocabulary_file: str = hparam("", "Vocabulary file of BERT (vocab.txt), for tokens=wordpiece.", file=True)
    vocabulary_size: int = hparam(
        0, "Vocabulary size; 0 selects 200000 n-grams for mlp and 20000 tokens for other networks.", minimum=0
    )
    lowercase: bool = hparam(True, "Lowercases the text.")
    word_ngrams: int = hparam(2, "Maximum length of word n-grams, for mlp.", minimum=1, maximum=5)
    character_ngrams: bool = hparam(True, "Adds character n-grams of length 3 to 5 within words, for mlp.")
    embedding: int = hparam(128, "Embedding dimension; mlp uses a quarter of it, at least 1.", minimum=1)
    dropout: float = hparam(
        0.3, "Dropout rate; for mlp, of the n-grams too.", minimum=0, maximum=0.95, tuned=0.1, frozen=0.0
    )
    label_smoothing: float = hparam(
        0.0, "Label smoothing: fraction of each target spread evenly over all labels.", minimum=0, maximum=0.9
    )
    class_weights: str = hparam("", 'Class weights: "balanced", or one per label as in "good=2,bad=0.5".')
    multi_label: bool = hparam(False, "Multi-label classification: a text may have any number of labels.")
    threshold: float = hparam(0.5, "Minimum score of a predicted label, with multi_label.", minimum=0, maximum=1)
    top_k: int = hparam(0, "Number of labels in a prediction, best first; 0 returns all.", minimum=0)

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
        self.tokens_ = ""  # "words" or "characters", where the network reads either
        if self.network == "mlp":
            self.padding = ()  # a bag has no length to spare
        if self.network.startswith("preset:") and self.freeze == "backbone":
            self.frozen = ""  # its features are preprocessing then, and have no length either
        if self.multi_label:
            self.target, self.primary_metric = labels.MULTI_TARGET, "micro_f1"
            self.answer = {**labels.MULTI_ANSWER, "truncated": Truncated()}
        if self.tokens == "wordpiece" and not self.vocabulary_file and not self.network.startswith("preset:"):
            raise HparamError(
                f"{option('tokens', 'wordpiece')} needs {option('vocabulary_file')}: a vocab.txt with one token "
                "per line."
            )

    def build(self, examples: Table) -> Stages:
        column = self.target["label"]
        self.labels_ = labels.learn_labels(examples, column)
        self.class_weights_ = labels.compute_label_weights(self.class_weights, self.labels_, examples, column)
        texts = [text.decode() for text in examples.raw_column("text", self.inputs["text"])]
        preprocess, network = self._preset() if self.network.startswith("preset:") else self._from_scratch(texts)
        postprocess = labels.rank_labels(self.labels_, self.multi_label, self.top_k, self.threshold)
        return Stages(preprocess, network, postprocess)

    def with_labels(self, stages: Stages) -> Stages:
        """A model's stages for the labels of now, of which it has the first ones; the network with fresh weights."""
        network = labels.widen_output(stages.network, "logits", len(self.labels_))
        postprocess = labels.rank_labels(self.labels_, self.multi_label, self.top_k, self.threshold)
        return Stages(stages.preprocess, network, postprocess)

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        made, holds = self.stages_.preprocess(features), labels.encode_labels(target["label"], self.labels_)
        tensors = {name: made[name] for name in self.stages_.network.input}
        if not self.class_weights:
            return tensors, {"logits": holds}
        return tensors, {"logits": holds}, labels.weigh_rows(holds, self.class_weights_)

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
        """The answer to a text, with each word's share in the score of the best label.

        A word's share is what the score loses when the word is left out (Li et al., 2016, arXiv:1612.08220): above 0
        where the word speaks for the label. Shares need not add up to the score.

        Returns:
            `label`, `score`, and `words`: (word, share) in the order of the text; words are set apart by spaces.
        """
        words = text.split()
        without = [" ".join(words[:place] + words[place + 1 :]) for place in range(len(words))]
        answers = self.predict([text, *without])
        label = (answers[0].get("ranked_labels") or answers[0]["labels"])[0]
        scores = [_score_of(label, answer) for answer in answers]
        return {
            "label": label,
            "score": scores[0],
            "words": [(word, scores[0] - score) for word, score in zip(words, scores[1:], strict=True)],
        }

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.sentiment.sample import reviews

        return reviews()

    def _preset(self) -> tuple[keras.Model, keras.Model]:
        from dlkit.tasks.sentiment.preset import feature_classifier, layer_pools, preset_classifier
        from dlkit.text.preset import load_preset

        tokenizer, backbone = load_preset(self.network.removeprefix("preset:"), self.max_tokens, **CAREFUL)
        outputs = len(self.labels_)
        if self.freeze != "backbone":
            return _tokenized(tokenizer), preset_classifier(backbone, outputs, dropout=self.dropout)
        # All that stays fixed is preprocessing: its features are computed once and cached.
        encoder = layer_pools(backbone, self.max_tokens)
        width = encoder.output["features"].shape[-1]
        return _tokenized(tokenizer, encoder), feature_classifier(width, outputs, dropout=self.dropout)

    def _from_scratch(self, texts: list[str]) -> tuple[keras.Model, keras.Model]:
        if self.network == "mlp":
            return self._bag(texts)
        tokenizer = self._tokenizer(texts)
        size = (None, tokenizer.vocabulary_size, len(self.labels_))  # training cuts padding: any length
        if self.network == "cnn":
            from dlkit.tasks.sentiment.cnn import text_cnn

            network = text_cnn(*size, embedding=self.embedding, dropout=self.dropout)
        elif self.network == "transformer":
            from dlkit.tasks.sentiment.transformer import text_transformer

            network = text_transformer(*size, width=self.embedding, dropout=self.dropout)
        else:
            from dlkit.tasks.sentiment.rnn import text_rnn

            network = text_rnn(*size, cell=self.network, embedding=self.embedding, dropout=self.dropout)
        return _tokenized(tokenizer), network

    def _bag(self, texts: list[str]) -> tuple[keras.Model, keras.Model]:
        from dlkit.tasks.sentiment.mlp import text_mlp
        from dlkit.tasks.sentiment.ngrams import Ngrams, inverse_document_frequency

        bag = Ngrams.learn(
            texts,
            self.vocabulary_size or 200_000,
            self.max_tokens * BAG,
            words=self.word_ngrams,
            characters=(3, 5) if self.character_ngrams else None,
            lowercase=self.lowercase,
            **CAREFUL,
        )
        network = text_mlp(
            bag.max_tokens,
            bag.vocabulary_size,
            len(self.labels_),
            embedding=max(self.embedding // 4, 1),
            dropout=self.dropout,
            token_dropout=self.dropout,
            token_weights=inverse_document_frequency(bag, texts),
        )
        return _tokenized(bag), network

    def _tokenizer(self, texts: list[str]) -> Any:
        from dlkit.tasks.sentiment.characters import Characters
        from dlkit.text.words import Words

        if self.tokens == "wordpiece":
            from dlkit.text.vocabulary import read_vocabulary
            from dlkit.text.wordpiece import WordPiece

            vocabulary = read_vocabulary(self.vocabulary_file)
            return WordPiece(vocabulary, self.max_tokens, lowercase=self.lowercase, **CAREFUL)
        self.tokens_ = chosen_tokens(texts) if self.tokens == "auto" else self.tokens
        kind = Characters if self.tokens_ == "characters" else Words
        size = self.vocabulary_size or 20_000
        return kind.learn(texts, size, self.max_tokens, lowercase=self.lowercase, **CAREFUL)


def _tokenized(tokenizer: keras.layers.Layer, encoder: keras.Model | None = None) -> keras.Model:
    text = keras.Input((), dtype="string", name="text")
    tokens = tokenizer(text)
    truncated = tokens.pop("truncated")
    if encoder is not None:
        tokens = encoder(tokens)
    return keras.Model({"text": text}, {**tokens, "truncated": truncated}, name="preprocess")


def _score_of(label: str, answer: Mapping[str, Any]) -> float:
    names, scores = answer.get("ranked_labels") or answer["labels"], answer.get("ranked_scores") or answer["scores"]
    return scores[names.index(label)] if label in names else 0.0
