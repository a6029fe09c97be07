"""Exact match and F1 against cases worked out by hand from the official script."""

import pytest

from dlkit.tasks.question_answering.metrics import (
    exact_match,
    f1,
    max_over_gold_answers,
    normalize_answer,
    score_answers,
)


def test_normalization_by_hand():
    assert normalize_answer("The  Cat, an animal!") == "cat animal"
    assert normalize_answer("another's theory") == "anothers theory"  # no article inside of a word
    assert normalize_answer("U.S.A.") == "usa"
    assert normalize_answer("«Éa – the»") == "«éa – »"  # punctuation is ASCII's
    assert normalize_answer("the a an") == ""


@pytest.mark.parametrize(
    ("answer", "gold", "match", "overlap"),
    [
        ("the Eiffel Tower", "Eiffel tower.", 1, 1),
        ("Eiffel", "Eiffel Tower", 0, 2 / 3),
        ("in the big big house", "big house", 0, 2 * 2 / (4 + 2)),  # a word counts as often as both have it
        ("Paris", "London", 0, 0),
        ("", "London", 0, 0),
        ("", "", 1, 1),
        ("the", "", 1, 1),
    ],
)
def test_pairs_by_hand(answer, gold, match, overlap):
    assert exact_match(answer, gold) == match
    assert f1(answer, gold) == pytest.approx(overlap)


def test_the_best_gold_answer_counts():
    golds = ["two delegates", "each brotherhood elects two delegates", "delegates"]
    assert max_over_gold_answers(exact_match, "Two delegates!", golds) == 1
    assert max_over_gold_answers(f1, "elects two", golds) == pytest.approx(max(2 / 4, 4 / 7))
    assert max_over_gold_answers(f1, "", []) == max_over_gold_answers(exact_match, "", []) == 1  # no answer is right
    assert max_over_gold_answers(f1, "delegates", []) == 0
    assert (
        max_over_gold_answers(f1, "", ["the", "delegates"]) == 0
    )  # what normalization leaves nothing of is no gold answer


def test_a_whole_set_with_questions_that_have_no_answer():
    metrics = score_answers([["a cat"], ["dog house"], [], []], ["cat", "dog", "", "bird"])
    assert metrics["exact_match"] == pytest.approx(2 / 4)
    assert metrics["f1"] == pytest.approx((1 + 2 / 3 + 1 + 0) / 4)
    assert metrics["answerable_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["unanswerable_accuracy"] == pytest.approx(1 / 2)
    assert metrics["baseline_f1"] == metrics["baseline_exact_match"] == pytest.approx(2 / 4)  # "" is most frequent
    assert metrics["questions"] == 4
    assert "answerable_f1" not in score_answers([["x"]], ["x"])


@pytest.mark.parametrize(
    ("answer", "gold", "match", "overlap"),
    [
        ("天氣很好", "今天天氣很好", 0, 2 * 4 / (4 + 6)),
        ("《紅樓夢》", "紅樓夢", 1, 1),
        ("「東京」、大阪。", "東京 大阪", 1, 1),
        ("“紅樓夢”…", "紅樓夢", 1, 1),  # punctuation of any kind, beside such a script
        ("วันนี้", "วันนี้ดี", 0, 2 * 6 / (6 + 8)),
        ("iPhone 手机", "iphone手机", 1, 1),
        ("the 手机", "手机", 1, 1),
        ("１９９０，", "１９９０", 1, 1),  # full-width punctuation, beside any script
        ("東京", "Tokyo", 0, 0),
        ("한국어 좋아", "한국어", 0, 2 / 3),  # Korean has spaces
        ("“Foo”", "Foo", 0, 0),  # as SQuAD's own script has it
        ("Zoe\u0301", "Zoé", 1, 1),
    ],
)
def test_scripts_without_spaces_count_characters(answer, gold, match, overlap):
    assert exact_match(answer, gold) == match
    assert f1(answer, gold) == pytest.approx(overlap)


def test_the_unit_of_f1_is_reported():
    assert score_answers([["a cat"], []], ["cat", ""])["f1_unit"] == "words"
    assert score_answers([["紅樓夢"], []], ["紅樓", ""])["f1_unit"] == "characters"
    mixed = score_answers([["紅樓夢"], ["a cat"]], ["紅樓", "cat"])
    assert (mixed["f1_unit"], mixed["f1"]) == ("words and characters", pytest.approx((0.8 + 1) / 2))
