"""What experts say of training windows comes from models that do not know the document."""

import numpy as np
import pytest

from dlkit.tasks.language_model import expert_windows
from dlkit.tasks.language_model.cross_fit import assign_folds, learn_fold_models
from dlkit.tasks.language_model.expert_windows import encode_cross_fitted, encode_held_out
from dlkit.tasks.language_model.ngram_experts import CACHES
from dlkit.tasks.language_model.ngram_mixture import NgramMixture
from dlkit.tasks.language_model.windows import WindowCutter
from dlkit.text.kneser_ney import KneserNey

END, SIZE, ORDER = 2, 12, 3
RNG = np.random.default_rng(0)
DOCUMENTS = [RNG.integers(3, 9, size).astype(np.int32) for size in (5, 30, 7, 3, 12, 11, 9)]


@pytest.fixture(scope="module")
def mixture():
    ids = np.concatenate([np.append(document, END) for document in DOCUMENTS])
    return NgramMixture.of(KneserNey(ids, SIZE, ORDER, END))


def windows_of(documents, length=8):
    return WindowCutter(length, length, END).cut(documents)


def bits_of(encoded):
    """The bits of the targets by the longest n-grams, in the order of their numbers; -1 where the context was cut."""
    return -encoded.rows[0]["expert_log_probs"][..., -CACHES - 1].astype(float) / np.log(2)


def test_windows_of_training_documents_are_scored_by_models_of_the_other_folds(mixture):
    windows = windows_of(DOCUMENTS)
    (encoded,) = encode_cross_fitted([windows], DOCUMENTS, mixture, END)
    folds = assign_folds([len(document) for document in DOCUMENTS])
    models = learn_fold_models(DOCUMENTS, folds, SIZE, ORDER, END)
    short = [number for number, document in enumerate(DOCUMENTS) if len(document) < 8]  # in one window each
    first = np.cumsum([0, *(len(document) + 1 for document in DOCUMENTS)])
    for number in short:
        expected = models[folds[number][0]].bits(np.append(DOCUMENTS[number], END))
        for offset, bits in enumerate(expected):
            assert bits_of(encoded)[windows.numbers == first[number] + offset] == pytest.approx(bits, rel=2e-3)


def test_other_windows_are_scored_by_the_model_of_all_documents(mixture):
    documents = [RNG.integers(3, 9, 6)]
    windows = windows_of(documents)
    (encoded,) = encode_held_out([windows], mixture)
    expected = mixture.to_model(END).bits(np.append(documents[0], END))
    np.testing.assert_allclose(bits_of(encoded)[windows.numbers >= 0], expected, rtol=2e-3)
    assert set(encoded.rows[0]) == {"token_ids", "segment_ids", "positions", "expert_log_probs", "expert_features"}


def test_text_beyond_the_counted_tokens_is_scored_by_the_model_of_all(mixture, monkeypatch):
    monkeypatch.setattr(expert_windows, "MAX_NGRAM_TOKENS", 35)
    windows = windows_of(DOCUMENTS)
    (encoded,) = encode_cross_fitted([windows], DOCUMENTS, mixture, END)
    (alone,) = encode_held_out([windows], mixture)
    beyond = windows.numbers >= 37  # 35 tokens of two documents, and the ends of both
    np.testing.assert_array_equal(bits_of(encoded)[beyond], bits_of(alone)[beyond])
    assert (bits_of(encoded)[~beyond] != bits_of(alone)[~beyond]).any()
