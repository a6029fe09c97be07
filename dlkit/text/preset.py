"""Pretrained BERT-like backbones of KerasHub, with their tokenizer in core operations, and classifiers on top."""

from __future__ import annotations

from dlkit.errors import DlkitError
from dlkit.lazy import keras, layers, ops
from dlkit.text.wordpiece import WordPiece


def load_preset(name_or_folder: str, max_tokens: int) -> tuple[WordPiece, keras.Model]:
    """A backbone and its tokenizer.

    Args:
        name_or_folder: name of a KerasHub preset ("bert_small_en_uncased"), a handle ("hf://...", "kaggle://..."), a
            folder written by `save_to_preset`, or a Hugging Face folder of a BERT (config.json, model.safetensors,
            vocab.txt).
        max_tokens: width of the token ids, [CLS] and [SEP] included.

    Returns:
        The tokenizer, and the KerasHub backbone.

    Raises:
        DlkitError: there is no such preset, it cannot be fetched, or its tokenizer is not WordPiece.
    """
    import keras_hub

    try:
        tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(name_or_folder)
        backbone = keras_hub.models.Backbone.from_preset(name_or_folder)
    except Exception as error:  # each hub has errors of its own, and so has each kind of broken folder
        if "safetensors" in str(error):
            raise DlkitError('Hugging Face folders need safetensors: pip install "dlkit[presets]".') from error
        reason = str(error).strip().splitlines() or ["no message"]
        raise DlkitError(
            f"`network`: the preset {name_or_folder!r} cannot be loaded: {type(error).__name__}: {reason[0]} Give a "
            "preset that can be fetched, or a folder that holds one."
        ) from error
    if not isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        raise DlkitError(
            f"`network`: the preset {name_or_folder!r} has a {type(tokenizer).__name__}, whose operations a stock "
            "server lacks. Expected a BERT-like preset with a WordPiece vocabulary."
        )
    # KerasHub keeps accents where BERT's own uncased models were trained without: theirs is the default here.
    return WordPiece(tokenizer.get_vocabulary(), max_tokens, lowercase=tokenizer.lowercase, name="tokenizer"), backbone


def preset_classifier(backbone: keras.Model, outputs: int, *, dropout: float = 0.1) -> keras.Model:
    """A backbone to be tuned, the mean of its token features, and a dense layer.

    Returns:
        A functional model from `token_ids`: (batch, tokens) int32 and `padding_mask`: (batch, tokens) bool to
        `logits`: (batch, outputs) float32. The backbone is the layer called `backbone`.
    """
    inputs = _token_inputs(None)
    tuned = keras.Model(backbone.input, _sequence(backbone.output), name="backbone")
    features = tuned(_backbone_inputs(backbone, inputs))
    x = _mean(ops.cast(features, "float32"), inputs["padding_mask"])
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model(inputs, {"logits": logits}, name="text_preset")


def layer_pools(backbone: keras.Model, max_tokens: int) -> keras.Model:
    """The mean and the maximum over the tokens of what each layer of a backbone gives, the embeddings' too.

    Middle layers tell sentiment better than the last one, which was trained for something else: logistic regression
    on all of them was 3 points better on short reviews than on the mean of the last.

    Returns:
        A functional model, called `layer_pools`, from `token_ids` and `padding_mask`, (batch, max_tokens), to
        `features`: (batch, 2 * (layers + 1) * width) float32.
    """
    import keras_hub

    blocks = [layer for layer in backbone.layers if isinstance(layer, keras_hub.layers.TransformerEncoder)]
    below = blocks[0].input[0] if isinstance(blocks[0].input, list) else blocks[0].input
    inputs = _token_inputs(max_tokens)
    hidden = keras.Model(backbone.input, [below, *(block.output for block in blocks)], name="backbone")
    pools = []
    for features in hidden(_backbone_inputs(backbone, inputs)):
        features = ops.cast(features, "float32")
        kept = inputs["padding_mask"][:, :, None]
        pools += [_mean(features, inputs["padding_mask"]), ops.max(ops.where(kept, features, -1e9), axis=1)]
    return keras.Model(inputs, {"features": ops.concatenate(pools, axis=-1)}, name="layer_pools")


def feature_classifier(width: int, outputs: int, *, penalty: float = 0.15, dropout: float = 0.0) -> keras.Model:
    """Logistic regression on standardized features: `features`, (batch, width) float32, to `logits`, (batch, outputs).

    Args:
        width: number of features.
        outputs: number of logits.
        penalty: of the squared weights, as the loss adds it.
        dropout: share of features dropped in training.
    """
    features = keras.Input((width,), name="features")
    x = layers.BatchNormalization(center=False, scale=False, name="standardize")(features)
    x = layers.Dropout(dropout, name="dropout")(x)
    dense = layers.Dense(
        outputs,
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(penalty),
        dtype="float32",
        name="logits",
    )
    return keras.Model({"features": features}, {"logits": dense(x)}, name="feature_classifier")


def _token_inputs(max_tokens: int | None) -> dict[str, keras.KerasTensor]:
    return {
        "token_ids": keras.Input((max_tokens,), dtype="int32", name="token_ids"),
        "padding_mask": keras.Input((max_tokens,), dtype="bool", name="padding_mask"),
    }


def _backbone_inputs(backbone: keras.Model, inputs: dict[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    fed = {"token_ids": inputs["token_ids"], "padding_mask": ops.cast(inputs["padding_mask"], "int32")}
    if "segment_ids" in backbone.input:
        fed["segment_ids"] = ops.zeros_like(inputs["token_ids"])
    return fed


def _sequence(output: keras.KerasTensor | dict[str, keras.KerasTensor]) -> keras.KerasTensor:
    return output["sequence_output"] if isinstance(output, dict) else output


def _mean(features: keras.KerasTensor, padding_mask: keras.KerasTensor) -> keras.KerasTensor:
    kept = ops.cast(padding_mask, "float32")[:, :, None]  # [CLS] and [SEP] always count: the sum is never 0
    return ops.sum(features * kept, axis=1) / ops.sum(kept, axis=1)
