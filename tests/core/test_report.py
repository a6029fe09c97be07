"""One look at the data: planted faults of every kind are found, sound data has none, and a look takes little time."""

import io
import json
import re
import time
import zlib

import numpy as np
import pytest
from PIL import Image

import dlkit
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.report import TIME_LIMIT, Report, most_common, similar_names
from dlkit.training.prepare import build_task, encode_rows

RANDOM = np.random.default_rng(0)


def png(pixels, exif=None, form="PNG"):
    file = io.BytesIO()
    options = {"exif": exif} if exif else {}
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def noise(height=12, width=12, low=0):
    return RANDOM.integers(low, 256, (height, width, 3), np.uint8)


def turned():
    exif = Image.Exif()
    exif[274] = 6
    return exif.tobytes()


def photos(count=12, **first):
    """Images of two labels; the first ones are those given."""
    images = [png(noise()) for _ in range(count)]
    images[: len(first.get("images", []))] = first.get("images", [])
    return {"image": images, "label": first.get("labels", ["cat", "dog"] * (count // 2))}


def shapes_in_alpha(grey=0):
    pixels = np.full((12, 12, 4), (grey, grey, grey, 0), np.uint8)
    pixels[3:9, 3:9, 3] = 255
    return png(pixels)


def texts(extra=(), labels=("good", "bad")):
    rows = [{"text": f"a film number {n} that is {labels[n % 2]}", "label": labels[n % 2]} for n in range(40)]
    return [*rows, *({"text": text, "label": label} for text, label in extra)]


def objects(boxes, size=64, classes=None, count=6):
    made = {"image": [png(noise(size, size)) for _ in range(count)], "boxes": [boxes] * count}
    made["labels"] = [["cat"] * len(boxes)] * count
    return made | ({"classes": classes} if classes else {})


def masks(ids, classes=None, count=4):
    made = {"image": [png(noise(8, 8)) for _ in range(count)]}
    made["mask"] = [np.resize(np.array(ids, np.uint8), (8, 8)) for _ in range(count)]
    return made | ({"classes": classes} if classes else {})


def series(*extra):
    days = np.datetime_as_string(np.datetime64("2020-01-01") + np.arange(60)).tolist()
    table = {"unique_id": ["a"] * 60, "ds": list(days), "y": RANDOM.random(60).tolist()}
    for name, ds, y in extra:
        table["unique_id"] += [name] * len(ds)
        table["ds"] += list(ds)
        table["y"] += list(y)
    return table


def days(count, start="2020-01-01", every=1):
    return np.datetime_as_string(np.datetime64(start) + every * np.arange(count)).tolist()


def pairs(*extra):
    rows = [{"source": f"the house {n} is new", "target": f"la casa {n} es nueva"} for n in range(20)]
    return [*rows, *({"source": one, "target": other} for one, other in extra)]


def questions(*extra):
    rows = [
        {"question": f"Who is number {n}?", "context": f"Number {n} is Ann{n}.", "answers": [(f"Ann{n}", 12)]}
        for n in range(10, 30)
    ]
    return [*rows, *extra]


def likes(users=8, items=6, **more):
    rows = [(f"u{u}", f"i{i}") for u in range(users) for i in range(items) if (u + i) % 3]
    made = {"user_id": [u for u, _ in rows], "item_id": [i for _, i in rows]}
    return made | {name: values(len(rows)) for name, values in more.items()}


CLASSIFY, SENTIMENT = dlkit.ImageClassifier, dlkit.SentimentClassifier
FAULTS = {
    "white shapes in alpha": (CLASSIFY, {}, lambda: photos(images=[shapes_in_alpha(255)]), "holds a white shape"),
    "broken images": (CLASSIFY, {}, lambda: photos(images=[b"no image"]), "1 of 12 images cannot be read"),
    "a label in two cases": (SENTIMENT, {}, lambda: texts([("x", "Good"), ("y", "Good")]), "'Good' .* and 'good'"),
    "one text, two labels": (SENTIMENT, {}, lambda: texts([("meh", "good"), ("meh", "bad")]), "have different labels"),
    "a column of ids": (
        SENTIMENT,
        {},
        lambda: [{"text": f"t {n}", "label": f"id{n}"} for n in range(60)],
        "60 labels for 60 rows",
    ),
    "a label of one row": (
        SENTIMENT,
        {},
        lambda: texts([("so so", "mixed")]),
        "1 of 3 labels have only one training row",
    ),
    "empty texts": (SENTIMENT, {}, lambda: texts([("  ", "good"), ("", "bad")]), "2 of 42 texts of 'text' are empty"),
    "boxes elsewhere": (
        dlkit.ObjectDetector,
        {},
        lambda: objects([[900, 900, 950, 950], [0, 0, 30, 30], [700, 70, 720, 90]]),
        "outside",
    ),
    "boxes in shares": (
        dlkit.ObjectDetector,
        {},
        lambda: objects([[0.1, 0.1, 0.6, 0.7]]),
        "look relative to the image size",
    ),
    "objects of a few pixels": (
        dlkit.ObjectDetector,
        {"image_size": 64},
        lambda: objects([[0, 0, 30, 30]], 640, count=3),
        "smaller than 6 pixels",
    ),
    "a class without objects": (
        dlkit.ObjectDetector,
        {},
        lambda: objects([[0, 0, 30, 30]], classes=["cat", "dog"]),
        "1 of 2 classes have no obj",
    ),
    "masks of 0 and 255": (dlkit.ImageSegmenter, {}, lambda: masks([0, 255]), "classes.json"),
    "ids with gaps": (dlkit.ImageSegmenter, {}, lambda: masks([0, 76, 150, 29]), "large gaps: 0, 29, 76, 150"),
    "a class without pixels": (
        dlkit.ImageSegmenter,
        {},
        lambda: masks([0, 1], ["ground", "road", "sky"]),
        "1 of 3 classes have no pixel.*sky",
    ),
    "short series": (dlkit.Forecaster, {}, lambda: series(("b", days(9), range(9))), "less than two horizons.*'b': 9"),
    "constant series": (
        dlkit.Forecaster,
        {},
        lambda: series(("b", days(40), [3.0] * 40)),
        "1 of 2 series are constant",
    ),
    "mostly holes": (
        dlkit.Forecaster,
        {"frequency": "day"},
        lambda: series(("b", days(20, every=7), range(20))),
        "less than 50%",
    ),
    "a wrong year": (
        dlkit.Forecaster,
        {"frequency": "day"},
        lambda: series(("b", [*days(40), "2029-03-01"], range(41))),
        "outlying",
    ),
    "the same text twice": (
        dlkit.Translator,
        {},
        lambda: pairs(*((f"same {n}", f"same {n}") for n in range(8))),
        "8 of 28 pairs have identical",
    ),
    "answers that stand nowhere": (
        dlkit.QuestionAnswerer,
        {},
        lambda: questions({"question": "Who?", "context": "Nobody.", "answers": [("Eve", 0)]}),
        "no answer that occurs",
    ),
    "users of one item": (
        dlkit.Recommender,
        {},
        lambda: {"user_id": list("abcdefgh"), "item_id": list("xyxyxyxy")},
        "users have only one item",
    ),
    "items of one user": (
        dlkit.Recommender,
        {},
        lambda: {"user_id": ["a"] * 9 + ["b"] * 9, "item_id": list("abcdefghijklmnopqr")},
        "one user",
    ),
    "ratings of one number": (
        dlkit.Recommender,
        {"objective": "ratings", "network": "svdpp"},
        lambda: likes(rating=lambda n: [5.0] * n),
        "all ratings are equal",
    ),
}
REFUSED = {"boxes elsewhere", "boxes in shares", "masks of 0 and 255", "ids with gaps"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault):
    task, hparams, data, words = FAULTS[fault]
    found = task(**{"validation_split": 0.0, **hparams}).check(data())
    kind = "errors" if fault in REFUSED else "warnings"
    assert any(re.search(words, text) for text in found[kind]), found
    assert bool(found["errors"]) == (fault in REFUSED)
    json.dumps(found, allow_nan=False)


SOUND = {
    "images": (CLASSIFY, photos),
    "texts": (SENTIMENT, texts),
    "objects": (dlkit.ObjectDetector, lambda: objects([[0, 0, 30, 30], [10, 20, 50, 60]])),
    "masks": (dlkit.ImageSegmenter, lambda: masks([0, 1, 1, 255])),
    "series": (dlkit.Forecaster, series),
    "pairs": (dlkit.Translator, pairs),
    "questions": (dlkit.QuestionAnswerer, questions),
    "interactions": (dlkit.Recommender, likes),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_data_has_no_warning(name):
    task, data = SOUND[name]
    found = task(validation_split=0.0).check(data())
    assert found["warnings"] == found["errors"] == []
    assert found["statistics"]["rows"]["train"] > 0


def test_turned_and_16_bit_images_are_facts():
    deep = png(np.full((9, 9), 900, np.uint16))
    found = CLASSIFY(validation_split=0.0).check(
        photos(images=[png(noise(), turned(), "JPEG"), deep, shapes_in_alpha()])
    )
    assert found["statistics"]["EXIF orientation"] == "1 of 12 images are rotated by it"
    assert found["statistics"]["16 bits"] == "1 of 12 images, scaled by their maximum value"
    assert not found["warnings"]


BETWEEN = {
    "texts": (SENTIMENT, texts, lambda: texts()[:3], "3 of 3 validation rows also occur in the training data"),
    "a label": (
        SENTIMENT,
        texts,
        lambda: [{"text": "new", "label": "mixed"}],
        "1 labels of the validation data have no training",
    ),
    "words": (
        SENTIMENT,
        texts,
        lambda: [{"text": "ein ganz anderer Text " * 9, "label": "good"}] * 3,
        "of the words of 'text'",
    ),
    "pairs": (dlkit.Translator, pairs, lambda: pairs()[:2], "2 of 2 validation pairs also occur in the training data"),
    "questions": (
        dlkit.QuestionAnswerer,
        questions,
        lambda: questions()[:2],
        "2 of 2 validation questions also occur in the training",
    ),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_is_wrong_between_training_and_validation_is_found(name):
    task, train, validation, words = BETWEEN[name]
    found = task().check(train(), validation())
    assert any(words in text for text in found["warnings"]), found["warnings"]


def test_an_image_too_large_to_open_is_named():
    large = bytearray(png(noise()))
    large[16:24] = (20_000).to_bytes(4, "big") * 2
    large[29:33] = zlib.crc32(large[12:29]).to_bytes(4, "big")
    found = dlkit.ImageClassifier().check(photos(images=[bytes(large)]))
    (said,) = [text for text in found["warnings"] if "cannot be read" in text]
    assert "index 0" in said and "400000000 pixels" in said


def test_interactions_tell_ties_in_time_ratings_that_do_not_count_and_repeats():
    rows = [("a", 1, 5, 10), ("a", 2, 1, 10), ("b", 1, 3, 10), ("b", 2, 2, 11), ("b", 3, 2, 11), ("c", 1, 4, 9)]
    names = ("user_id", "item_id", "rating", "timestamp")
    data = [dict(zip(names, row, strict=True)) for row in [*rows, ("c", 1, 5, 12)]]
    assert dlkit.Recommender().check(data)["remarks"] == [
        "1 of 7 interactions repeat a pair of user and item: the last one is used",
        "2 of 3 users have several last items with the same timestamp: ties are broken by a hash of user and item, "
        "independent of the order of the source",
        "ratings from 1 to 5: 3 of 6 interactions are rated below 3 and count as seen, not as positive (`min_rating`)",
    ]
    assert not dlkit.Recommender().check([dict(zip(names, row, strict=True)) for row in rows[2:3]])["remarks"][1:]


def test_interactions_tell_the_share_of_items_and_users_with_features(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,price\ni0,1\ni1,2\ni9,3\n")
    (tmp_path / "users.csv").write_text("user_id,age\nu0,1\nu1,2\nu2,3\nu3,4\n")
    task = dlkit.Recommender(item_features=str(tmp_path / "items.csv"), user_features=str(tmp_path / "users.csv"))
    found = task.check(likes())
    assert (found["statistics"]["items with features"], found["statistics"]["users with features"]) == (
        "2 of 6",
        "4 of 8",
    )
    (said,) = found["warnings"]
    assert said.startswith(f"4 of 6 items have no row in {tmp_path}/items.csv")


def test_what_was_left_out_is_told_once_by_a_run_that_goes_on():
    task = dlkit.ImageClassifier(network="mlp")
    rows = task.read(photos(images=[b"broken"]))
    build_task(task, rows)
    for _ in range(2):  # before a NaN loss, and after
        encode_rows(task, rows, None, quiet=True)
    (said,) = task.report_["remarks"]
    assert said.startswith("1 of 12 rows skipped")


def test_training_shows_the_report_keeps_it_and_is_refused_by_it(capsys, tmp_path):
    task = SENTIMENT(epochs=1, batch_size=8, validation_split=0.0)
    task.fit(texts([("meh", "good"), ("meh", "bad")]), save=tmp_path / "m", verbose=2)
    said = capsys.readouterr()
    assert "labels: good 21, bad 21" in said.out
    assert "warning: the list of rows: 1 pairs of identical inputs have different labels" in said.err
    assert task.report_["statistics"]["rows"] == {"train": 42}
    assert dlkit.load(tmp_path / "m").report_ == task.report_
    task.fit(texts(), verbose=0)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(DataError, match=r"masks hold only the ids 0 and 255.*classes\.json"):
        dlkit.ImageSegmenter(validation_split=0.0).fit(masks([0, 255]), verbose=0)


def test_a_look_at_many_rows_ends_in_time_and_says_what_it_saw():
    report = Report("rows")
    begun, seen = time.perf_counter(), []
    for row in report.sample(1_000_000, 0.02):
        seen.append(row)
        time.sleep(0.001)
    assert time.perf_counter() - begun < TIME_LIMIT / 5
    assert report.statistics["inspected"] == {"rows": len(seen), "of": 1_000_000}
    assert len(set(seen)) == len(seen)
    assert np.ptp(seen) > 800_000  # all over the table
    assert sorted(Report("few").sample(97)) == list(range(97))


def test_helpers_by_hand():
    assert similar_names(["Cat", "dog", "cat ", "DOG", "bird"]) == [("Cat", "cat "), ("dog", "DOG")]
    assert most_common({"a": 1, "b": 5, "c": 2}, 1) == {"b": 5, "and 2 more": 3}
    report = Report("x")
    report.add_warning("2 of 9 things", (f"row {n}" for n in range(9)), "Do it.")
    assert report.warnings == ["2 of 9 things (row 0, row 1, row 2). Do it."]
    assert Table("x", {}, str).remarks == ()
