"""The task: options of each request, streams, choices, scores of long texts, and the loss on responses alone."""

import itertools

import numpy as np
import pytest

import dlkit
from dlkit.columns import to_batch
from dlkit.errors import DataError, HparamError
from dlkit.lazy import tf
from dlkit.tasks.language_model.stream import count_held_back
from dlkit.training.prepare import build_task, encode_rows

SMALL = {"width": 16, "blocks": 1, "heads": 2, "vocabulary_size": 320, "context_length": 48, "max_tokens": 12}
PROMPTS = ["The night was", "", "é 🎉 she", "The end of the"]


def fitted(**hparams):
    task = dlkit.LanguageModel(**{**SMALL, "epochs": 1, "learning_rate": 5e-3, **hparams})
    sample = task.samples()
    few = {name: values[:40] for name, values in sample["train"].items()}
    task.fit(few, sample["validation"], verbose=0, strategy="one")
    return task


@pytest.fixture(scope="module")
def model():
    return fitted()


def test_each_prompt_has_its_own_options(model):
    options = {
        "max_tokens": [5, 12, 0, 8],
        "temperature": [0.0, 0.9, 1.2, 0.0],
        "top_k": [0, 20, 0, 0],
        "seed": [0, 5, 6, 0],
        "repetition_penalty": [1.0, 1.0, 1.3, 1.3],
        "stop": [["e"], [], [], ["a", "th"]],
    }
    together = model.generate(PROMPTS, **options)
    for row, prompt in enumerate(PROMPTS):
        own = {name: [values[row]] for name, values in options.items()}
        (alone,) = model.generate([prompt], **own)
        assert {**alone, "prompt_bits": 0} == {**together[row], "prompt_bits": 0}
        assert alone["prompt_bits"] == pytest.approx(together[row]["prompt_bits"], rel=1e-5)
    assert together[2]["text"] == ""
    assert together[0]["prompt_bytes"] == 13
    assert "e" not in together[0]["text"]


def test_options_of_a_request_default_to_those_of_the_task(model):
    assert model.generate(PROMPTS) == model.predict(PROMPTS)
    with pytest.raises(HparamError, match="temperature"):
        model.generate(["a"], temperatur=1)
    with pytest.raises(DataError, match="one per text, 4"):
        model.generate(PROMPTS, seed=[1, 2])
    with pytest.raises(DataError, match="top_p"):
        model.generate(["a"], top_p=2.0)


def test_requests_whose_numbers_of_rows_disagree_are_refused(model):
    signature = model.served()["generate"]
    rows = [
        {"prompt": b"a", **{name: column.raw(column.default) for name, column in list(signature.columns.items())[1:]}}
    ]
    request = to_batch(rows * 4, signature.columns)
    request["max_tokens"] = request["max_tokens"][:1]
    with pytest.raises(tf.errors.InvalidArgumentError, match="equally many rows"):
        signature.graph(**request)


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 3, "stop": ["th", "é"], "max_tokens": 30}])
def test_a_stream_is_the_text_in_pieces(model, options):
    pieces = list(model.stream("She was", **options))
    assert "".join(pieces) == model.generate(["She was"], **options)[0]["text"]
    assert len(pieces) > 1


def test_what_may_begin_a_stop_string_is_held_back():
    assert count_held_back("and th", ["the"]) == 2
    assert count_held_back("and the", ["the"]) == 0  # which would have stopped
    assert count_held_back("aa", ["aab", "ab"]) == 2


def test_a_long_prompt_is_refused_by_name(model):
    with pytest.raises(DataError, match=r"input 1.*tokens, and 47 fit"):
        model.predict(["a", "word " * 400])
    with pytest.raises(DataError, match="47 fit"):
        model.stream("word " * 400)
    answers = model.call_signature("generate", [{"prompt": "a"}])
    assert answers[0]["error"] == b""


def test_the_score_of_a_text_is_that_of_its_parts(model):
    scored = model.call_signature(
        "score",
        [{"text": " was in love", "prompt": "The night"}, {"text": "word " * 400}, {"text": ""}],
    )
    whole, first = (model.predict(text)["prompt_bits"] for text in ("The night was in love", "The night"))
    assert scored[0]["bits"] == pytest.approx(whole - first, rel=1e-4)
    assert scored[1]["bytes"] == 2000
    assert scored[1]["bits_per_byte"] == pytest.approx(scored[1]["bits"] / 2000)
    assert (scored[2]["bits"], scored[2]["tokens"], scored[2]["perplexity"]) == (0, 0, 1)


def test_a_choice_is_the_most_probable_one(model):
    made = model.choose("She was", [" the", " zqxj"])
    assert made["choice"] == " the"
    assert sum(made["scores"]) == pytest.approx(1)
    bits = [
        answer["bits"]
        for answer in model.call_signature("score", [{"prompt": "She was", "text": each} for each in (" the", " zqxj")])
    ]
    assert made["scores"][0] == pytest.approx(1 / (1 + 2 ** float(bits[0] - bits[1])), rel=1e-5)
    with pytest.raises(DataError, match="`choices`"):
        model.choose("She was", [])


def test_the_evaluation_scores_texts_after_their_prompts(model):
    texts, prompts = ["The night was in love.", "She was not."], ["One day, ", ""]
    metrics = model.evaluate({"prompt": prompts, "text": texts})
    scored = model.call_signature("score", [{"prompt": p, "text": t} for p, t in zip(prompts, texts, strict=True)])
    bits, tokens = (sum(float(each[name]) for each in scored) for name in ("bits", "tokens"))
    assert metrics["bits_per_byte"] == pytest.approx(bits / 34, rel=1e-5)
    assert metrics["perplexity"] == pytest.approx(2 ** (bits / tokens), rel=1e-4)
    assert (metrics["stride"], metrics["context_length"]) == (24, 48)


def test_the_loss_is_on_responses_alone():
    task = dlkit.LanguageModel(**SMALL, ngram=0, validation_split=0)
    rows = task.read({"prompt": ["Say a.", "Say b."], "response": [" a", " b!"]})
    build_task(task, rows)
    tensors, targets = encode_rows(task, rows, None)[0].all()
    learned = targets["logits"][targets["logits"] > 0].tolist()
    expected = [[*task.tokenizer.tokenize([text])[0].numpy().tolist(), task.end_id] for text in (" a", " b!")]
    assert sorted(learned) == sorted(itertools.chain(*expected))
    assert (tensors["segment_ids"] > 0).sum() > len(learned)


@pytest.mark.slow
@pytest.mark.parametrize("hparams", [{"network": "gru"}, {"tokens": "bytes", "ngram": 0}, {"long_prompts": "truncate"}])
def test_other_options_save_load_and_export(hparams, tmp_path):
    task = fitted(**hparams)
    task.save(tmp_path / "m")
    loaded = dlkit.load(tmp_path / "m")
    assert loaded.predict(PROMPTS) == task.predict(PROMPTS)
    np.testing.assert_array_equal(
        loaded.call_signature("embed", [{"text": "a"}])[0]["embedding"],
        task.call_signature("embed", [{"text": "a"}])[0]["embedding"],
    )
    if "long_prompts" in hparams:
        answer = task.predict("word " * 400)
        assert answer["truncated"]
        assert answer["text"]
    task.export(tmp_path / "served")
