"""A process that fits and answers again and again keeps nothing of the runs before."""

import json
import subprocess
import sys

import pytest

from dlkit.tasks import task_names

FITS = 5

# In a process of its own: what other tests keep alive would be counted. Objects are counted rather than bytes, where
# a leaked run shows at once: the rows of the samples are a few hundred kB among hundreds of MB.
SCRIPT = """
import gc, json, sys
from pathlib import Path
from dlkit.lazy import keras
from dlkit.tasks import find_task

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

kind = find_task(sys.argv[1])
samples = kind.samples()
train = {name: values[:96] for name, values in samples["train"].items()}
one = {name: samples["test"][name][0] for name in kind.inputs}

def count():
    from dlkit.training.store import Store
    from tensorflow.python.framework.func_graph import FuncGraph  # where TensorFlow keeps it; nothing public names it

    alive = gc.get_objects()
    kinds = {"stores": Store, "networks": keras.Model, "optimizers": keras.optimizers.Optimizer, "graphs": FuncGraph}
    counted = {name: sum(issubclass(type(o), kind) for o in alive) for name, kind in kinds.items()}
    return {**counted, "objects": len(alive)}

counts, task = [], kind(epochs=1, batch_size=32)
for number in range(int(sys.argv[2])):
    if number % 2:
        task = kind(epochs=1, batch_size=32)  # as in a loop over hparams
    task.fit(train, verbose=0)
    counts.append(count())
answered = []
for number in range(300):
    task.predict(one)
    if number in (99, 299):
        gc.collect()
        answered.append((len(gc.get_objects()), resident()))
print(json.dumps({"fits": counts, "predicts": answered}))
"""


@pytest.fixture(scope="module", params=task_names())
def counted(request):
    done = subprocess.run([sys.executable, "-c", SCRIPT, request.param, str(FITS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_fit_leaves_nothing_of_the_one_before(counted):
    third, last = counted["fits"][2], counted["fits"][-1]
    for name in ("stores", "networks", "optimizers", "graphs"):
        assert last[name] <= third[name], (name, counted["fits"])
    # TensorFlow keeps a few small objects of each function that its graphs call in Python.
    assert last["objects"] - third["objects"] < 200 * (FITS - 3), counted["fits"]


@pytest.mark.slow
def test_answers_leave_nothing(counted):
    (objects, resident), (objects_after, resident_after) = counted["predicts"]
    assert objects_after - objects < 100
    assert resident_after <= 1.01 * resident
