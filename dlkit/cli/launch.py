"""The workers of one training on this machine: started together, their output told apart, and ended together."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from dlkit.child_process import child_environment, python_command
from dlkit.errors import INTERRUPTED, PREEMPTED, USER_ERROR, DlkitError
from dlkit.model_folder import INDEX_FILE, RUN_INDEX_FILE

PROGRAM = tuple(python_command("-m", "dlkit"))
GRACE_SECONDS = 30.0  # seconds that the others have to end by themselves after the first failure
KILL_AFTER_SECONDS = 10.0  # seconds from SIGTERM to SIGKILL
REPEAT_SECONDS = (
    1.0  # seconds; signals closer together are one: `timeout` sends its own to the process and to its group
)
POLL_SECONDS = 0.05  # seconds between two looks at the workers
FINAL_CODES = (USER_ERROR, INTERRUPTED, PREEMPTED)  # exit codes that a restart would not change or that were asked for
PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def launch(
    argv: list[str],
    workers: int,
    restarts: int = 0,
    *,
    grace: float = GRACE_SECONDS,
    pin: bool = False,
    program: Sequence[str] = PROGRAM,
) -> int:
    """Runs one command in several worker processes that know one another by `TF_CONFIG`, and waits for them.

    Their lines go to stdout and stderr behind the worker's number. SIGINT and SIGTERM go on to every worker once; a
    second one, a second or more later, kills them. On Linux the workers end with this process, however it ends.
    Must be called in the main thread: signals come there, and Linux ties the workers to the thread that started them.

    Args:
        argv: `train TASK ...`; `--strategy multiworker` is added where it names no strategy.
        workers: how many, 1 or more.
        restarts: how often all are started anew after a failure, with `--resume` where the run can be resumed. Not
            after exit code 2 (an error to be cured), 130 or 143 (stopped on purpose).
        grace: seconds that the others have to end by themselves when one has failed; then they get SIGTERM, and 10
            seconds later SIGKILL.
        pin: give each worker its share of the cores.
        program: the command that takes argv.

    Returns:
        0, or the exit code of the first worker that failed, 128 + the number for a signal. After SIGINT 130; after
        SIGTERM 143 if all that failed ended with 143.

    Raises:
        DlkitError: the command cannot be launched or restarted so.
    """
    _check(argv, workers, restarts, grace, pin)
    if _value(argv, "--strategy") is None:
        argv = [*argv, "--strategy", "multiworker"]
    before = _stamp(argv)
    given = argv
    with _signals() as received:
        for restart in range(restarts + 1):
            if restart:
                argv, start = _again(given, before)
                say(f"restart {restart} of {restarts}: from {start}")
            codes = _run([*program, *argv], workers, grace, pin, received)
            code = _exit_code(codes, received)
            if not code or code in FINAL_CODES or received:
                break
    return code


def _check(argv: list[str], workers: int, restarts: int, grace: float, pin: bool) -> None:
    example = "Example: dlkit launch --workers 2 -- train sentiment --save model."
    if os.name != "posix":
        raise DlkitError("launch needs Linux or macOS. Elsewhere, start each worker with its own TF_CONFIG.")
    if not argv:
        raise DlkitError(f"launch needs the command of its workers after --. Received none. {example}")
    if argv[0] != "train":
        raise DlkitError(f"the workers' command must be `train`. Received: {argv[0]!r}. {example}")
    if workers < 1:
        raise DlkitError(f"--workers must be 1 or more. Received: {workers}.")
    if restarts < 0:
        raise DlkitError(f"--restarts must be 0 or more. Received: {restarts}.")
    if not 0 <= grace < math.inf:
        raise DlkitError(f"--grace must be 0 seconds or more. Received: {grace:g}.")
    if restarts and not _value(argv, "--save"):
        raise DlkitError(
            "--restarts needs checkpoints, but the command has no --save. Add --save FOLDER after --, or leave out "
            "--restarts."
        )
    if pin and not hasattr(os, "sched_setaffinity"):
        raise DlkitError("--pin: this system cannot pin a process to CPU cores. Leave it out.")


def _value(argv: list[str], flag: str) -> str | None:
    """What a flag is given in argv; the last one counts, as it does for argparse."""
    value = None
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, rest = word.partition("=")
        if name == flag:
            value = rest if equals else following
    return value


def _stamp(argv: list[str]) -> list[tuple[int, int]]:
    """Tells one version of what was saved from another, by its indices; empty where there is none."""
    stamps = []
    for name in (RUN_INDEX_FILE, INDEX_FILE):
        with contextlib.suppress(OSError):
            facts = (Path(_value(argv, "--save") or "") / name).stat()
            stamps.append((facts.st_ino, facts.st_mtime_ns))
    return stamps


def _again(argv: list[str], before: list[tuple[int, int]]) -> tuple[list[str], str]:
    """The command of a restart, and where it starts."""
    now = _stamp(argv)
    # The index from before the launch is of the model that --overwrite replaces: not the run to go on with.
    if not now or (now == before and _value(argv, "--resume") is None):
        return argv, "the start, as there is no checkpoint yet"
    if _value(argv, "--resume") == "auto":
        return argv, "the last checkpoint"
    kept = [word for word in argv if word not in ("--overwrite", "--resume")]
    return [*kept, "--resume"], "the last checkpoint"


def _exit_code(codes: list[int], received: list[int]) -> int:
    if codes and received[:1] == [signal.SIGINT]:
        return INTERRUPTED
    if codes and received:
        return next((code for code in codes if code != PREEMPTED), PREEMPTED)
    return codes[0] if codes else 0


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of ending: the first, and the next that was suggest as another."""
    received: list[int] = []
    first = math.inf

    def receive(number: int, frame: Any) -> None:
        nonlocal first
        if not received:
            first = time.monotonic()
        if not received or time.monotonic() - first >= REPEAT_SECONDS:
            received.append(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(command: list[str], workers: int, grace: float, pin: bool, received: list[int]) -> list[int]:
    """Starts the workers and waits for them. Returns the exit codes other than 0, in the order in which they came."""
    processes: list[subprocess.Popen] = []
    readers = []
    try:
        for index, environment in enumerate(worker_environments(workers)):
            # All before the first reader: a fork among threads is not safe.
            processes.append(
                subprocess.Popen(
                    command,
                    env={**environment, "PYTHONUNBUFFERED": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    process_group=0,  # Ctrl-C reaches the launcher only, which passes it on
                    preexec_fn=_preparation(_share(index, workers) if pin else None),
                )
            )
        for index, process in enumerate(processes):
            for pipe, stream in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                readers.append(threading.Thread(target=forward, args=(pipe, stream, index), daemon=True))
                readers[-1].start()
        codes = _attend(processes, grace, received)
        for reader in readers:
            reader.join()
        return codes
    finally:
        for process in processes:
            if process.poll() is None:
                _kill_group(process)
                process.wait()


def worker_environments(count: int) -> list[dict[str, str]]:
    """The environment of each of `count` processes on this machine that train together: this one's, with TF_CONFIG."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in _free_ports(count)]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(count)]
    return [child_environment(TF_CONFIG=json.dumps(task)) for task in tasks]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:  # all open at once, so that all differ
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _share(index: int, workers: int) -> set[int]:
    """The cores of a worker: no two have one in common, unless there are fewer cores than workers."""
    cores = sorted(os.sched_getaffinity(0))
    start, stop = index * len(cores) // workers, (index + 1) * len(cores) // workers
    return set(cores[start : max(stop, start + 1)])


def _preparation(cores: set[int] | None) -> Callable[[], None]:
    """What a worker does before its program starts. The library is loaded here: a child after a fork should not."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    return functools.partial(_prepare, os.getpid(), prctl, cores)


def _prepare(parent: int, prctl: Callable[..., int] | None, cores: set[int] | None) -> None:
    if prctl:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # it ended before the line above
            os._exit(128 + signal.SIGKILL)
    if cores:
        os.sched_setaffinity(0, cores)


def _attend(processes: list[subprocess.Popen], grace: float, received: list[int]) -> list[int]:
    """Waits until all have ended, and sees to it that they do when one has failed."""
    running = dict(enumerate(processes))
    codes: list[int] = []
    told = 0  # the signal that all have got
    limit = math.inf
    while running:
        for index, process in list(running.items()):
            if process.poll() is not None:
                del running[index]
                _kill_group(process)  # what it started and left
                if process.returncode:
                    codes.append(_code(process.returncode))
                    say(f"worker {index} {_ending(process.returncode)}")
        now = time.monotonic()
        if received and not told:
            told = received[0]
            _send(running, told)
        elif len(received) > 1 or (now >= limit and told == signal.SIGTERM):
            for process in running.values():
                _kill_group(process)
        elif now >= limit:
            say(
                f"still running after {grace:g} s, sending SIGTERM to: "
                f"{', '.join(f'worker {index}' for index in running)}"
            )
            told, limit = signal.SIGTERM, now + KILL_AFTER_SECONDS
            _send(running, told)
        elif codes and limit == math.inf:
            limit = now + grace
        if running:
            time.sleep(POLL_SECONDS)
    return codes


def _code(returned: int) -> int:
    return returned if returned > 0 else 128 - returned


def _ending(returned: int) -> str:
    if returned > 0:
        return f"ended with exit code {returned}"
    try:
        return f"was killed by {signal.Signals(-returned).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-returned}"


def _send(running: dict[int, subprocess.Popen], number: int) -> None:
    for process in running.values():
        process.send_signal(number)


def _kill_group(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: the latter for a group of the dead
        os.killpg(process.pid, signal.SIGKILL)


LINE_END = re.compile(rb"(\r*\n|\r+(?=[^\r\n]))")

_writing = threading.Lock()


def forward(pipe: IO[bytes], stream: Any, index: int) -> None:
    """Passes on what comes from a worker's pipe, until it ends, behind the worker's number."""
    for line in _lines(pipe):
        _write(stream, b"[%d] %s\n" % (index, line))


def _lines(pipe: Any) -> Iterator[bytes]:
    """The lines of a pipe as they come. A carriage return ends one too, as progress bars use it."""
    rest = b""
    while chunk := pipe.read1(1 << 16):
        *done, rest = LINE_END.split(rest + chunk)
        for line, end in zip(done[::2], done[1::2], strict=True):
            if line or end.endswith(b"\n"):
                yield line
    if rest.rstrip(b"\r"):
        yield rest.rstrip(b"\r")


def say(line: str) -> None:
    """Prints a line of the launcher's own on stderr."""
    _write(sys.stderr, f"{line}\n".encode())


def _write(stream: Any, line: bytes) -> None:
    """Writes a line whole. Where nobody reads any more (`| head`), the training goes on unseen."""
    with _writing:
        try:
            stream.buffer.write(line)
            stream.buffer.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
