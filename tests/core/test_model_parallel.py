"""The recipe of model parallelism, run as the script that it is: logical devices are made before TensorFlow starts."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "apps" / "model_parallel.py"
SMALL = ["--depth", "2", "--width", "32", "--max-tokens", "12", "--batch-size", "16", "--steps", "4"]
# Runs the script, and tells where variables lie and, by TensorFlow's own log, where the run-time put each operation.
WATCHED = """
import importlib.util, sys
from dlkit.lazy import tf

spec = importlib.util.spec_from_file_location("model_parallel", sys.argv[1])
recipe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipe)
kept, make_step = [], recipe.make_step
recipe.make_step = lambda first, second, *more: kept.extend((first, second)) or make_step(first, second, *more)
tf.debugging.set_log_device_placement(True)
code = recipe.main(sys.argv[2:])
for number, half in enumerate(kept):
    for kind, variables in (("weight", half.network.variables), ("slot", half.optimizer.variables)):
        for variable in variables:
            print("LIES", number, kind, variable.value.device, variable.value.shape.num_elements())
try:
    recipe.show_budget(*kept, 0.1)
except ValueError as error:
    print("REFUSED", error)
sys.exit(code)
"""


def run(*command):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.stderr == "", done.stderr
    return done


@pytest.fixture(scope="module")
def watched():
    return run("-c", WATCHED, SCRIPT, *SMALL, "--budget-mb", "0.6")


def agrees(done):
    assert done.returncode == 0, done.stdout
    losses, weights = map(float, re.search(r"difference: losses (\S+), weights (\S+) ", done.stdout).groups())
    assert losses <= 1e-5
    assert weights <= 1e-5
    assert len(set(re.findall(r"loss (\S+)", done.stdout))) == 4  # it trains


@pytest.mark.slow
def test_losses_and_weights_are_those_of_one_device(watched):
    agrees(watched)


@pytest.mark.slow
def test_so_they_are_with_micro_batches():
    agrees(run(SCRIPT, *SMALL, "--micro-batches", "2"))


@pytest.mark.slow
def test_each_device_holds_the_weights_and_slots_of_its_half(watched):
    held, counted = Counter(), Counter()
    for number, kind, device, elements in re.findall(
        r"^LIES (\d) (\w+) \S+device:CPU:(\d) (\d+)$", watched.stdout, re.M
    ):
        assert device == number, kind
        held[number, kind] += int(elements)
        counted[number] += 4 * int(elements)  # float32; each optimizer's step count is an int64
    for number in "01":
        assert held[number, "slot"] == 2 * held[number, "weight"] + 2  # Adam's, with the step count and the rate
        shown = re.search(rf"^CPU:{number}: ([\d,]+) bytes of weights", watched.stdout, re.M).group(1)
        assert int(shown.replace(",", "")) == counted[number] + 4


@pytest.mark.slow
def test_each_half_runs_on_its_device_forward_and_backward(watched):
    # Names of the training on one device, in the same log, start with those of the network that holds both halves.
    line = r"^(gradient_tape/)?(first|second)_half\S*: \(\S*(?:MatMul|Einsum)\S*\): \S+device:CPU:(\d)$"
    places = {(half, bool(back), device) for back, half, device in re.findall(line, watched.stdout, re.M)}
    assert places == {("first", False, "0"), ("first", True, "0"), ("second", False, "1"), ("second", True, "1")}


@pytest.mark.slow
def test_the_budget_is_of_one_device(watched):
    assert re.search(r"^[\d.]+ MB in all: over the 0.6 MB of one device, while each half fits$", watched.stdout, re.M)
    assert re.search(r"^REFUSED [\d.]+ MB on CPU:0 is over the 0.1 MB of --budget-mb\. ", watched.stdout, re.M)


def test_help_does_not_wait_for_tensorflow():
    code = "import runpy, sys; sys.argv[1:] = ['--help']\ntry: runpy.run_path(sys.path.pop(), run_name='__main__')\n"
    code += "except SystemExit: print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    done = run("-c", f"import sys; sys.path.append({str(SCRIPT)!r})\n{code}")
    assert "--micro-batches" in done.stdout
    assert done.stdout.endswith("False False\n")
