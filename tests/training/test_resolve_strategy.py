"""From a word to a strategy: what each word gives, and what is said where the machine has not what it asks for."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import tensorflow as tf

import dlkit
from dlkit.errors import DataError, DlkitError, HparamError
from dlkit.training import strategies
from dlkit.training.strategies import resolve_strategy

TWO = {"worker": ["a:1", "b:1"]}
DEVICES = r"This machine has: CPU:0\."


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No variable names workers or a TPU; GPUs, if there are any, are not seen."""
    for name in ("TF_CONFIG", "TPU_NAME", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    listed = tf.config.list_physical_devices

    def without_accelerators(kind=None):
        return [device for device in listed(kind) if device.device_type in ("CPU", "XLA_CPU")]

    monkeypatch.setattr(tf.config, "list_physical_devices", without_accelerators)


@pytest.fixture
def workers(monkeypatch):
    """Stands for a strategy over workers, made from what the variables name."""

    def over_workers(source):
        named = (
            strategies._slurm_cluster if source == "slurm" else tf.distribute.cluster_resolver.TFConfigClusterResolver
        )
        return SimpleNamespace(num_replicas_in_sync=2, cluster_resolver=named())

    monkeypatch.setattr(strategies, "_over_workers", over_workers)
    monkeypatch.setattr(strategies, "_wait_for_peers", lambda source, worker_timeout: None)  # they are made up


@pytest.fixture
def set_threads(monkeypatch):
    """The numbers of threads that are set, on a machine of four cores where none are."""
    found = []
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", found.append)
    monkeypatch.setattr(tf.config.threading, "set_inter_op_parallelism_threads", found.append)
    return found


def name_workers(monkeypatch, cluster, kind, index):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}))


def test_auto_with_nothing_to_share_is_one_device():
    place = resolve_strategy("auto")
    assert place.strategy is tf.distribute.get_strategy()
    assert place.reason == 'one device, CPU:0 (strategy="auto" found no other device)'
    assert (place.worker, place.workers, place.is_chief) == (0, 1, True)
    assert resolve_strategy("one").strategy is place.strategy


def test_mirrored_over_two_logical_cpus_is_one_object():
    place = resolve_strategy("mirrored:2")
    assert isinstance(place.strategy, tf.distribute.MirroredStrategy)
    assert place.strategy.num_replicas_in_sync == 2
    assert place.reason == "2 logical CPUs of this machine"
    assert resolve_strategy("mirrored:2").strategy is place.strategy


@pytest.mark.parametrize("word", ["", "two", "auto:2", "one:1", "multiworker:2", "tpu:", "Mirrored", 3, None])
def test_wrong_words_list_the_right_ones(word):
    names, received = re.escape(strategies.STRATEGY_NAMES), re.escape(repr(word))
    message = rf"one of {names}, or a tf\.distribute\.Strategy\. Received: {received}"
    with pytest.raises(HparamError, match=message):
        resolve_strategy(word)


@pytest.mark.parametrize(("word", "parts", "threads"), [("cores", 4, 1), ("cores:2", 2, 2), ("cores:8", 8, 1)])
def test_cores_share_a_batch_and_the_threads(word, parts, threads, set_threads, monkeypatch):
    place = resolve_strategy(word)
    assert (place.parts, place.strategy, set_threads) == (parts, tf.distribute.get_strategy(), [threads, parts])
    assert place.reason == f"{parts} parts of each batch at once, on 4 cores"
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", str(threads))
    assert resolve_strategy(word).parts == parts
    assert len(set_threads) == 2  # nothing is changed that is so already


@pytest.mark.parametrize(("rows", "parts", "threads"), [(1, 1, []), (2, 2, [2, 2]), (3, 3, [1, 3]), (64, 4, [1, 4])])
@pytest.mark.parametrize("word", ["cores", "auto:cores"])
def test_cores_have_a_row_each(word, rows, parts, threads, set_threads):
    place = resolve_strategy(word, batch_size=rows)
    assert (place.parts, set_threads) == (parts, threads)
    assert ('(strategy="auto:cores" found no other device)' in place.reason) == (word == "auto:cores")


def test_cores_need_a_process_that_has_not_started(monkeypatch):
    tf.constant(1)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    with pytest.raises(DlkitError, match=r"TensorFlow has started with another number.*TF_NUM_INTRAOP_THREADS=1"):
        resolve_strategy("cores")
    assert resolve_strategy("auto:cores").parts == 1  # it was not asked for


@pytest.mark.parametrize(
    "word", ["cores:1", "cores:x", "mirrored:1", "mirrored:0", "mirrored:", "mirrored:x", "mirrored:-2", "mirrored:2.0"]
)
def test_mirrored_needs_a_number_of_devices(word):
    with pytest.raises(HparamError, match=f"at least 2. Received: '{word}'"):
        resolve_strategy(word)


def test_mirrored_without_gpus_says_what_there_is():
    with pytest.raises(DlkitError, match=rf"needs several GPUs\. {DEVICES} mirrored:2 trains on two logical CPUs"):
        resolve_strategy("mirrored")


def test_more_logical_cpus_cannot_be_had_once_tensorflow_has_started():
    assert len(tf.config.list_logical_devices("CPU")) == 2  # this starts it
    with pytest.raises(DlkitError, match=r"started with 2 CPU devices.* cannot create 99 now.*logical_cpus\(99\)"):
        resolve_strategy("mirrored:99")


@pytest.mark.parametrize(
    ("word", "names"), [("mirrored", ("GPU:0", "GPU:1", "GPU:2")), ("mirrored:2", ("GPU:0", "GPU:1"))]
)
def test_gpus_go_before_cpus(word, names, monkeypatch):
    gpus = [SimpleNamespace(name=f"/physical_device:GPU:{number}", device_type="GPU") for number in range(3)]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind="GPU": gpus if kind == "GPU" else [])
    asked = []
    monkeypatch.setattr(strategies, "_mirrored_over", lambda names: asked.append(names) or tf.distribute.get_strategy())
    assert resolve_strategy(word).reason == f"{len(names)} GPUs of this machine"
    assert 'strategy="auto" found 3 GPUs' in resolve_strategy("auto").reason
    assert asked == [names, ("GPU:0", "GPU:1", "GPU:2")]
    with pytest.raises(DlkitError, match=r"needs 4 GPUs\. This machine has: GPU:0, GPU:1, GPU:2\."):
        resolve_strategy("mirrored:4")


@pytest.mark.parametrize("word", ["auto", "multiworker"])
@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"cluster": {}}', '{"cluster": {"worker": 2}}', "7"])
def test_a_broken_tf_config_is_shown(word, text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(DlkitError, match=rf"TF_CONFIG must be JSON like .*Received: {re.escape(repr(text))}"):
        resolve_strategy(word)


@pytest.mark.parametrize(
    ("cluster", "task", "said"),
    [
        ({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": 5}, "5, must be from 0 to 1: there are 2"),
        ({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": -1}, "-1, must be from 0 to 1"),
        ({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": "0"}, "'0', must be from 0 to 1"),
        ({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": True}, "True, must be from 0 to 1"),
        ({"worker": ["a:1", "b:2"]}, {"type": "chief", "index": 0}, "the cluster lists no 'chief'"),
        ({"worker": ["a:1", "b:2"]}, {"type": [], "index": 0}, "unhashable"),
        ({"worker": ["a:1", "b:2"]}, {"type": "worker"}, "there is no 'index'"),
        ({"worker": ["a:1", "b:2"]}, [], "list indices"),
        ({"worker": ["a", "b:2"]}, {"type": "worker", "index": 0}, "the worker must be a list of host:port"),
        ({"worker": ["a:70000", "b:2"]}, {"type": "worker", "index": 0}, "a list of host:port"),
        ({"worker": [1, 2]}, {"type": "worker", "index": 0}, "a list of host:port"),
        ({"worker": "a:1"}, {"type": "worker", "index": 0}, "a list of host:port"),
        ({"chief": [None], "worker": ["b:2"]}, {"type": "worker", "index": 0}, "the chief must be a list of host:port"),
    ],
)
def test_a_tf_config_of_other_values_is_refused(cluster, task, said, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    with pytest.raises(DlkitError) as raised:
        resolve_strategy("multiworker")
    assert said in str(raised.value) and "TF_CONFIG must be JSON like" in str(raised.value)


@pytest.mark.parametrize("name", ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS"])
def test_variables_of_slurm_that_are_no_numbers(name, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv(name, "two")
    with pytest.raises(DlkitError, match="Slurm's variables: not whole numbers"):
        resolve_strategy("multiworker")


def test_multiworker_without_workers_says_how_to_name_them():
    with pytest.raises(DlkitError, match=rf"TF_CONFIG, or .* srun\. {DEVICES} `dlkit launch --workers 2"):
        resolve_strategy("multiworker")


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "position"),
    [
        (TWO, "worker", 0, (0, 2)),
        (TWO, "worker", 1, (1, 2)),
        ({"chief": ["c:1"], **TWO}, "chief", 0, (0, 3)),
        ({"chief": ["c:1"], **TWO}, "worker", 0, (1, 3)),
        ({"chief": ["c:1"], **TWO}, "worker", 1, (2, 3)),
    ],
)
def test_tf_config_says_which_worker_this_is(cluster, kind, index, position, workers, monkeypatch):
    name_workers(monkeypatch, cluster, kind, index)
    for word, why in (("multiworker", ""), ("auto", f' (strategy="auto" found {position[1]} workers in TF_CONFIG)')):
        place = resolve_strategy(word)
        assert (place.worker, place.workers) == position
        assert place.is_chief == (position[0] == 0)
        assert place.reason == f"worker {position[0]} of {position[1]}, named by TF_CONFIG{why}"


def test_auto_passes_over_a_single_worker(workers, monkeypatch):
    name_workers(monkeypatch, {"worker": ["a:1"]}, "worker", 0)
    assert resolve_strategy("auto").reason.startswith("one device")


def name_slurm_tasks(monkeypatch, rank):
    slurm = {"STEP_NUM_TASKS": 2, "PROCID": rank, "STEP_NODELIST": "node[1-2]", "STEP_TASKS_PER_NODE": "1(x2)"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))


@pytest.mark.parametrize("rank", [0, 1])
def test_slurm_says_which_worker_this_is(rank, workers, monkeypatch):
    name_slurm_tasks(monkeypatch, rank)
    place = resolve_strategy("auto")
    assert (place.worker, place.workers, place.is_chief) == (rank, 2, rank == 0)
    assert (
        place.reason == f'worker {rank} of 2, named by Slurm (strategy="auto" found 2 workers in SLURM_STEP_NUM_TASKS)'
    )
    assert resolve_strategy("multiworker").reason == f"worker {rank} of 2, named by Slurm"


def test_several_workers_must_be_asked_for_at_the_start(monkeypatch):
    tf.config.list_logical_devices()  # starts TensorFlow, if nothing has
    name_workers(monkeypatch, {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "worker", 0)
    with pytest.raises(DlkitError, match=r"before TensorFlow runs any operation.*Call `fit` first"):
        resolve_strategy("multiworker")


def test_strategies_that_keras_cannot_train_under_are_refused():
    kinds = tf.distribute.experimental.CentralStorageStrategy, tf.distribute.ParameterServerStrategy
    for strategy in map(object.__new__, kinds):
        with pytest.raises(HparamError, match=rf"Keras 3 cannot train under {type(strategy).__name__}"):
            resolve_strategy(strategy)


def test_a_strategy_may_be_given():
    place = resolve_strategy(tf.distribute.OneDeviceStrategy("CPU:1"))
    assert (place.reason, place.workers) == ("OneDeviceStrategy with 1 replicas, as given", 1)
    given = resolve_strategy("mirrored:2").strategy
    assert resolve_strategy(given).strategy is given


def test_slurm_needs_no_gpus(monkeypatch):
    tf.config.list_logical_devices()  # starts TensorFlow, if nothing has
    name_slurm_tasks(monkeypatch, 0)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DlkitError, match="before TensorFlow runs any operation"):  # what comes after the reading
        resolve_strategy("multiworker")


TPU = """
import sys, time
from dlkit.errors import DlkitError
from dlkit.lazy import load_tensorflow
from dlkit.training.strategies import resolve_strategy
load_tensorflow()
begun = time.perf_counter()
try:
    resolve_strategy(sys.argv[1])
except DlkitError as error:
    print(f"{time.perf_counter() - begun:.1f} s: {error}")
import tensorflow as tf
assert tf.reduce_sum(tf.ones(3)) == 3  # goes on
"""


@pytest.mark.parametrize(
    ("word", "place"), [pytest.param("tpu", "here", marks=pytest.mark.slow), ("tpu:no-such-one", "no-such-one")]
)
def test_a_tpu_that_is_not_there_is_said_soon(word, place):
    # In a process of its own: looking for one makes TensorFlow forget its devices.
    ended = subprocess.run([sys.executable, "-c", TPU, word], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    seconds, message = ended.stdout.strip().split(" s: ")
    assert re.fullmatch(rf"there is no TPU {place}: .* {DEVICES}", message)
    assert float(seconds) < 20  # measured 2


def texts(rows):
    return {"text": [f"word {row}" for row in range(rows)], "label": ["a", "b"] * (rows // 2) + ["a"] * (rows % 2)}


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_a_batch_has_two_rows_for_each_replica(batch_size):
    task = dlkit.SentimentClassifier(batch_size=batch_size, epochs=1)
    with pytest.raises(HparamError, match=rf"`batch_size` must be at least 4, .* 2 replicas. Received: {batch_size}\."):
        task.fit(texts(20), strategy="mirrored:2", verbose=0)


def test_every_replica_needs_a_row_to_validate_on():
    task = dlkit.SentimentClassifier(batch_size=4, epochs=1)
    with pytest.raises(DataError, match="1 validation rows are fewer than the 2 replicas"):
        task.fit(texts(20), texts(1), strategy="mirrored:2", verbose=0)


def test_fit_says_where_it_trains(capsys):
    for verbose, printed in ((2, "training on 2 logical CPUs of this machine\n"), (0, "")):
        with pytest.raises(HparamError):  # what comes after it: this asks for no training
            dlkit.SentimentClassifier(batch_size=2).fit(texts(20), strategy="mirrored:2", verbose=verbose)
        assert capsys.readouterr().out == printed


@pytest.mark.slow
def test_two_processes_with_the_variables_of_slurm_train_together():
    slurm = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_TASKS_PER_NODE": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "dlkit", "train", "sentiment", "--epochs", "1"],
            env={**os.environ, **slurm, "SLURM_PROCID": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    (first, errors), (second, _) = (process.communicate(timeout=300) for process in started)
    assert [process.returncode for process in started] == [0, 0], errors
    assert (
        "training on worker 0 of 2, named by Slurm (--strategy auto found 2 workers in SLURM_STEP_NUM_TASKS)" in first
    )
    assert "best epoch 1" in first
    assert not second  # the first one speaks for both
