"""The package as the index and pip see it: its name, what it says of itself, what it needs, and what lies inside."""

import ast
import configparser
import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dlkit.version import DISTRIBUTION, __version__, install_hint

ROOT = Path(__file__).parents[2]
NOT_HERE = {"mlflow": "mlflow-skinny", "sklearn": "scikit-learn"}  # distributions of extras, where not installed
# `dlkit` alone, or with extras, where pip would take it for a distribution: there it is somebody else's.
OTHERS = re.compile(r"(?<![\w.-])dlkit\[[a-z]|pip3? install[^\n`]*?[\s\"'](?<![\w./-])dlkit(?![\w/-])")


@pytest.fixture(scope="module")
def config():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def names_of(requirements):
    """The distributions that requirements name, as the index compares them."""
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in lines(requirements)}


def texts():
    folders = ("dlkit", "apps", "benchmarks", "docs", "tests", ".ci")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    paths += [path for path in ROOT.iterdir() if path.is_file()]
    readable = (".py", ".md", ".cfg", ".toml", ".in", "")
    return {path: path.read_text() for path in paths if path.suffix in readable and path != Path(__file__)}


def test_no_hint_installs_the_package_of_others():
    found = texts()
    assert {ROOT / "README.md", ROOT / "Makefile", ROOT / "dlkit/plots.py"} <= found.keys()
    assert [f"{path}: {match[0]}" for path, text in found.items() for match in OTHERS.finditer(text)] == []


@pytest.mark.parametrize("line", ['"dlkit[plots]"', "pip install dlkit", 'pip install -U "dlkit>=1"', "(dlkit[a])"])
def test_a_hint_of_the_other_name_is_found(line):
    assert OTHERS.search(line)
    assert not OTHERS.search(line.replace("dlkit", DISTRIBUTION))


def test_hints_come_from_one_place_and_their_extras_exist(config):
    extras = set(config["options.extras_require"])
    written, asked = [], set()
    for path in [*(ROOT / "dlkit").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        for node in nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.is_relative_to(ROOT / "dlkit"):
                elsewhere = DISTRIBUTION in node.value and path.name != "version.py"
                written += [f"{path}: {node.value}"] if elsewhere else []
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "install_hint" and node.args:
                asked.add(node.args[0].value)
    assert written == []
    assert {"plots", "presets", "samples", "translation", "tensorboard"} <= asked <= extras
    assert config["metadata"]["name"] == DISTRIBUTION
    assert install_hint("plots") == f'pip install "{DISTRIBUTION}[plots]" (in a checkout: pip install ".[plots]")'
    told, _, _ = (ROOT / "docs" / "index.md").read_text().partition("## Your first model")
    assert extras - {"test", "dev"} == set(re.findall(r"^\| `(\w+)` \|", told, re.MULTILINE))


@functools.cache
def nodes(path):
    return list(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imported(path):
    """The packages that a file imports, inside functions too, and those that it names to import them later."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            found |= {node.args[0].value} if called in ("import_module", "find_spec", "_Module") else set()
    return {name.partition(".")[0] for name in found if isinstance(name, str)}


def test_what_the_code_imports_is_declared_and_what_is_declared_is_imported(config):
    packages = {name for path in (ROOT / "dlkit").rglob("*.py") for name in imported(path)}
    packages -= {"dlkit", *sys.stdlib_module_names}
    assert {"keras_hub", "keras_cv", "pyarrow", "yaml"} <= packages
    providers = importlib.metadata.packages_distributions()
    base = names_of(config["options"]["install_requires"])
    extras = {name for line in config["options.extras_require"].values() for name in names_of(line)}
    given = {
        package: {name.lower().replace("_", "-") for name in providers.get(package, [NOT_HERE.get(package, package)])}
        for package in packages
    }
    assert {package: names for package, names in given.items() if not names & (base | extras)} == {}
    assert base - set().union(*given.values()) == {"keras-nlp"}  # KerasHub under its first name: brings in the same


def test_keras_cv_is_imported_by_one_network_alone():
    users = [path.name for path in (ROOT / "dlkit").rglob("*.py") if "keras_cv" in imported(path)]
    assert users == ["yolo_v8.py"]


def test_what_the_index_shows(config):
    metadata = config["metadata"]
    assert metadata["license_expression"] == "Apache-2.0"
    urls = dict(line.split(" = ") for line in lines(metadata["project_urls"]))
    assert {"Homepage", "Source", "Changelog", "Documentation"} <= urls.keys()
    assert all(url.startswith("https://") for url in urls.values())
    classifiers = lines(metadata["classifiers"])
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(classifiers)
    assert "Typing :: Typed" in classifiers
    assert not any(line.startswith("License ::") for line in classifiers)  # the index refuses both
    assert lines(config["options.extras_require"]["cuda"])[0].startswith("tensorflow[and-cuda]")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a source distribution and of the wheel that was made of it."""
    for needed in ("build", "twine"):
        pytest.importorskip(needed, reason=f"needs {needed}: the extra `dev` has it")
    folder = tmp_path_factory.mktemp("dist")
    copied = folder / "checkout"  # setuptools writes into what it builds from
    shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".venv*", ".git", "*.egg-info", "__pycache__"))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, copied]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_wheel_and_source_distribution_are_whole_and_pass_the_index_checks(built):
    wheel, source = next(built.glob("*.whl")), next(built.glob("*.tar.gz"))
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", wheel, source], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "dlkit").rglob("*.py")} <= inside
    assert {"dlkit/py.typed", "dlkit/tasks/sentiment/reviews.csv"} <= inside
    assert not any(name.startswith("tests") for name in inside)
    with tarfile.open(source) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    tracked = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*") if path.is_file()]
    assert {str(path) for path in tracked if "__pycache__" not in path.parts} <= packed
    assert {"Makefile", "pyproject.toml", "README.md", "docs/architecture.md", "apps/sentiment.py"} <= packed


@pytest.mark.slow
def test_the_wheel_in_a_fresh_environment_trains_outside_of_the_checkout(built, tmp_path):
    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True)
    python = fresh / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([*install, next(built.glob("*.whl"))], check=True, cwd=tmp_path, env=env)
    site = next((fresh / "lib").glob("python*/site-packages"))
    # What it needs comes from the environment that runs this, so that nothing heavy is downloaded.
    (site / "heavy.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = run(python, "-c", "import dlkit; print(dlkit.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    version = f"from importlib.metadata import version; print(version('{DISTRIBUTION}'))"
    assert run(python, "-c", version).strip() == __version__
    said = run(fresh / "bin" / "dlkit", "train", "sentiment", "--epochs", "1", "--save", "model")
    assert "saved: model" in said
    answer = run(fresh / "bin" / "dlkit", "predict", "model", "What a cast!", "--json")
    assert '"label"' in answer
