"""Help that can be read, options by any name, messages for who reads them, options from a file, completion."""

import ast
import dataclasses
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dlkit
from dlkit import recipe
from dlkit.cli.config import config_path, read_run_file
from dlkit.cli.main import TASK_COMMANDS, command_parser, main
from dlkit.cli.parser import SHORT_HELP_LINES, TASK_GROUP, Parser, refuse_unknown
from dlkit.errors import DlkitError
from dlkit.options import naming_flags, option, python_or_cli, rename_parameters
from dlkit.run_file import CONFIG_FILE, RunFile, SampleData
from dlkit.suggestions import SYNONYMS
from dlkit.task import Task
from dlkit.tasks import find_task, task_names

PACKAGE = Path(dlkit.__file__).parent
SHARED = {field.name for field in dataclasses.fields(Task)}


def parsers(task):
    """The parsers of the commands that take a task, and of its recipe, by their names."""
    found = {}
    for command in TASK_COMMANDS:
        (commands,) = [action for action in command_parser([command, task])._actions if action.dest == "==SUPPRESS=="]
        found[command] = commands.choices[command]
    return {**found, "recipe": recipe._parser(task, {})[0]}


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("task", task_names())
def test_help_of_a_task_fits_a_page_and_help_all_has_everything(task, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    own = [
        f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(find_task(task)) if field.name not in SHARED
    ]
    for name, parser in parsers(task).items():
        lines = parser.format_help().splitlines()
        assert len(lines) <= SHORT_HELP_LINES == 45, name
        assert max(map(len, lines)) <= columns, name
        assert "--help-all" in lines[-1]
        assert not [line for line in lines if " ..." in line], name  # whole sentences
        text = parser.format_help()
        shown = re.findall(r"^  --(?:\[no-\])?([\w-]+)", text, re.MULTILINE)
        named = re.search(r"^  and: .*(?:\n {7}--.*)*", text, re.MULTILINE)  # more options than lines
        flags = re.findall(r"--([\w-]+)", named[0]) if named else []
        listed = shown[: len(own) - len(flags)] + flags
        assert [f"--{flag}" for flag in listed] == own, name
        assert {"data", "epochs", "learning-rate"} <= set(shown)
        everything = parser.format_full_help()
        for action in parser._actions:
            assert all(flag in everything for flag in action.option_strings)
        assert f"All {everything.count(chr(10) + '  -')} options:" in lines[-1]


def test_more_options_than_lines_are_named_after_those_that_are_shown():
    parser = Parser(prog="x", description="Many.")
    parser.usage = "x [options]"
    parser.shorten()
    for number in range(60):
        parser.group(TASK_GROUP).add_argument(f"--option-{number}", help="what it does, in many words. (default: 1)")
    lines = parser.format_help().splitlines()
    assert len(lines) == SHORT_HELP_LINES
    assert set(re.findall(r"--option-\d+", "\n".join(lines))) == {f"--option-{number}" for number in range(60)}


def test_help_all_is_a_flag(capsys):
    with pytest.raises(SystemExit) as done:
        main(["train", "sentiment", "--help-all"])
    assert done.value.code == 0
    assert "--worker-timeout" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train", "sentiment", "--lr", "0.1"], "Did you mean --learning-rate?"),
        (["train", "sentiment", "--batch=3"], "Did you mean --batch-size?"),
        (["train", "sentiment", "--bs", "3"], "Did you mean --batch-size?"),
        (["train", "sentiment", "--out", "m"], "Did you mean --save?"),
        (["predict", "m", "x", "--out", "y"], "Did you mean --output?"),
        (["train", "sentiment", "--dropout-rate", "0"], "Did you mean --dropout?"),
        (["train", "sentiment", "--max-length", "9"], "Did you mean --max-tokens?"),
        (["train", "question_answering", "--max-length", "9"], "Did you mean --max-tokens?"),
        (["train", "sentiment", "--train", "x"], "Did you mean --data?"),
        (["train", "sentiment", "--val", "x"], "Did you mean --validation?"),
        (["train", "sentiment", "--gpu", "0"], "--strategy selects the devices"),
        (["train", "sentiment", "--test", "x"], "The scripts in apps/ take it"),
        (["train", "sentiment", "--test", "x"], "dlkit evaluate MODEL --data DATA"),
        (["train", "sentiment", "reviews.csv"], "Pass data with a flag: --data reviews.csv"),
        (["train", "sentiment", "--sed", "3"], "Did you mean --seed?"),
    ],
)
def test_options_are_found_by_what_others_call_them(argv, said, refused):
    assert said in refused(*argv)


def test_python_hears_the_same_names():
    with pytest.raises(DlkitError, match=r"has no option 'lr'\..*Did you mean 'learning_rate'\?"):
        dlkit.SentimentClassifier(lr=0.1)


def test_each_synonym_leads_to_an_option_of_something():
    known = {field.name for task in task_names() for field in dataclasses.fields(find_task(task))}
    known |= {name for kind in (Task.fit, Task.export) for name in inspect.signature(kind).parameters}
    known |= {"output", "config", "quiet", "delimiter", "column_names", "keep_columns"}
    assert {name for names in SYNONYMS.values() for name in names} <= known


def test_a_flag_that_nothing_is_like_is_sent_to_help():
    with pytest.raises(DlkitError, match="--help lists all options"):
        refuse_unknown(["--zzzzzz"], ["--data", "--save"])


# Messages.


def test_an_option_is_named_for_who_reads_it():
    cases = [
        (("batch_size",), "`batch_size`", "--batch-size"),
        (("batch_size", 3), "batch_size=3", "--batch-size 3"),
        (("overwrite", True), "overwrite=True", "--overwrite"),
        (("quotes", False), "quotes=False", "--no-quotes"),
        (("keep_examples", False), "keep_examples=False", "--no-examples"),
        (("delimiter", "tab"), 'delimiter="tab"', "--delimiter tab"),
        (("delimiter", ...), "delimiter=...", "--delimiter ..."),
        (("columns", {"text": "my review"}), 'columns={"text": "my review"}', "--column 'text=my review'"),
        (("quantiles", (0.1, 0.5)), "quantiles=(0.1, 0.5)", "--quantiles 0.1,0.5"),
    ]
    for given, python, flags in cases:
        assert option(*given) == python
        with naming_flags():
            assert option(*given) == flags
            assert python_or_cli("a", "b") == "b"
    assert python_or_cli("a", "b") == "a"  # also after an error inside
    with pytest.raises(ZeroDivisionError), naming_flags():
        1 / 0  # noqa: B018
    assert option("seed") == "`seed`"
    text = "`depth` must be 8. Received: depth=7, in `height`."
    assert rename_parameters(text, ["depth"]) == text
    with naming_flags():
        assert rename_parameters(text, ["depth"]) == "--depth must be 8. Received: --depth 7, in `height`."


OPTIONS = {
    *(field.name for task in task_names() for field in dataclasses.fields(find_task(task))),
    *(name for kind in (Task.fit, Task.evaluate, Task.export) for name in inspect.signature(kind).parameters),
    *("delimiter", "quotes", "column_names", "strict", "allow_outside"),
} - {"self", "data", "options", "version", "verbose", "callbacks"}
OTHERS = {  # files whose texts are of the graph, of fields of a format, or of other programs
    "cli", "recipe.py", "options.py", "run_file.py", "serving/kubernetes.py", "serving/server_config.py",
    "serving/verify.py", "serving/prove.py", "tasks/forecasting/series_preprocessing.py",
    "tasks/forecasting/forecast_decoding.py",
    "tasks/image_segmentation/coco_masks.py", "vision/choose_flips.py", "tasks/speech_recognition/make_sample.py",
}  # fmt: skip
WHOLE_COMMAND = re.compile(r"dlkit \w+ .*|pip install .*|tfds\..*|what `save` writes|.*, data_dir=")


def named_by_hand(source):
    """The lines of a module's texts, but docstrings, that name an option not by `option` or `python_or_cli`."""
    tree = ast.parse(source)
    passed = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            passed.add(node.body[0].value)
        call = node.exc if isinstance(node, ast.Raise) else node
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in (
            *("option", "python_or_cli", "hparam"),
            *("ValueError", "TypeError"),  # of layers, whose parameters they name: `rename_parameters`
        ):
            passed.update(ast.walk(call))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in passed:
            text = WHOLE_COMMAND.sub("", node.value)
            flags = re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)
            arguments = [name for name in re.findall(r"`(\w+)`|\b(\w+)=", text) if OPTIONS & set(name)]
            if flags or arguments:
                found.append((node.lineno, text))
    return found


def test_no_message_names_an_option_by_hand():
    assert named_by_hand('raise DlkitError("Give `overwrite`.")') == [(1, "Give `overwrite`.")]
    assert named_by_hand('x = f"{a}: use --overwrite"') == [(1, ": use --overwrite")]
    assert named_by_hand('x = f"{a}: Received: epochs={b}"') == [(1, ": Received: epochs=")]
    assert named_by_hand("x = f\"use {option('overwrite', True)}\"") == []
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not any(name == other or name.startswith(f"{other}/") for other in OTHERS):
            found |= {(name, line): text for line, text in named_by_hand(path.read_text())}
    assert found == {}


def test_the_command_line_says_flags_and_python_says_arguments(refused, sentiment_model, reviews):
    for argv in (
        ["train", "sentiment", "--save", sentiment_model],
        ["train", "sentiment", "--epochs", -1],
        ["train", "forecasting", "--quantile-levels", "0.1,0.2"],
        ["evaluate", sentiment_model, "--data", reviews, "--column", "text=nothing"],
    ):
        line = refused(*argv)
        assert "--" in line
        assert not [name for name in re.findall(r"`(\w+)`|(\w+)=", line) if set(name) & OPTIONS], line
    model = dlkit.load(sentiment_model)
    for wrong in (
        lambda: model.save(sentiment_model),
        lambda: dlkit.SentimentClassifier(epochs=-1),
        lambda: model.evaluate(str(reviews), columns={"text": "nothing"}),
        lambda: dlkit.load("nowhere"),
    ):
        with pytest.raises(DlkitError) as raised:
            wrong()
        assert "--" not in str(raised.value)


# What is refused before TensorFlow.

EARLY = """
import sys, time
sys.argv[0] = "sentiment.py"
from dlkit.cli.main import main
from dlkit.recipe import run_recipe
MODEL, FILE, CONFIG = sys.argv[1:]
COMMANDS = [
    *([command, task, "--data", "nowhere.csv"] for command in ("train", "check", "find-lr") for task in TASKS),
    ["train", "sentiment", "--data", FILE, "--validation", "no*.csv"],
    ["train", "translation", "--data", "a.en,a.es"],
    ["train", "sentiment", "--save", FILE + "/below"],
    ["train", "sentiment", "--save", MODEL],
    ["train", "sentiment", "--vocabulary-file", "nowhere.txt"],
    ["train", "sentiment", "--network", "preset:./nowhere"],
    ["train", "image_segmentation", "--losses", "dise"],
    ["train", "sentiment", "--epochs", "-1"],
    ["train", "--config", "nowhere.yaml"],
    ["train", "--config", CONFIG],
    ["evaluate", "nowhere", "--data", FILE],
    ["evaluate", MODEL, "--data", "nowhere.csv"],
    ["predict", "nowhere", "a text"],
    ["export", "nowhere", "served"],
    ["export", MODEL, "served", "--test", "nowhere.csv"],
    ["export", MODEL, "served", "--examples", "nowhere.csv"],
    ["verify", "nowhere"],
    ["info", "nowhere"],
    ["server-config", "nowhere", "--output", "files"],
    ["launch", "--workers", "2", "--", "train", "sentiment", "--data", "nowhere.csv"],
    ["launch", "--workers", "2", "--", "train", "sentiment", "--lr", "1"],
]
def exit_code(argv):
    try:
        run_recipe("sentiment", argv=argv)
    except SystemExit as ended:
        return ended.code
for argv in COMMANDS:
    begun = time.process_time()
    assert main(argv) == 2, argv
    assert "tensorflow" not in sys.modules, argv
    assert time.process_time() - begun < 1, argv
for flags in (["--data", "nowhere.csv"], ["--test", "nowhere.csv", "--data", FILE], ["--epochs", "-1"]):
    assert exit_code(flags) == 2, flags
    assert "tensorflow" not in sys.modules, flags
print(len(COMMANDS))
"""


def test_what_is_not_there_is_refused_before_tensorflow(sentiment_model, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\ngood,a\n")
    (tmp_path / "c.yaml").write_text("task: sentiment\ndata: nowhere.csv\n")
    command = [sys.executable, "-c", f"TASKS = {task_names()!r}\n{EARLY}", sentiment_model, "a.csv", "c.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: ") == int(done.stdout) + 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "c.yaml"]


# Options from a file.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task: sentiment\nhyperparameters:\n  epoch: 3\n", r"line 3: unknown option 'epoch'.*'epochs'\?"),
        ("task: sentiment\nhyperparameters:\n  epochs: many\n", "line 3: epochs must be an integer. Received: 'many'"),
        ("task: sentiment\nhyperparameters:\n  epochs: -1\n", "line 3: --epochs must be at least 0"),
        ("task: sentiment\nhyperparameters:\n  lowercase: 3\n", "line 3: lowercase must be true or false"),
        ("task: sentiment\nhyperparameters:\n\n  network: cn\n", "line 4: --network does not accept 'cn'"),
        ("task: sentiment\nseed: 3\n", "line 2: unknown option 'seed'"),
        ("task: sentiment\nrun: {max_checkpoints: two}\n", "line 2: max_checkpoints must be an integer"),
        ("task: sentiment\nreading:\n- a\n", "line 3: expected `name: value` pairs"),
        ("task: sentiment\ndata: 3\n", "line 2: data must be a path"),
        ("task: sentiment\ndata: a.csv\ndata: b.csv\n", "line 3: the option 'data' is given twice"),
        ("task: sentiment\ndata: {in memory: DataFrame}\n", r"line 2: the data was in memory .DataFrame.*--data"),
        ("task: sentimant\n", "there is no task 'sentimant'"),
        ("data: a.csv\n", "names no task"),
        ("", "names no task"),
        ("task: [a\n", r"line 2: not YAML"),
        ("- a\n", "line 1: expected `name: value` pairs"),
    ],
)
def test_a_file_of_options_is_refused_by_its_line(text, said, refused, tmp_path):
    (tmp_path / "run.yaml").write_text(text)
    line = refused("train", "--config", tmp_path / "run.yaml")
    assert str(tmp_path / "run.yaml") in line or "no task 'sentimant'" in line
    assert re.search(said, line), line


def test_a_file_of_options_is_of_one_task(refused, tmp_path):
    (tmp_path / "run.yaml").write_text("task: sentiment\n")
    line = refused("train", "translation", "--config", tmp_path / "run.yaml")
    assert "run.yaml, line 1: the options are of sentiment, not of translation" in line


def parsed(*argv):
    argv = [str(word) for word in argv]
    config = read_run_file(Path(argv[argv.index("--config") + 1])) if "--config" in argv else None
    return command_parser(argv, config).parse_args(argv)


def test_flags_count_more_than_a_file(tmp_path):
    from dlkit.cli.flags import parsed_hparams, read_options, run_options

    (tmp_path / "run.yaml").write_text(
        "task: forecasting\ndata: a.csv\nreading:\n  columns: {y: sales, ds: day}\n  quotes: false\n"
        "  column_names: [a, b]\n"
        "hyperparameters:\n  learning_rate: 1e-3\n  quantile_levels: [0.1, 0.5]\n  future_covariates: 7\n  wide: true\n"
        "  epochs: 4\n"
        "run:\n  save: model\n  checkpoint_every: 10m\n  keep_examples: false\n  resume: auto\n"
    )
    given = parsed("train", "forecasting", "--config", tmp_path / "run.yaml", "--epochs", 5, "--column", "y=price")
    hparams = parsed_hparams(given, find_task("forecasting"))
    assert hparams == {
        "learning_rate": 1e-3, "quantile_levels": (0.1, 0.5), "future_covariates": "7", "wide": True, "epochs": 5,
    }  # fmt: skip
    assert given.data == "a.csv"
    reading = read_options(given)
    assert reading["columns"] == {"y": "price", "ds": "day"}
    assert reading["quotes"] is False
    assert reading["column_names"] == ["a", "b"]
    run = run_options(given, find_task("forecasting")())
    assert run["save"] == "model"
    assert run["strategy"] == "auto"
    assert run["checkpoint_every"] == "10m"
    assert run["keep_examples"] is False
    assert run["resume"] == "auto"
    assert parsed("check", "forecasting", "--config", tmp_path / "run.yaml").data == "a.csv"


def test_tasks_of_small_operations_take_all_cores_unless_told_otherwise():
    from dlkit.cli.flags import run_options

    task = find_task("language_model")()
    assert run_options(parsed("train", "language_model"), task)["strategy"] == "auto:cores"
    assert run_options(parsed("train", "language_model", "--strategy", "one"), task)["strategy"] == "one"


def test_a_model_has_its_options_beside_it_and_they_are_read_as_they_were(sentiment_model):
    found = read_run_file(sentiment_model / CONFIG_FILE)
    assert found.task == "sentiment"
    assert found.data is found.validation is None  # the built-in sample
    task = dlkit.load(sentiment_model)
    assert type(task)(**found.hyperparameters).hparams == task.hparams
    assert found.run["save"] == str(sentiment_model)
    assert not {"resume", "overwrite"} & set(found.run)


@pytest.mark.parametrize("task", task_names())
def test_all_options_of_all_tasks_are_read_as_they_were_written(task, tmp_path):
    hparams = find_task(task)().hparams
    reading = {"columns": {"a": "b c"}, "column_names": ["x", "y"], "data_dir": None, "delimiter": ";", "quotes": None}
    run = {"save": "m", "strategy": "auto", "worker_timeout": 3.0, "checkpoint_every": "10m", "tensorboard": None}
    RunFile(task, "~/a.csv", ["b.csv", "c.csv"], reading, hparams, {**run, "resume": True}).write(tmp_path)
    found = read_run_file(tmp_path / CONFIG_FILE)
    assert found == RunFile(task, "~/a.csv", ["b.csv", "c.csv"], {**reading, "column_names": ("x", "y")}, hparams, run)
    assert find_task(task)(**found.hyperparameters).hparams == hparams


def test_a_file_of_options_holds_no_password_and_says_what_it_cannot_name():
    address = "https://me:secret@host.org/a/b.csv?sig=secret#x"
    reading = {"data_dir": Path("here"), "columns": {"text": np.str_("review")}}
    run = {"strategy": object(), "save": "m", "worker_timeout": np.float64(3), "callbacks": [object()]}
    text = RunFile("sentiment", address, {"text": ["a"]}, reading, {}, run).text()
    assert "data_dir: here" in text and "text: review" in text and "worker_timeout: 3.0" in text
    assert "secret" not in text
    assert "data: https://host.org/a/b.csv\n" in text
    assert "in memory: dict" in text
    assert "Not saved, because they are Python objects: strategy, callbacks" in text
    assert "data: null" in RunFile("sentiment", SampleData(text=["a"])).text()


@pytest.mark.slow
def test_a_run_is_repeated_by_its_file_alone(tmp_path, monkeypatch, reviews):
    monkeypatch.chdir(tmp_path)
    shutil.copy(reviews, "a.csv")
    flags = ["--no-character-ngrams", "--epochs", "1", "--batch-size", "16", "--seed", "7", "--quotes"]
    assert main(["train", "sentiment", "--data", "a.csv", "--save", "m", *flags]) == 0
    first = dlkit.load("m")
    shutil.copy(Path("m") / CONFIG_FILE, "run.yaml")
    shutil.rmtree("m")
    assert main(["train", "--config", "run.yaml"]) == 0
    second = dlkit.load("m")
    assert (Path("m") / CONFIG_FILE).read_bytes() == Path("run.yaml").read_bytes()
    assert second.history_ == first.history_
    for left, right in zip(first.stages_.network.weights, second.stages_.network.weights, strict=True):
        assert left.numpy().tobytes() == right.numpy().tobytes()
    assert main(["train", "--config", "run.yaml"]) == 2  # not over the model
    assert main(["train", "--config", "run.yaml", "--resume"]) == 0


# Short output, and what a model is.


def test_quiet_prints_results_and_errors_alone(capfd, sentiment_model, tmp_path):
    shutil.copytree(sentiment_model, tmp_path / "model")
    capfd.readouterr()
    resume = ["train", "sentiment", "--epochs", "3", "--save", str(tmp_path / "model"), "--resume"]
    assert main([*resume, "--quiet"]) == 0
    printed = capfd.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == ["3", "saved:"]
    assert printed.err == ""
    assert main(["evaluate", "nowhere", "--data", "x", "--quiet"]) == 2
    assert capfd.readouterr().err.startswith("error: ")


def test_info_tells_what_a_model_is_without_tensorflow(run, sentiment_model, tmp_path):
    found = json.loads(run("info", sentiment_model, "--json"))
    task = dlkit.load(sentiment_model)
    assert found["task"] == "sentiment"
    assert found["labels"] == 2
    assert found["rows"] == task.fingerprint_["rows"]
    assert found["best_epoch"] == task.best_epoch_["epoch"]
    assert found["history"]["val_accuracy"] == max(task.history_["val_accuracy"])
    assert found["hyperparameters"] == {"epochs": 3}
    assert found["bytes"] == sum(file.stat().st_size for file in sentiment_model.glob("stages-*/*"))
    printed = run("info", sentiment_model)
    assert re.search(r"hyperparameters: +epochs 3\n", printed)
    assert CONFIG_FILE in printed
    script = f"import sys; from dlkit.cli.main import main; main(['info', {str(sentiment_model)!r}]); "
    done = subprocess.run([sys.executable, "-c", f"{script}assert 'tensorflow' not in sys.modules"], check=False)
    assert done.returncode == 0


COMPLETED = """
source {script}
try() {{
    COMP_WORDS=("$@"); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); COMPREPLY=()
    _shtab_dlkit dlkit "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
    echo "${{COMPREPLY[*]}}"
}}
try dlkit tr
try dlkit train se
try dlkit train sentiment --vocab
try dlkit train sentiment --tokenizer ""
try dlkit check forecasting --season
try dlkit evaluate --label
"""


def test_a_shell_completes_commands_tasks_flags_and_choices(run, tmp_path):
    pytest.importorskip("shtab")
    for shell in ("zsh", "fish"):
        assert "vocabulary-size" in run("completion", shell)
    (tmp_path / "dlkit.bash").write_text(run("completion", "bash"))
    if shutil.which("bash") is None:
        pytest.skip("there is no bash to try the script in")
    script = COMPLETED.format(script=tmp_path / "dlkit.bash")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "train",
        "sentiment",
        "--vocabulary-file --vocabulary-size",
        "auto words characters wordpiece",
        "--season-length",
        "--label-map",
    ]


def test_completion_names_its_extra(refused, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "[completion]" in refused("completion", "bash")


def test_a_command_line_without_words_names_no_configuration():
    assert config_path([]) is None
    assert str(config_path(["--seed", "1", "--config", "a.yaml"])) == "a.yaml"
    assert str(config_path(["--config=b.yaml"])) == "b.yaml"
