"""Workers are started, told apart, ended and started anew; small programs stand in for the training."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

LAUNCHER = """
import json, sys
from dlkit.cli import launch
launch.STOP = 0.3
code = launch.launch(**json.loads(sys.argv[1]))
assert "tensorflow" not in sys.modules
sys.exit(code)
"""
WORKER = """
import json, os, signal, sys, time
cluster = json.loads(os.environ["TF_CONFIG"])
index = cluster["task"]["index"]
"""
COUNT_SIGNALS = """
got = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: got.append(number))
print("ready")
while not got:
    time.sleep(0.01)
time.sleep(0.5)
print(*map(int, got))
sys.exit(128 + got[0])
"""
MODEL = {"argv": ["train", "task", "--overwrite", "--save=model"]}


@pytest.fixture
def started(tmp_path):
    """Starts a launcher of stand-in workers in a process group of its own, as a shell does."""
    launchers = []

    def started(worker, argv=("train", "task"), workers=2, **options):
        program = [sys.executable, "-S", "-c", WORKER + worker]
        given = {"argv": list(argv), "workers": workers, "program": program, **options}
        command = [sys.executable, "-c", LAUNCHER, json.dumps(given)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        launchers.append(subprocess.Popen(command, **pipes, process_group=0, cwd=tmp_path, env=env))
        return launchers[-1]

    yield started
    for launcher in launchers:
        launcher.kill()
        launcher.communicate()


@pytest.fixture
def ended(started):
    """Runs stand-in workers to their end; gives the exit code and the lines of stdout and of stderr."""

    def ended(worker, **options):
        return outcome(started(worker, **options))

    return ended


def outcome(launcher):
    printed = [text.decode(errors="replace").split("\n") for text in launcher.communicate(timeout=25)]
    assert [lines.pop() for lines in printed] == ["", ""]
    return launcher.returncode, *printed


def first_lines(launcher, count=2):
    """The first line of each worker."""
    return by_worker(launcher.stdout.readline().decode().rstrip("\n") for _ in range(count))


def by_worker(lines):
    """Each worker's lines, without the prefix."""
    told = {}
    for line in lines:
        prefix = re.match(r"\[(\d+)\] ", line)
        assert prefix, line
        told.setdefault(int(prefix[1]), []).append(line[prefix.end() :])
    return told


def gone(pid, seconds=5.0):
    """Whether a process ends within some seconds. One that nobody has waited for has ended too."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if state.stdout.strip()[:1] in ("", "Z"):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("workers", [1, 3])
def test_each_worker_knows_the_cluster_and_its_place(ended, workers):
    tell = 'print(json.dumps([cluster, sys.argv[1:], os.environ["PYTHONUNBUFFERED"]]))'
    code, out, err = ended(tell, workers=workers)
    assert (code, err) == (0, [])
    told = {index: json.loads(line) for index, (line,) in by_worker(out).items()}
    assert sorted(told) == list(range(workers))
    addresses = told[0][0]["cluster"]["worker"]
    assert len(set(addresses)) == workers
    assert all(re.fullmatch(r"127\.0\.0\.1:\d{4,5}", address) for address in addresses)
    for index, (config, argv, unbuffered) in told.items():
        assert config == {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        assert argv == ["train", "task", "--strategy", "multiworker"]
        assert unbuffered == "1"


@pytest.mark.parametrize("strategy", [["--strategy", "mirrored"], ["--strategy=mirrored"]])
def test_a_strategy_that_was_given_stays(ended, strategy):
    _, out, _ = ended("print(*sys.argv[1:])", argv=["train", "task", *strategy], workers=1)
    assert out == [f"[0] train task {' '.join(strategy)}"]


def test_lines_are_whole_and_in_order(ended):
    write = """
for n in range(60):
    for part in (f"{n} ", "x" * 70_000, " end\\n"):
        os.write(1, part.encode()), os.write(2, part.encode())
"""
    code, *printed = ended(write, workers=3)
    assert code == 0
    for lines in printed:
        told = by_worker(lines)
        assert sorted(told) == [0, 1, 2]
        for own in told.values():
            assert own == [f"{n} {'x' * 70_000} end" for n in range(60)]


def test_lines_come_at_once_and_carriage_returns_end_them(started, tmp_path):
    write = r"""
os.write(1, b"first\r10%\r\r20%\r\nblank:\n\n\xff")
end = time.monotonic() + 5
while not os.path.exists("read") and time.monotonic() < end:
    time.sleep(0.01)
os.write(1, b"\rno end")
"""
    launcher = started(write, workers=1)
    lines = [launcher.stdout.readline() for _ in range(5)]
    assert lines == [b"[0] first\n", b"[0] 10%\n", b"[0] 20%\n", b"[0] blank:\n", b"[0] \n"]
    (tmp_path / "read").touch()
    assert outcome(launcher) == (0, ["[0] \N{REPLACEMENT CHARACTER}", "[0] no end"], [])


def test_output_that_nobody_reads_does_not_stop_the_workers(started, tmp_path):
    write = 'print("first")\nfor n in range(5000): print("x" * 100)\nopen("done", "w").close()'
    launcher = started(write, workers=1)
    launcher.stdout.readline()
    launcher.stdout.close()
    assert launcher.wait(timeout=20) == 0
    assert (tmp_path / "done").exists()


def test_the_others_may_end_by_themselves_after_a_failure(ended):
    code, out, err = ended(
        'signal.signal(signal.SIGTERM, lambda *_: print("SIGTERM"))\ntime.sleep(index * 0.5)\nsys.exit(3 + index)'
    )
    assert (code, out, err) == (3, [], ["worker 0 ended with exit code 3", "worker 1 ended with exit code 4"])


def test_others_that_do_not_end_are_stopped_then_killed(ended):
    code, out, err = ended(
        """
if index == 1:
    os.kill(os.getpid(), signal.SIGKILL)
if index == 2:
    signal.signal(signal.SIGTERM, lambda *_: print("goes on"))
end = time.monotonic() + 20
while time.monotonic() < end:
    time.sleep(0.1)
""",
        workers=3,
        grace=1.0,  # in which the handler is surely set
    )
    assert code == 128 + 9
    assert out == ["[2] goes on"]
    assert err == [
        "worker 1 was killed by SIGKILL",
        "still running after 1 s, sending SIGTERM to: worker 0, worker 2",
        "worker 0 was killed by SIGTERM",
        "worker 2 was killed by SIGKILL",
    ]


def test_a_failed_run_is_resumed(ended):
    code, out, err = ended(
        """
print(cluster["cluster"]["worker"], *sys.argv[1:])
runs = len([line for line in open("runs")]) if os.path.exists("runs") else 0
time.sleep(0.3)
if index == 0:
    open("runs", "a").write("run\\n")
    os.makedirs("model", exist_ok=True)
    open("model/dlkit.json.partial", "w").close()
    os.replace("model/dlkit.json.partial", "model/dlkit.json")
time.sleep(0.3)
sys.exit(1 if runs < 2 else 0)
""",
        restarts=3,
        **MODEL,
    )
    assert code == 0
    assert [line for line in err if "restart" in line] == [
        "restart 1 of 3: from the last checkpoint",
        "restart 2 of 3: from the last checkpoint",
    ]
    for lines in by_worker(out).values():
        ports, argv = zip(*(line.split("] ") for line in lines), strict=True)
        assert len(set(ports)) == 3
        resumed = "train task --save=model --strategy multiworker --resume"
        assert argv == ("train task --overwrite --save=model --strategy multiworker", resumed, resumed)


@pytest.mark.parametrize(
    ("saved", "flag", "start"),
    [
        (False, "--seed=1", "the start"),
        (False, "--resume", "the start"),
        (True, "--overwrite", "the start"),  # what is replaced is another run
        (True, "--resume", "the last checkpoint"),
        (False, "--resume=auto", "the start"),
        (True, "--resume=auto", "the last checkpoint"),
    ],
)
def test_a_restart_before_the_first_checkpoint(ended, tmp_path, saved, flag, start):
    (tmp_path / "model").mkdir()
    if saved:
        (tmp_path / "model" / "dlkit.json").touch()
    argv = ["train", "task", "--strategy=s", "--save", "model", flag]
    code, out, err = ended("print(*sys.argv[1:]); sys.exit(1)", argv=argv, workers=1, restarts=1)
    assert (code, out) == (1, [f"[0] {' '.join(argv)}"] * 2)
    assert err[1].startswith(f"restart 1 of 1: from {start}")


@pytest.mark.parametrize("code", [2, 130, 143])
def test_no_restart_where_it_would_not_help(ended, code):
    ended_with, _, err = ended(f"sys.exit({code})", workers=1, restarts=2, **MODEL)
    assert ended_with == code
    assert err == [f"worker 0 ended with exit code {code}"]


def test_restarts_are_counted(ended):
    code, out, err = ended('print("run"); sys.exit(5)', workers=1, restarts=2, **MODEL)
    assert (code, len(out), sum("restart" in line for line in err)) == (5, 3, 2)


@pytest.mark.parametrize("to_group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_each_worker_once(started, number, to_group):
    launcher = started(COUNT_SIGNALS, restarts=1, **MODEL)
    assert first_lines(launcher) == {0: ["ready"], 1: ["ready"]}
    if to_group:  # as Ctrl-C in a terminal, and as `timeout`, which signals the process as well
        os.killpg(launcher.pid, number)
        time.sleep(0.1)
    launcher.send_signal(number)
    code, out, err = outcome(launcher)
    assert code == 128 + number
    assert by_worker(out) == {0: [str(int(number))], 1: [str(int(number))]}
    assert not [line for line in err if "restart" in line]


def test_after_sigterm_only_143_says_that_all_saved(started):
    end = 'signal.signal(15, lambda *_: sys.exit([7, 143][index]))\nprint("ready")\ntime.sleep(20)'
    launcher = started(end, restarts=1, **MODEL)
    first_lines(launcher)
    launcher.terminate()
    code, _, err = outcome(launcher)
    assert code == 7
    assert not [line for line in err if "restart" in line]


def test_a_second_ctrl_c_kills(started):
    launcher = started('signal.signal(2, lambda *_: print("saving"))\nprint("ready")\nwhile True: time.sleep(20)')
    first_lines(launcher)
    launcher.send_signal(signal.SIGINT)
    assert first_lines(launcher) == {0: ["saving"], 1: ["saving"]}
    time.sleep(1.1)
    launcher.send_signal(signal.SIGINT)
    code, _, err = outcome(launcher)
    assert (code, sorted(err)) == (130, ["worker 0 was killed by SIGKILL", "worker 1 was killed by SIGKILL"])


def test_what_a_worker_started_ends_with_it(ended):
    leave = """
if not (child := os.fork()):
    time.sleep(60)
print(child)
os._exit(0)
"""
    code, (line,), _ = ended(leave, workers=1)
    assert code == 0
    assert gone(int(line.split()[1]))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties processes to the one that started them")
def test_no_worker_survives_a_killed_launcher(started):
    launcher = started("print(os.getpid(), flush=True)\nfor n in (2, 15, 1): signal.signal(n, 1)\ntime.sleep(60)")
    pids = [int(pid) for (pid,) in first_lines(launcher).values()]
    try:
        launcher.kill()
        assert all(gone(pid) for pid in pids)
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process to CPU cores")
def test_pinned_workers_share_the_cores(ended):
    code, out, _ = ended("print(*os.sched_getaffinity(0))", pin=True)
    shares = [{int(core) for core in line.split()} for (line,) in by_worker(out).values()]
    cores = os.sched_getaffinity(0)
    assert code == 0
    assert set.union(*shares) == cores
    if len(cores) > 1:
        assert not shares[0] & shares[1]


def test_the_command_runs_dlkit_and_ends_with_its_code():
    words = ["launch", "--workers", "2", "--", "train", "sentiment", "--column", "text"]
    done = subprocess.run([sys.executable, "-m", "dlkit", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for index in (0, 1):
        assert f"[{index}] error: --column must be NAME=COLUMN" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_shows_an_example():
    command = [sys.executable, "-m", "dlkit", "launch", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Example: dlkit launch --workers 2" in done.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--workers 2", "after --. Received none. Example: dlkit launch"),
        ("--workers 2 --", "after --. Received none. Example: dlkit launch"),
        ("--workers 2 train sentiment", "must have -- before the workers' command. Received: train sentiment."),
        ("--workers 2 -- predict model", "must be `train`. Received: 'predict'."),
        ("--workers 0 -- train sentiment", "--workers must be 1 or more. Received: 0."),
        ("--workers 2 --restarts -1 -- train sentiment --save m", "--restarts must be 0 or more. Received: -1."),
        ("--workers 2 --grace nan -- train sentiment", "--grace must be 0 seconds or more. Received: nan."),
        ("--workers 2 --restarts 1 -- train sentiment", "Add --save FOLDER after --"),
        ("--workers 2 --restart 1 -- train sentiment", "Did you mean --restarts?"),
        ("-- train sentiment", "required: --workers"),
    ],
)
def test_bad_use_is_refused_before_anything_runs(refused, words, line):
    assert line in refused("launch", *words.split())
