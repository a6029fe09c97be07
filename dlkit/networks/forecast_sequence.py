"""Networks for forecasting that read the newest steps one after another."""

from keras import layers, ops

from dlkit.networks.forecast_parts import features_of_history, forecaster

CELLS = {"lstm": layers.LSTM, "gru": layers.GRU}


def forecast_rnn(shape, *, recent, cell="gru", members=1, units=64, dropout=0.1):
    """An LSTM (Hochreiter and Schmidhuber, 1997) or GRU (Cho et al., 2014) over the newest steps, whose last state is
    the context.

    Args:
        shape: see `Shape`.
        recent: positive integer, how many of the newest steps are read.
        cell: "lstm" or "gru".
        members, units, dropout: see `forecaster`.

    Returns:
        keras.Model; see `forecaster`.
    """

    def context(inputs, member):
        x = features_of_history(inputs, shape, recent, member)
        # cuDNN's kernels do not run elsewhere, and an export must.
        return layers.Dropout(dropout)(CELLS[cell](units, use_cudnn=False, name=f"{cell}_{member}")(x))

    return forecaster(shape, members, units, dropout, f"forecast_{cell}", context)


def forecast_tcn(shape, *, recent, members=1, units=64, kernel=3, dropout=0.1):
    """Dilated causal convolutions over the newest steps, in residual blocks until the last one sees them all.

    Source: Bai et al., 2018, arXiv:1803.01271, with layer normalization in place of weight normalization.

    Args:
        shape: see `Shape`.
        recent: positive integer, how many of the newest steps are read.
        kernel: odd positive integer, steps of a convolution.
        members, units, dropout: see `forecaster`.

    Returns:
        keras.Model; see `forecaster`.
    """

    def context(inputs, member):
        x = layers.Dense(units, name=f"lift_{member}")(features_of_history(inputs, shape, recent, member))
        dilation, seen = 1, 1
        while seen < recent:
            y = x
            for place in range(2):
                y = layers.Conv1D(
                    units, kernel, padding="causal", dilation_rate=dilation, name=f"conv_{member}_{dilation}_{place}"
                )(y)
                y = layers.Dropout(dropout)(layers.Activation("relu")(layers.LayerNormalization()(y)))
            x = layers.Add()([x, y])
            seen, dilation = seen + 2 * (kernel - 1) * dilation, dilation * 2
        return x[:, -1]

    return forecaster(shape, members, units, dropout, "forecast_tcn", context)


def forecast_transformer(shape, *, recent, members=1, units=64, heads=4, blocks=2, dropout=0.1):
    """Self-attention over patches of the newest steps, as PatchTST of Nie et al., 2023, arXiv:2211.14730.

    A patch is a sixteenth of what is read, and not shorter than 2 steps; they do not overlap. The patches of all
    covariates are read together, where the paper reads each series on its own.

    Args:
        shape: see `Shape`.
        recent: positive integer, how many of the newest steps are read.
        heads: attention heads; `units` is a multiple.
        blocks: attention blocks.
        members, units, dropout: see `forecaster`.

    Returns:
        keras.Model; see `forecaster`.
    """
    patch = max(2, recent // 16)
    count = -(-recent // patch)

    def context(inputs, member):
        x = features_of_history(inputs, shape, recent, member)
        x = layers.ZeroPadding1D((count * patch - recent, 0))(x)
        x = layers.Reshape((count, patch * x.shape[-1]))(x)
        x = layers.Dense(units, name=f"patches_{member}")(x)
        x = x + layers.Embedding(count, units, name=f"places_{member}")(ops.arange(count))
        for block in range(blocks):
            y = layers.LayerNormalization()(x)
            y = layers.MultiHeadAttention(heads, units // heads, dropout=dropout, name=f"attention_{member}_{block}")(
                y, y
            )
            x = layers.Add()([x, layers.Dropout(dropout)(y)])
            y = layers.Dense(2 * units, activation="gelu", name=f"wide_{member}_{block}")(
                layers.LayerNormalization()(x)
            )
            x = layers.Add()([x, layers.Dropout(dropout)(layers.Dense(units, name=f"narrow_{member}_{block}")(y))])
        return layers.Flatten()(layers.LayerNormalization()(x))

    return forecaster(shape, members, units, dropout, "forecast_transformer", context)
