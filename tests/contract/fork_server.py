"""Fork server: starts processes that have already imported TensorFlow, and nothing else.

Starting Python and importing TensorFlow takes five seconds, and the checks of a task need several processes. The server
has imported only TensorFlow, so that no process has dlkit unless it imports it itself.
"""

import atexit
import json
import os
import subprocess
import tempfile
from pathlib import Path

from dlkit.child_process import child_environment, python_command

SERVER = """
import json, os, runpy, sys, traceback
import tensorflow

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    code = 1
    try:
        for number, name in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
            os.dup2(os.open(name, os.O_RDWR), number)
        os.chdir(job["cwd"])
        os.environ.clear()
        os.environ.update(job["env"])
        sys.argv = job["argv"]
        if job["module"]:
            runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, os.path.dirname(sys.argv[0]))
            runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
"""
_server = []


def run(argv, *, module="", cwd=".", env=None):
    """Run a script, `argv[0]`, or a module with the arguments `argv`, like `subprocess.run` with captured text."""
    if not _server or _server[0].poll() is not None:
        quiet = child_environment(TF_CPP_MIN_LOG_LEVEL="3")
        command = python_command("-c", SERVER)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        _server[:] = [subprocess.Popen(command, env=quiet, text=True, **pipes)]
        atexit.register(_server[0].kill)
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        out.touch()
        err.touch()
        argv = [module or str(argv[0]), *map(str, argv if module else argv[1:])]
        job = {"argv": argv, "module": module, "cwd": str(cwd), "env": dict(env or os.environ)}
        _server[0].stdin.write(json.dumps({**job, "out": str(out), "err": str(err)}) + "\n")
        _server[0].stdin.flush()
        code = int(_server[0].stdout.readline())
        return subprocess.CompletedProcess(argv, code, out.read_text(errors="replace"), err.read_text(errors="replace"))


def run_or_fork(command, **options):
    """Run a command like `subprocess.run`; the proof of an export is forked."""
    if command[1:4] != ["-P", "-m", "dlkit.serving.prove"]:
        return subprocess.run(command, **options)
    return run(command[4:], module="dlkit.serving.prove", env=options["env"])
