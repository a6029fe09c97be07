"""The command line does what the README shows, and says what it cannot do in one line."""

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import dlkit
from dlkit.cli import main as cli
from dlkit.cli.flags import add_hparams, hparam_table
from dlkit.cli.main import main
from dlkit.cli.parser import Parser
from dlkit.cli.show import show_metrics, show_prediction
from dlkit.tasks import find_task, task_names
from dlkit.training.checkpoint_files import CheckpointFiles

COMMANDS = ("train", "find-lr", "check", "launch", "evaluate", "predict", "export", "verify", "tasks")
HELP = """
import sys
import dlkit
from dlkit.cli.main import main

def run(*argv):
    try:
        assert main(argv) == 0
    except SystemExit as exit:
        assert exit.code == 0
    assert "tensorflow" not in sys.modules and "keras" not in sys.modules, argv

run("--help"), run("--version")
assert "numpy" not in sys.modules
run("tasks")
for command in COMMANDS:
    run(command, "--help")
for task in TASKS:
    run("train", task, "--help"), run("check", task, "--help")
assert dlkit.ImageClassifier(epochs=2).epochs == 2
assert "tensorflow" not in sys.modules
"""


def process(*argv, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "dlkit", *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def weights(task):
    return [variable.numpy() for variable in task.stages_.network.weights]


def some_texts():
    sample = dlkit.SentimentClassifier.samples()["train"]
    return {name: values[:80] for name, values in sample.items()}


def test_help_needs_no_tensorflow():
    script = f"COMMANDS, TASKS = {COMMANDS!r}, {task_names()!r}\n{HELP}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--label-smoothing" in done.stdout
    assert "Number of epochs" in done.stdout


def test_tasks_are_listed(run):
    printed = run("tasks")
    for name in task_names():
        assert name in printed
        assert find_task(name).__name__ in printed


def test_an_error_ends_a_process_with_2_and_one_line(tmp_path):
    runs = [process("evaluate", tmp_path, "--data", "x.csv", *debug) for debug in ([], ["--debug"])]
    (_, plain), (_, debug) = [run.communicate(timeout=120) for run in runs]
    assert runs[0].returncode == 2
    assert plain.decode().count("\n") == 1
    assert plain.startswith(b"error: ")
    assert b"Traceback" in debug


def test_evaluate_prints_metrics_or_json(run, sentiment_model, photos, photo_model, reviews):
    metrics = json.loads(run("evaluate", sentiment_model, "--data", reviews, "--json"))
    assert metrics["accuracy"] > 0.9
    assert metrics["rows"] == 480
    printed = run("evaluate", photo_model, "--data", photos)
    assert "accuracy" in printed
    assert "dark blue" in printed


def test_predict_answers_in_order(run, sentiment_model, photo_model, photos):
    images = [photos / "red" / "3.png", photos / "dark blue" / "4.png"]
    lines = [json.loads(line) for line in run("predict", photo_model, *images, "--json").splitlines()]
    assert [line["input"] for line in lines] == [str(image) for image in images]
    assert [line["label"] for line in lines] == ["red", "dark blue"]
    assert lines[0]["scores"][0] == lines[0]["score"]
    printed = run("predict", sentiment_model, "A wonderful film [/b] [red]", "")
    assert "A wonderful film [/b] [red]\n" in printed
    assert printed.count("label: ") == 2


def test_predict_answers_tables_and_files_and_never_their_names(
    run, refused, sentiment_model, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("id,review\n1,a wonderful film\n2\n3,dull\n")
    (tmp_path / "one.txt").write_text("a wonderful film")
    (tmp_path / "dull").write_text("a wonderful film")
    into = ("--output", "answers.csv", "--keep-columns", "id", "--column", "text=review")
    assert run("predict", sentiment_model, "rows.csv", *into) == "2 predictions: answers.csv\n"
    lines = (tmp_path / "answers.csv").read_text().splitlines()
    assert lines[0] == "id,label,score,labels,scores,truncated"
    assert [line.partition(",")[0] for line in lines[1:]] == ["1", "", "3"]
    assert "answers.csv already exists" in refused("predict", sentiment_model, "rows.csv", *into)
    assert "rows.csv, line 3: expected 2 cells" in refused("predict", sentiment_model, "rows.csv", *into[4:])
    assert "there is no file 'gone.csv'" in refused("predict", sentiment_model, "gone.csv")
    said = run("predict", sentiment_model, "one.txt", "a wonderful film", "dull", "--json")
    file, text, named = (json.loads(line) for line in said.splitlines())
    assert file["score"] == named["score"] == pytest.approx(text["score"])
    (word,) = run("predict", sentiment_model, "--text", "dull", "--json").splitlines()
    assert json.loads(word)["score"] != named["score"]
    assert "needs data" in refused("predict", sentiment_model, "a text", "--output", "a.csv")


def test_predict_reads_lines_from_standard_input(run, sentiment_model, typed):
    typed("Wonderful!\r\nAwful \u2028 and boring.\n\n".encode())
    lines = [json.loads(line) for line in run("predict", sentiment_model, "-", "--json").rstrip("\n").split("\n")]
    assert [line["input"] for line in lines] == ["Wonderful!", "Awful \u2028 and boring.", ""]
    assert [line["label"] for line in lines[:2]] == ["positive", "negative"]


def test_explain_gives_each_word_its_share(run, refused, sentiment_model, photo_model):
    (line,) = run("predict", sentiment_model, "a wonderful film", "--explain", "--json").splitlines()
    answer = json.loads(line)
    shares = dict(answer["words"])
    assert list(shares) == ["a", "wonderful", "film"]
    assert shares["wonderful"] == max(shares.values()) > 0
    assert "words: a " in run("predict", sentiment_model, "a wonderful film", "--explain")
    assert "image_classification does not support --explain" in refused("predict", photo_model, "a.png", "--explain")


@pytest.fixture(scope="module")
def served(photo_model, proven_here, tmp_path_factory):
    """The photo model, exported."""
    folder = tmp_path_factory.mktemp("served")
    assert cli.main(["export", str(photo_model), str(folder)]) == 0
    return folder


def test_export_then_verify(run, refused, photo_model, served):
    assert json.loads(run("verify", served, "--json").splitlines()[-1])["ok"]  # its progress goes before
    before = sorted(served.rglob("*"))
    assert "Version 1 exists" in refused("export", photo_model, served, "--version", 1)
    assert sorted(served.rglob("*")) == before
    assert "must be a positive integer" in refused("export", photo_model, served, "--version", 0)
    assert "not an exported model" in refused("verify", photo_model)


def test_what_an_export_holds_of_the_data_is_chosen(run, sentiment_model, proven_here, tmp_path):
    (tmp_path / "mine.csv").write_text("text\n" + "a quiet Tuesday\n" * 3)
    (tmp_path / "test.csv").write_text("text,label\nwonderful,positive\nterrible,negative\n")
    out = tmp_path / "served"
    run("export", sentiment_model, out, "--examples", tmp_path / "mine.csv", "--test", tmp_path / "test.csv")
    run("export", sentiment_model, out, "--examples", "synthetic")
    kept = json.loads((sentiment_model / "dlkit.json").read_text())["fitted"]["examples_"][0]["text"]
    mine, none = (b"".join(p.read_bytes() for p in (out / n).rglob("*") if p.is_file()) for n in "12")
    assert b"a quiet Tuesday" in mine
    for held in (mine, none):
        assert kept.encode() not in held
        assert str(tmp_path).encode() not in held
    contract = json.loads((out / "1" / "assets.extra" / "dlkit.json").read_text())
    assert contract["test"]["rows"] == 2
    assert contract["test"]["source"] == "test.csv"
    run("train", "sentiment", "--epochs", 1, "--no-examples", "--save", tmp_path / "model")
    assert json.loads((tmp_path / "model" / "dlkit.json").read_text())["fitted"]["examples_"] == []


def test_a_broken_image_in_a_served_batch(served, photos, png):
    import tensorflow as tf

    serve = tf.saved_model.load(str(served / "1")).signatures["serving_default"]
    good = (photos / "red" / "3.png").read_bytes()
    before = serve(image=tf.constant([good, good]))["scores"].numpy()
    for broken in (b"", b"hello", good[:60], png((1, 1, 1), 100)):
        made = serve(image=tf.constant([good, broken]))
        np.testing.assert_allclose(made["scores"][0], before[0], rtol=1e-5)
        assert made["error"][0] == b"" != made["error"][1]
        assert not made["scores"][1].numpy().any() and made["label"][1] == b""


@pytest.mark.slow
def test_find_lr_plots(run, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    plot = tmp_path / "new folder" / "rates.png"
    printed = run("find-lr", "image_classification", "--network", "mlp", "--batch-size", 32, "--plot", plot)
    rate = float(printed.split()[2])
    assert 1e-4 < rate < 10
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_columns_of_other_names(run, refused, tmp_path, photo_model, photos):
    table = tmp_path / "pictures.csv"
    rows = [f"{photos / label / f'{n}.png'},{label}" for n in range(3) for label in ("red", "dark blue")]
    table.write_text("file,kind\n" + "\n".join(rows))
    renamed = ["--column", "image=file", "--column", "label=kind"]
    assert "--allow-outside" in refused("evaluate", photo_model, "--data", table, *renamed)
    renamed.append("--allow-outside")
    assert json.loads(run("evaluate", photo_model, "--data", table, "--json", *renamed))["rows"] == 6
    assert "no column 'image'" in refused("evaluate", photo_model, "--data", table)
    assert "NAME=COLUMN" in refused("evaluate", photo_model, "--data", table, "--column", "image")
    assert "no column 'imgae'" in refused("evaluate", photo_model, "--data", table, "--column", "imgae=file")


def test_tensorboard_has_its_files_or_the_error_names_the_extra(run, refused, photos, tmp_path):
    logs = tmp_path / "logs"
    argv = ["train", "image_classification", "--network", "mlp", "--epochs", 1, "--batch-size", 8,
            "--data", photos, "--tensorboard", logs]  # fmt: skip
    if importlib.util.find_spec("tensorboard"):
        run(*argv)
        assert list(logs.rglob("events.out.tfevents.*"))
    else:
        assert "dlkit-keras[tensorboard]" in refused(*argv)


def test_save_is_replaced_only_if_asked_and_then_wholly(refused, sentiment_model, tmp_path):
    import keras

    class InterruptTraining(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise KeyboardInterrupt

    model = tmp_path / "model"
    shutil.copytree(sentiment_model, model)
    before = (model / "dlkit.json").read_bytes()
    assert "already holds a saved model" in refused("train", "sentiment", "--save", model)
    assert (model / "dlkit.json").read_bytes() == before
    task = dlkit.SentimentClassifier(character_ngrams=False)
    data = task.samples()
    arguments = {"data": data["train"], "validation": data["validation"], "save": model, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        task.fit(**arguments, overwrite=True, callbacks=[InterruptTraining()])
    assert dlkit.load(model).history_ == dlkit.load(sentiment_model).history_  # it stays until then
    resumed = task.fit(**arguments, resume=True)  # this run, not the one that was replaced
    assert resumed["loss"] != dlkit.load(sentiment_model).history_["loss"]
    assert not dlkit.load(model).character_ngrams


def test_resume_of_a_finished_run_changes_nothing(run, sentiment_model, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(sentiment_model, model)
    run("train", "sentiment", "--epochs", 3, "--checkpoint-every", 2, "--save", model, "--resume")
    before, after = dlkit.load(sentiment_model), dlkit.load(model)
    assert before.history_ == after.history_
    for left, right in zip(weights(before), weights(after), strict=True):
        np.testing.assert_array_equal(left, right)


def test_resume_with_more_epochs_goes_on(run, refused, sentiment_model, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(sentiment_model, model)
    resume = ["train", "sentiment", "--save", model, "--resume"]
    line = refused(*resume, "--width", 8, "--epochs", 4)
    assert "started with --epochs 3, not 4, --width 128, not 8" in line
    assert "allow the change with --allow-changes" in line
    run(*resume, "--epochs", 4, "--allow-changes")
    longer = dlkit.load(model).history_["loss"]
    assert longer[:3] == dlkit.load(sentiment_model).history_["loss"]
    assert len(longer) == 4


def test_a_run_out_of_patience_is_not_trained_further(tmp_path):
    hparams = {"epochs": 8, "patience": 1, "learning_rate": 0.0, "character_ngrams": False}
    data, model = some_texts(), tmp_path / "model"
    history = dlkit.SentimentClassifier(**hparams).fit(data, data, save=model, verbose=0)
    assert len(history["loss"]) == 2  # the rate of 0 never makes it better
    assert dlkit.SentimentClassifier(**hparams).fit(data, data, save=model, resume=True, verbose=0) == history


def test_resume_needs_a_run(refused, sentiment_model, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no run to resume" in refused("train", "sentiment", "--save", empty, "--resume")
    assert list(empty.iterdir()) == []
    assert "--resume needs --save" in refused("train", "sentiment", "--resume")
    assert "argument --resume: takes `auto` or no value, received 'yes'" in refused(
        "train", "sentiment", "--resume", "yes"
    )
    assert "--worker-timeout must be a positive number" in refused("train", "sentiment", "--worker-timeout", 0)
    line = refused("train", "image_classification", "--save", sentiment_model, "--resume")
    assert "task 'sentiment', not 'image_classification'" in line


@pytest.mark.slow  # the contract checks kill runs too
def test_a_killed_run_is_resumed(run, refused, tmp_path):
    model = tmp_path / "model"
    child = process("train", "sentiment", "--save", model, "--epochs", 100_000, "--no-character-ngrams")
    try:
        deadline = time.monotonic() + 300
        while not [path for path in model.glob("checkpoints/*.npz") if path.stem > f"step-{0:012d}"]:
            assert child.poll() is None, child.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    done = CheckpointFiles(model / "checkpoints", 2).newest().state
    epochs = len(done["history"]["loss"])
    assert "holds an interrupted run" in refused("predict", model, "good")
    assert "already holds a saved model" in refused("train", "sentiment", "--save", model)
    run("train", "sentiment", "--save", model, "--resume", "--epochs", epochs + 2, "--allow-changes")
    losses = dlkit.load(model).history_["loss"]
    assert len(losses) == epochs + 2
    assert losses[:epochs] == done["history"]["loss"]


def test_gradual_unfreezing_in_a_run():
    import keras

    task = dlkit.SentimentClassifier(character_ngrams=False, epochs=2, freeze="1", unfreeze_every=1, validation_split=0)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(weights(task)[0])

    task.fit(some_texts(), callbacks=[Look()], verbose=0)
    seen.append(weights(task)[0])
    np.testing.assert_array_equal(seen[0], seen[1])  # frozen in the first epoch
    assert (seen[1] != seen[2]).any()


def multi_label_texts(folder: Path, png) -> Path:
    rows = ["text,label"]
    for number in range(16):
        rows += [f"sunny day {number},sun", f"rain all day {number},rain", f"sun and rain {number},sun|rain",
                 f"nothing to say {number},"]  # fmt: skip
    (folder / "weather.csv").write_text("\n".join(rows))
    return folder / "weather.csv"


def multi_label_images(folder: Path, png) -> Path:
    rows = ["image,label"]
    for number in range(12):
        for color, label in (((200, 0, 0), "red"), ((0, 0, 200), "deep blue"), ((200, 0, 200), "red|deep blue"),
                             ((0, 0, 0), "")):  # fmt: skip
            name = f"{number}-{sum(color)}-{len(label)}.png"
            (folder / name).write_bytes(png([max(value - number, 0) for value in color]))
            rows.append(f"{name},{label}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


@pytest.mark.parametrize(
    ("task", "make", "flags", "known"),
    [
        (
            "sentiment",
            multi_label_texts,
            ["--epochs", 10, "--learning-rate", 0.01, "--no-character-ngrams"],
            {"sun", "rain"},
        ),
        pytest.param(
            "image_classification",
            multi_label_images,
            ["--network", "mlp", "--epochs", 12],
            {"red", "deep blue"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_several_labels_go_all_the_way(run, capsys, png, proven_here, tmp_path, task, make, flags, known):
    (tmp_path / "data").mkdir()
    data, model = make(tmp_path / "data", png), tmp_path / "model"
    flags = [
        *flags,
        "--batch-size",
        16,
        "--multi-label",
        "--validation-split",
        0,
        "--class-weights",
        "balanced",
        "--seed",
        1,
    ]
    run("train", task, "--data", data, "--save", model, *flags)
    loaded = dlkit.load(model)
    metrics = loaded.evaluate(str(data))
    assert metrics["micro_f1"] > max(metrics["baseline_micro_f1"], 0.9)
    value = "sun and rain 3" if task == "sentiment" else next(data.glob("3-400-*.png"))
    answer = loaded.predict(value)
    assert set(answer["labels"]) == set(answer["ranked_labels"]) == known
    show_metrics(metrics)
    show_prediction(value, answer)
    printed = capsys.readouterr().out
    assert "micro_f1" in printed
    assert "labels: " in printed
    assert loaded.export(tmp_path / "served").name == "1"
    assert loaded.draw(str(data), tmp_path / "drawn.png") == (task == "image_classification")


def test_the_module_runs_as_the_command():
    assert cli.main.__module__ == "dlkit.cli.main"
    assert process("--version").communicate(timeout=60)[0].decode().strip() == f"dlkit {dlkit.__version__}"


def test_flags_say_how_data_are_read(run, refused, sentiment_model, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text('positive;"A wonderful; warm film\nnegative;A dull film\n')
    evaluate = ("evaluate", sentiment_model, "--data", path, "--column-names", "label,text", "--delimiter", "semicolon")
    assert "line 1" in refused(*evaluate)  # the quote does not close
    path.write_text(path.read_text().replace("; warm", ""))
    metrics = json.loads(run(*evaluate, "--no-quotes", "--json"))
    assert metrics["rows"] == 2 if "rows" in metrics else 0 <= metrics["accuracy"] <= 1
    assert "must be one character" in refused(*evaluate[:-1], "||")


def test_strict_makes_errors_of_bad_records(refused, not_trained, sentiment_model, tmp_path):
    for name, content in (("positive/1", b"good"), ("negative/1", b"bad"), ("negative/2", b"caf\xe9")):
        (tmp_path / "texts" / name).with_suffix(".txt").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / name).with_suffix(".txt").write_bytes(content)
    assert cli.main(["evaluate", str(sentiment_model), "--data", str(tmp_path / "texts")]) == 0
    for line in (
        refused("evaluate", sentiment_model, "--data", tmp_path / "texts", "--strict"),
        not_trained("sentiment", "--data", tmp_path / "texts", "--strict"),
    ):
        assert "negative/2.txt, line 1" in line
        assert "--strict" in line


def test_a_flag_that_takes_a_number_or_is_left_out():
    parser = Parser()
    add_hparams(parser, find_task("recommendation"))
    assert parser.parse_args(["--min-rating", "4"]).min_rating == 4.0
    assert not hasattr(parser.parse_args([]), "min_rating")
    assert "None" not in parser.format_help()
    assert "| `min_rating` | automatic |" in hparam_table(find_task("recommendation"))


def test_metrics_by_class_are_printed(capsys):
    show_metrics(
        {"AP50": 0.5, "per_class": {"cat": {"AP": 0.25, "objects": 7}, "a [dog]": {"AP": 0.125, "objects": 3}}}
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [["AP50", "0.5000"], ["AP", "objects"], ["cat", "0.25", "7"], ["a", "[dog]", "0.125", "3"]]


def test_a_label_map_is_asked_for_in_its_form(capsys, sentiment_model, reviews):
    assert cli.main(["evaluate", str(sentiment_model), "--data", str(reviews), "--label-map", "car"]) == 2
    assert "--label-map must be OLD=NEW, as in car=vehicle. Received: car." in capsys.readouterr().err


def test_answers_of_an_evaluation_go_to_a_file(run, refused, sentiment_model, reviews, tmp_path):
    file = tmp_path / "answers.csv"
    assert str(file) in run("evaluate", sentiment_model, "--data", reviews, "--predictions", file)
    with file.open(encoding="utf-8", newline="") as opened:
        table = list(csv.DictReader(opened))
    assert list(table[0])[:4] == ["row", "text", "true_label", "label"]
    assert table[0]["row"] == f"{reviews}, line 2"
    right = [row["label"] == row["true_label"] for row in table]
    assert [row["correct"] for row in table] == [str(each).lower() for each in right]
    assert "already exists" in refused("evaluate", sentiment_model, "--data", reviews, "--predictions", file)
    wrong = ("evaluate", sentiment_model, "--data", reviews, "--predictions", tmp_path / "a.xls")
    assert "must end in .csv, .jsonl, .ndjson, .parquet" in refused(*wrong)


def test_answers_are_drawn_for_files_and_folders(run, refused, photo_model, photos, sentiment_model, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(photos / "red" / "0.png", folder / name)
    (folder / "c.png").write_bytes(b"none")
    assert main(["predict", str(photo_model), str(folder), "--draw", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"2 plots: {tmp_path / 'out'}\n"
    assert "c.png" in printed.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    assert "is not empty" in refused("predict", photo_model, folder / "a.png", "--draw", tmp_path / "out")
    assert "has no plot of predictions" in refused("predict", sentiment_model, "good", "--draw", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    figure = dlkit.load(photo_model).plot(folder / "a.png")
    scores, names = figure.axes[1].patches, [label.get_text() for label in figure.axes[1].get_yticklabels()]
    answer = dlkit.load(photo_model).predict(folder / "a.png")
    assert names == answer["labels"]
    assert [bar.get_width() for bar in scores] == pytest.approx(answer["scores"])
