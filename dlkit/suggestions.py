"""What other libraries call the options of this one, to suggest ours."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Our names, of which the first that is an option of the command or task is suggested, and their synonyms.
_SYNONYMS_OF = {
    ("learning_rate",): "lr eta eta0 learning_rate_init",
    ("batch_size",): "batch bs batchsize per_device_train_batch_size",
    ("epochs",): "epoch n_epochs num_epochs num_train_epochs max_epochs iterations max_iter",
    ("optimizer",): "opt optim",
    ("schedule",): "scheduler lr_schedule lr_scheduler lr_scheduler_type",
    ("warmup",): "warmup_ratio warmup_steps",
    ("momentum",): "beta_1 beta1",
    ("weight_decay",): "wd l2 alpha decay",
    ("clip_norm",): "clip clipnorm grad_clip gradient_clip gradient_clip_val max_grad_norm global_clipnorm",
    ("patience",): "early_stopping early_stopping_patience",
    ("monitor",): "metric metric_for_best_model",
    ("validation_split",): "val_split valid_split validation_fraction val_size test_size test_split",
    ("freeze",): "frozen freeze_layers",
    ("precision",): "fp16 bf16 amp dtype mixed_precision",
    ("seed",): "random_state random_seed",
    ("network",): "model arch architecture backbone net",
    ("dropout",): "dropout_rate drop_rate p_dropout dropout_prob",
    ("image_size",): "img_size imgsz size input_size resolution",
    (
        "max_tokens",
        "max_history",
        "context_length",
    ): "max_length max_len maxlen max_seq_length max_seq_len sequence_length",
    ("vocabulary_size",): "vocab_size vocab max_features max_vocab",
    ("width",): "embedding embedding_dim embedding_size embed_dim d_model emb_dim",
    ("rnn_units", "hidden_width", "width"): "units hidden hidden_size hidden_dim hidden_units",
    ("blocks",): "num_layers n_layers layers num_blocks",
    ("heads",): "num_heads n_heads nhead num_attention_heads",
    ("beam_width",): "num_beams beam_size beams beam",
    ("context_length",): "window input_size input_chunk_length lookback",
    ("horizon",): "h forecast_horizon prediction_length output_chunk_length",
    ("frequency",): "freq",
    ("quantile_levels",): "level levels",
    ("future_covariates",): "futr_exog_list known_covariates",
    ("historical_covariates",): "hist_exog_list past_covariates",
    ("static_covariates",): "stat_exog_list",
    ("backtest_windows",): "n_windows",
    ("ensemble_size",): "members n_estimators num_members",
    ("season_length",): "season seasonality seasonal_periods",
    ("score_threshold",): "threshold confidence conf min_score",
    ("top_k",): "topk k top_n topn",
    ("class_weights",): "class_weight",
    ("label_smoothing",): "smoothing label_smoothing_factor",
    ("save", "output"): "out o output save_dir output_dir model_dir save_path checkpoint checkpoint_dir ckpt to",
    ("output", "save"): "outfile output_file predictions",
    ("overwrite",): "force f overwrite_output_dir replace",
    ("resume",): "continue restart resume_from_checkpoint",
    ("data",): "train training train_data train_dir train_file train_path dataset datasets input file csv x",
    ("validation",): "val valid validate dev eval val_data valid_data validation_data eval_data eval_file",
    ("strategy",): "gpu gpus device devices cuda n_gpus num_gpus accelerator distribute",
    ("max_checkpoints",): "keep save_total_limit max_to_keep",
    ("checkpoint_every",): "save_steps save_freq save_every checkpoint_steps",
    ("tensorboard",): "logdir log_dir logs logging_dir",
    ("delimiter",): "sep separator",
    ("column_names",): "columns header names",
    ("keep_columns",): "keep keep_cols",
    ("quiet",): "q silent verbose v verbosity",
    ("config",): "c yaml config_file params",
}
SYNONYMS: dict[str, tuple[str, ...]] = {}
for _own_names, _words in _SYNONYMS_OF.items():
    for _word in _words.split():
        SYNONYMS[_word] = SYNONYMS.get(_word, ()) + _own_names


def suggest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant: a similar one, or a synonym from other libraries; None if there is
    none.

    Args:
        name: what was given, with underscores.
        known: the names that there are.
    """
    known = list(known)
    for own_names in SYNONYMS.get(name, ()):
        if own_names in known:
            return own_names
    close = difflib.get_close_matches(name, known, n=1)
    return close[0] if close else None
