"""Tables into tables of answers: formats, kept columns, bad rows, runs that were killed, and what `predict` takes."""

import json
from pathlib import Path

import numpy as np
import pytest

import dlkit
from dlkit.bulk import files, predict_to
from dlkit.columns import Image, Text
from dlkit.errors import DataError, DlkitError
from dlkit.prediction_inputs import DATA, FILE, VALUE, classify_text

pandas = pytest.importorskip("pandas")
SUFFIXES = (".csv", ".jsonl", ".parquet")
TEXT, IMAGE = {"text": Text()}, {"image": Image()}


@pytest.fixture(scope="module")
def model():
    """A classifier of texts, trained for one epoch."""
    labels = (("lovely", "pos"), ("dull", "neg"))
    rows = [{"text": f"{word} film {n}", "label": label} for n in range(8) for word, label in labels]
    task = dlkit.SentimentClassifier(epochs=1, batch_size=8, network="mlp")
    task.fit(rows, verbose=0)
    return task


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A csv of 200 rows in the working directory, of which two are bad: one of too few cells, one that is not UTF-8."""
    monkeypatch.chdir(tmp_path)
    lines = [f'{n},"a lovely, {"warm " * (n % 7)}film",{n % 5}'.encode() for n in range(200)]
    lines[40], lines[150] = b"40", b"150,un caf\xe9,1"
    Path("rows.csv").write_bytes(b"\n".join([b"id,text,label", *lines, b""]))
    return Path("rows.csv")


def read(path):
    """Any of the three as a DataFrame of the texts and numbers that it holds."""
    if path.suffix == ".csv":
        return pandas.read_csv(path, dtype={"id": str, "label": str})
    return pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_json(path, lines=True, dtype=False)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_row_has_its_row_and_bad_ones_are_named(model, table, suffix):
    output = Path(f"answers{suffix}")
    told = model.predict_to(table, output, keep_columns=["id", "label"], verbose=False)
    assert {name: told[name] for name in ("rows", "predicted", "bad")} == {"rows": 200, "predicted": 198, "bad": 2}
    made = read(output)
    assert list(made)[:4] == ["id", "label", "predicted_label", "score"]
    assert len(made) == 200
    assert list(made.index[made["score"].isna()]) == [40, 150]
    one = model.predict("a lovely, warm film")
    assert made["predicted_label"][1] == one["label"]
    assert made["score"][1] == pytest.approx(one["score"], rel=1e-4)
    assert [made["id"][row] for row in (1, 150, 199)] == ["1", "150", "199"]
    bad = [json.loads(line) for line in Path("answers.bad.jsonl").read_text().splitlines()]
    assert [(line["row"], line["location"]) for line in bad] == [(41, "rows.csv, line 42"), (151, "rows.csv, line 152")]
    assert "expected 3 cells" in bad[0]["reason"]
    assert "not UTF-8" in bad[1]["reason"]
    assert sorted(path.name for path in Path().iterdir()) == ["answers.bad.jsonl", output.name, "rows.csv"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_killed_anywhere_goes_on_to_the_same_bytes(model, table, suffix, monkeypatch):
    """A kill is what a run leaves: files that are longer than what was said to count, and no last words."""
    model.predict_to(table, f"whole{suffix}", keep_columns="all", verbose=False)
    monkeypatch.setattr(predict_to, "_COMMIT", -1.0)  # after each batch
    commit = files.Files.commit

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    def killed_at(step):
        """Kills at a commit: before it, so that rows behind the one before are in the files, and nothing says so."""
        seen = iter(range(100))

        def counted(self, progress):
            if next(seen) >= step:
                raise Killed
            commit(self, progress)

        return counted

    for step in (0, 2, 1, 1):
        monkeypatch.setattr(files.Files, "commit", killed_at(step))
        with pytest.raises(Killed):
            model.predict_to(table, f"killed{suffix}", keep_columns="all", verbose=False)
        partial = Path(f"killed{suffix}.partial")
        if partial.exists():
            partial.write_bytes(partial.read_bytes() + b"half a li")
    monkeypatch.setattr(files.Files, "commit", commit)
    form = type(predict_to.format_of(Path(f"x{suffix}")))
    with monkeypatch.context() as patch:
        patch.setattr(form, "finish", killed)
        with pytest.raises(Killed):
            model.predict_to(table, f"killed{suffix}", keep_columns="all", verbose=False)
    assert model.predict_to(table, f"killed{suffix}", keep_columns="all", verbose=False)["predicted"] == 198
    for end in (suffix, ".bad.jsonl"):
        assert Path(f"killed{end}").read_bytes() == Path(f"whole{end}").read_bytes()


def test_a_run_goes_on_with_the_same_alone(model, table, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(predict_to.JsonLines, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            model.predict_to(table, "answers.csv", verbose=False)
    before = Path("answers.csv.partial").read_bytes()
    with pytest.raises(DlkitError, match="different options"):
        model.predict_to(table, "answers.csv", keep_columns="id", verbose=False)
    data = table.read_bytes()
    table.write_bytes(data.replace(b"0,", b"7,", 1))
    with pytest.raises(DlkitError, match="with different data"):
        model.predict_to(table, "answers.csv", verbose=False)
    table.write_bytes(data)
    weight = model.stages_.network.weights[-1]
    value = weight.numpy()
    weight.assign(value + 1)
    with pytest.raises(DlkitError, match="with different model"):
        model.predict_to(table, "answers.csv", verbose=False)
    weight.assign(value)
    assert Path("answers.csv.partial").read_bytes() == before
    assert model.predict_to(table, "answers.csv", verbose=False)["predicted"] == 198
    assert Path("answers.csv").read_bytes() == before
    with pytest.raises(DlkitError, match="already exists"):
        model.predict_to(table, "answers.csv", verbose=False)
    told = model.predict_to([{"text": "good"}], "answers.csv", overwrite=True, verbose=False)
    assert (told["predicted"], told["bad_output"]) == (1, None)
    assert not Path("answers.bad.jsonl").exists()


def test_what_is_wrong_with_a_source_leaves_nothing(model, table):
    for source, output, said in (
        ("none.csv", "a.csv", "there is no 'none.csv'"),
        ("rows.csv", "a.txt", "must end in .csv, .jsonl or .parquet"),
        ("rows.csv", "a.csv", "no column 'ID' for `keep`"),
    ):
        with pytest.raises(DlkitError, match=said):
            model.predict_to(source, output, keep_columns=["ID"] if "keep" in said else (), verbose=False)
    Path("bad.jsonl").write_text('{"text": 1}\n{"text": 2}\n')
    with pytest.raises(DataError, match="none of the 2 rows"):
        model.predict_to("bad.jsonl", "a.csv", verbose=False)
    assert sorted(path.name for path in Path().iterdir()) == ["a.bad.jsonl", "bad.jsonl", "rows.csv"]


def test_kept_values_are_those_of_the_source(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    when = pandas.Timestamp("2024-05-06 07:08:09")
    values = {"n": [1, 2], "when": [when, when], "x": [0.5, None], "raw": [b"\xff", b""]}
    frame = pandas.DataFrame({"text": ["a", "b"], **values})
    frame.to_parquet("rows.parquet")
    model.predict_to("rows.parquet", "a.parquet", keep_columns="all", verbose=False)
    made = pandas.read_parquet("a.parquet")
    for name in frame:
        assert made[name].tolist() == frame[name].tolist() or name == "x"
    assert made["n"].dtype == "int64"
    model.predict_to(frame, "a.jsonl", keep_columns="all", verbose=False)
    first = json.loads(Path("a.jsonl").read_text().splitlines()[0])
    assert [first[name] for name in frame] == ["a", 1, "2024-05-06T07:08:09", 0.5, "/w=="]


def test_predict_reads_what_fit_reads(model, table):
    frame = pandas.DataFrame({"text": ["a lovely film", "a dull film"], "label": [0, 1]}, index=["x", "y"])

    def labels(answers):
        return [answer["label"] for answer in answers]

    expected = labels(model.predict(["a lovely film", "a dull film"]))
    frame.to_csv("two.csv", index=False)
    frame.to_json("two.jsonl", orient="records", lines=True)
    frame.to_parquet("two.parquet", index=False)
    np.savez("two.npz", text=frame["text"].to_numpy(str))
    Path("folder").mkdir()
    for number, text in enumerate(frame["text"]):
        Path(f"folder/{number}.txt").write_text(text)
    sources = [frame, frame["text"], {"text": list(frame["text"])}, "two.csv", Path("two.jsonl"), "two.parquet"]
    sources += ["two.npz", "folder", "folder/*.txt", ["two.csv"], [Path("folder/0.txt"), Path("folder/1.txt")]]
    for source in sources:
        assert labels(model.predict(source)) == expected, source
    assert labels(model.predict(frame.rename(columns={"text": "t"}), columns={"text": "t"})) == expected
    for given in (frame, frame["text"]):
        made = model.predict(given, as_frame=True)
        assert list(made.index) == ["x", "y"]
        assert list(made["label"]) == expected
    assert list(model.predict("folder", as_frame=True).index) == ["folder/0.txt", "folder/1.txt"]
    assert model.predict(frame.iloc[0])["label"] == expected[0]
    assert model.predict("folder/1.txt") == model.predict("a dull film")
    assert model.predict(["two.csv", "x"])[0] == model.predict([{"text": "two.csv"}, {"text": "x"}])[0]
    with pytest.raises(DataError, match="index 'y'"):
        model.predict(frame.assign(text=["a", None]))


def test_one_bad_file_of_a_folder_is_named(model, tmp_path, capsys):
    for name, data in (("1.txt", b"good"), ("2.txt", b"caf\xe9"), ("3.txt", b"bad")):
        (tmp_path / name).write_bytes(data)
    assert len(model.predict(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "1 of 3 files skipped" in said
    assert said.count("2.txt") == 1
    told = model.predict_to(tmp_path, tmp_path.parent / "out.jsonl", verbose=False)
    assert (told["predicted"], told["bad"]) == (2, 1)


@pytest.mark.parametrize(
    ("text", "inputs", "kind"),
    [
        ("what a film", TEXT, VALUE),
        ("???", TEXT, VALUE),
        ("great/awful", TEXT, VALUE),
        ("see https://a.b", TEXT, VALUE),
        ("one\nof a.csv", TEXT, VALUE),
        ("here.csv", TEXT, DATA),
        ("here.txt", TEXT, FILE),
        ("here", TEXT, FILE),
        ("x" * 5000, TEXT, VALUE),
        (".", TEXT, DATA),
        ("*.csv", TEXT, DATA),
        ("./*", TEXT, DATA),
        ("tfds:imdb", TEXT, DATA),
        ("https://a.b/c.csv", TEXT, DATA),
        ("https://a.b/c.txt", TEXT, FILE),
        ("gone.csv", TEXT, None),
        ("gone.csv.gz", TEXT, None),
        ("my gone.JSONL", TEXT, None),
        ("gone.txt", TEXT, None),
        ("./gone", TEXT, None),
        ("gone.parquet", IMAGE, None),
        ("gone.png", IMAGE, FILE),
        (".", IMAGE, DATA),
        ("gone", {**TEXT, **IMAGE}, None),
        ("here.csv", {**TEXT, **IMAGE}, DATA),
    ],
)
def test_the_name_of_data_is_no_text(text, inputs, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("here", "here.csv", "here.txt", "abc"):
        Path(name).write_text("a")
    if kind is not None:
        assert classify_text(text, inputs) == kind
        return
    with pytest.raises(DataError, match=r"there is no file '.*gone"):
        classify_text(text, inputs)
