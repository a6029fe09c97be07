"""Distribution strategies: from a name on the command line to a `tf.distribute.Strategy`."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dlkit.errors import DlkitError, HparamError
from dlkit.lazy import tf
from dlkit.options import option
from dlkit.reading_errors import as_data_error
from dlkit.training.rendezvous import wait_for_workers

STRATEGY_NAMES = "auto, auto:cores, one, cores, cores:N, mirrored, mirrored:N, multiworker, tpu, tpu:NAME"


@dataclass(frozen=True)
class Distribution:
    """The devices and processes that a run trains on.

    Attributes:
        strategy: the strategy that Keras trains under.
        reason: which devices these are and why they were chosen, for messages.
        worker: the number of this process among the workers; 0 is the chief, the only one that writes files.
        workers: number of processes that train together.
        parts: number of parts of a batch that the cores of one CPU compute side by side.
    """

    strategy: tf.distribute.Strategy
    reason: str
    worker: int = 0
    workers: int = 1
    parts: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files and prints."""
        return self.worker == 0


def resolve_strategy(strategy: Any, worker_timeout: float = 120.0, batch_size: int | None = None) -> Distribution:
    """Resolve the name of a distribution strategy, or wrap a given one.

    Args:
        strategy: a `tf.distribute.Strategy`, or one of `auto` (what is available), `auto:cores` (the same, and `cores`
            where that is only a CPU), `one` (one device), `cores` (each core of this CPU computes a part of each
            batch), `cores:N` (N parts), `mirrored` (all GPUs of this machine), `mirrored:N` (N GPUs or, without any, N
            logical CPUs), `multiworker` (the processes that `TF_CONFIG` or Slurm name), `tpu` (the TPU of this machine,
            or `TPU_NAME`), `tpu:NAME`.
        worker_timeout: maximum time to wait for other workers, in seconds, before TensorFlow connects them.
        batch_size: number of rows of a batch, and so the maximum number of parts of `cores`; None for any.

    Raises:
        HparamError: an unknown name, or a strategy that Keras cannot train under.
        DlkitError: the requested devices are not available (the message lists those that are), or workers do not
            answer.
    """
    if not 0 < worker_timeout < math.inf:
        raise HparamError(
            f"{option('worker_timeout')} must be a positive number of seconds. Received: {worker_timeout!r}."
        )
    distribution = (
        _from_name(strategy, worker_timeout, batch_size) if isinstance(strategy, str) else _from_strategy(strategy)
    )
    if distribution.strategy.num_replicas_in_sync > 1:
        from dlkit.training.keras_repair import repair_keras

        repair_keras()
    return distribution


def _from_name(strategy: str, worker_timeout: float, batch_size: int | None) -> Distribution:
    word, colon, detail = strategy.partition(":")
    if word == "auto" and (detail == "cores" or not colon):
        return _auto(
            worker_timeout, (lambda: _cores(0, batch_size, is_chosen=False)) if colon else _one_device, strategy
        )
    if word == "one" and not colon:
        return _one_device()
    if word == "cores":
        return _cores(_parse_count(strategy, detail) if colon else 0, batch_size)
    if word == "mirrored":
        return _mirrored(_parse_count(strategy, detail) if colon else 0)
    if word == "multiworker" and not colon:
        return _multiworker(worker_timeout)
    if word == "tpu" and (detail or not colon):
        return _tpu(detail)
    raise HparamError(
        f"{option('strategy')} must be one of {STRATEGY_NAMES}, or a tf.distribute.Strategy. Received: {strategy!r}."
    )


def _one_device() -> Distribution:
    return Distribution(_default_strategy(), f"one device, {_device_names(_list_devices())[0]}")


def _cores(count: int, batch_size: int | None, *, is_chosen: bool = True) -> Distribution:
    """Compute `count` parts of each batch side by side, each with its share of the threads.

    Small operations gain little from a second thread, and lose by waiting for it. Without `is_chosen`, one device takes
    the place of what is not possible in this process.
    """
    cores = len(os.sched_getaffinity(0))
    count = count or min(cores, batch_size or cores)
    if count == 1:
        return _one_device()
    threads = max(cores // count, 1)
    own = tf.config.threading.get_intra_op_parallelism_threads() or os.environ.get("TF_NUM_INTRAOP_THREADS")
    if str(own) != str(threads):
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(count)
        except RuntimeError as error:
            if not is_chosen:
                return _one_device()
            raise DlkitError(
                f"{option('strategy', f'cores:{count}')} needs {threads} threads per operation, and TensorFlow has "
                "started with another number in this process. Call `fit` before it runs any operation, or set the "
                f"environment variables TF_NUM_INTRAOP_THREADS={threads} and TF_NUM_INTEROP_THREADS={count}."
            ) from error
    return Distribution(_default_strategy(), f"{count} parts of each batch at once, on {cores} cores", parts=count)


def _auto(worker_timeout: float, otherwise: Callable[[], Distribution], name: str) -> Distribution:
    if tf.config.list_physical_devices("TPU") or os.environ.get("TPU_NAME"):
        return _with_reason(_tpu(""), f"{option('strategy', name)} found a TPU")
    for variable, found in (("TF_CONFIG", _tf_config_workers()), ("SLURM_STEP_NUM_TASKS", _slurm_workers())):
        if found > 1:
            return _with_reason(
                _multiworker(worker_timeout), f"{option('strategy', name)} found {found} workers in {variable}"
            )
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) > 1:
        return _with_reason(_mirrored(0), f"{option('strategy', name)} found {len(gpus)} GPUs")
    make = _one_device if gpus else otherwise
    return _with_reason(make(), f"{option('strategy', name)} found no other device")


def _with_reason(distribution: Distribution, why: str) -> Distribution:
    return dataclasses.replace(distribution, reason=f"{distribution.reason} ({why})")


def _from_strategy(strategy: Any) -> Distribution:
    if not isinstance(strategy, tf.distribute.Strategy):
        raise HparamError(
            f"{option('strategy')} must be one of {STRATEGY_NAMES}, or a tf.distribute.Strategy. "
            f"Received: {strategy!r}."
        )
    if isinstance(
        strategy, tf.distribute.experimental.CentralStorageStrategy | tf.distribute.experimental.ParameterServerStrategy
    ):
        raise HparamError(
            f"Keras 3 cannot train under {type(strategy).__name__}. Use MirroredStrategy, "
            "MultiWorkerMirroredStrategy or TPUStrategy."
        )
    worker, workers = 0, 1
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        worker, workers = _find_position(strategy)
    count = strategy.num_replicas_in_sync
    return Distribution(strategy, f"{type(strategy).__name__} with {count} replicas, as given", worker, workers)


# One object each for the life of the process: collectives of a second one would be taken for the first one's.
@functools.cache
def _default_strategy() -> tf.distribute.Strategy:
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored_over(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(list(devices))


@functools.cache
def _over_workers(source: str) -> tf.distribute.Strategy:
    resolver = _slurm_cluster() if source == "slurm" else None
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise DlkitError(
            "training with several workers must be set up before TensorFlow runs any operation in this process. "
            "Call `fit` first, or make tf.distribute.MultiWorkerMirroredStrategy() at the start and pass it as "
            f"{option('strategy')}."
        ) from error


def _slurm_cluster() -> tf.distribute.cluster_resolver.ClusterResolver:
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.cluster_resolver.SlurmClusterResolver()
    # The resolver gives each task a share of the node's GPUs, which it counts by nvidia-smi. Without GPUs it gets
    # fictitious ones to number the tasks by; the cluster that it finds is then used without them.
    found = tf.distribute.cluster_resolver.SlurmClusterResolver(
        gpus_per_node=_slurm_workers(), gpus_per_task=1, auto_set_gpu=False
    )
    cluster = found.cluster_spec()
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster, task_type=found.task_type, task_id=found.task_id, num_accelerators={"GPU": 0}, rpc_layer="grpc"
    )


def _mirrored(count: int) -> Distribution:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if max(count, 2) > len(gpus):
            raise DlkitError(
                f"{option('strategy', f'mirrored:{count}' if count else 'mirrored')} needs {max(count, 2)} GPUs. "
                f"{_list_available()}"
            )
        names = tuple(f"GPU:{number}" for number in range(count or len(gpus)))
        return Distribution(_mirrored_over(names), f"{len(names)} GPUs of this machine")
    if not count:
        raise DlkitError(
            f"{option('strategy', 'mirrored')} needs several GPUs. {_list_available()} mirrored:2 trains on two "
            "logical CPUs."
        )
    logical_cpus(count)
    names = tuple(f"CPU:{number}" for number in range(count))
    return Distribution(_mirrored_over(names), f"{count} logical CPUs of this machine")


def logical_cpus(count: int) -> None:
    """Make TensorFlow show this many CPU devices, which share the machine's cores.

    Raises:
        DlkitError: TensorFlow has started with fewer, and cannot change that.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    shown = tf.config.get_logical_device_configuration(cpu)
    if shown and len(shown) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        raise DlkitError(
            f"TensorFlow has started with {len(tf.config.list_logical_devices('CPU'))} CPU devices in this process "
            f"and cannot create {count} now. Create them before it runs any operation: call `fit` first, or "
            f"dlkit.training.strategies.logical_cpus({count}) at the start."
        ) from error


def _multiworker(worker_timeout: float) -> Distribution:
    if _tf_config_workers():
        source, origin = "tf_config", "TF_CONFIG"
    elif _slurm_workers():
        source, origin = "slurm", "Slurm"
    else:
        raise DlkitError(
            f"{option('strategy', 'multiworker')} needs the addresses of the workers: set the environment variable "
            f"TF_CONFIG, or start it with Slurm's srun. {_list_available()} `dlkit launch --workers 2 -- train ...` "
            "starts two on this machine."
        )
    if not _has_started():  # else they are connected, or it is too late to
        _wait_for_peers(source, worker_timeout)
    strategy = _over_workers(source)
    worker, workers = _find_position(strategy)
    return Distribution(strategy, f"worker {worker} of {workers}, named by {origin}", worker, workers)


def _has_started() -> bool:
    """Return whether TensorFlow has run an operation in this process, after which workers cannot be added."""
    from tensorflow.python.eager import context

    return context.context()._context_handle is not None


def _wait_for_peers(source: str, worker_timeout: float) -> None:
    """Wait for the other workers at the addresses that TensorFlow is about to connect."""
    resolver = _slurm_cluster() if source == "slurm" else tf.distribute.cluster_resolver.TFConfigClusterResolver()
    cluster = resolver.cluster_spec().as_dict()
    chiefs, workers = cluster.get("chief", []), cluster.get("worker", [])
    own = int(resolver.task_id or 0) + (len(chiefs) if resolver.task_type == "worker" else 0)
    if len(chiefs) + len(workers) > 1 and resolver.task_type in ("chief", "worker"):
        wait_for_workers([*chiefs, *workers], own, worker_timeout)


def _find_position(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Return the number of this worker and the number of workers."""
    resolver = strategy.cluster_resolver
    cluster = resolver.cluster_spec().as_dict() if resolver else {}
    chiefs, workers = len(cluster.get("chief", [])), len(cluster.get("worker", []))
    if resolver is None or resolver.task_type in (None, "", "chief"):
        return 0, max(chiefs + workers, 1)
    return chiefs + resolver.task_id, chiefs + workers


def _tf_config_workers() -> int:
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 0
    example = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    cure = f"TF_CONFIG must be JSON like {example}. Received: {text[:500]!r}."
    with as_data_error("TF_CONFIG", "the addresses of the workers", cure, error=DlkitError):
        cluster, task = (json.loads(text)[name] for name in ("cluster", "task"))
        for kind, addresses in cluster.items():
            if not isinstance(addresses, list) or not all(map(_is_address, addresses)):
                raise ValueError(f"the {kind} must be a list of host:port")
        addresses, index = cluster.get(task["type"]), task["index"]
        if not addresses:
            raise ValueError(f"the cluster lists no {task['type']!r}, which is the role of this process")
        if type(index) is not int or not 0 <= index < len(addresses):
            raise ValueError(
                f"the index of this {task['type']}, {index!r}, must be from 0 to {len(addresses) - 1}: there are "
                f"{len(addresses)}"
            )
        return len(cluster.get("chief", [])) + len(cluster["worker"])


def _is_address(text: Any) -> bool:
    port = text.rpartition(":")[2] if isinstance(text, str) else ""
    return port.isdecimal() and 0 < int(port) < 2**16 and len(port) < len(text) - 1


def _slurm_workers() -> int:
    cure = "They are set by srun; start with it, or without these variables."
    with as_data_error("Slurm's variables", "whole numbers", cure, error=DlkitError):
        int(os.environ.get("SLURM_PROCID", "0"))
        return int(os.environ.get("SLURM_STEP_NUM_TASKS", "0")) if "SLURM_PROCID" in os.environ else 0


@functools.cache
def _tpu(name: str) -> Distribution:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name or os.environ.get("TPU_NAME") or "local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:  # the last but one: no such name is found
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DlkitError(f"there is no TPU {name or 'here'}: {reason} {_list_available()}") from error
    return Distribution(strategy, f"a TPU of {strategy.num_replicas_in_sync} cores")


def _parse_count(strategy: str, detail: str) -> int:
    if not detail.isdecimal() or int(detail) < 2:
        word = strategy.partition(":")[0]
        raise HparamError(f"{option('strategy', f'{word}:N')} needs a number, at least 2. Received: {strategy!r}.")
    return int(detail)


def _list_devices() -> list[Any]:
    devices = tf.config.list_physical_devices()
    accelerators = [device for device in devices if device.device_type in ("GPU", "TPU")]
    return accelerators or [device for device in devices if device.device_type == "CPU"]


def _device_names(devices: list[Any]) -> list[str]:
    return [device.name.removeprefix("/physical_device:") for device in devices]


def _list_available() -> str:
    devices = [device for device in tf.config.list_physical_devices() if not device.device_type.startswith("XLA")]
    return f"This machine has: {', '.join(_device_names(devices))}."
