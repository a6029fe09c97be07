"""Who writes into a folder, and when what is written is there: for models, checkpoints and exports alike."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlkit import durable
from dlkit.durable import BusyError, fsync_tree, hold_lock, is_unlocked, write_atomic

HOLD = """
import pathlib, sys, time
from dlkit.durable import held
with held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a lock, and the lock."""
    lock = tmp_path / "model" / "lock"
    env = {**os.environ, "PYTHONPATH": str(Path(durable.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout.readline() == "held\n"
    yield process, lock
    process.kill()
    process.wait()


def test_a_second_holder_is_refused_and_told_by_whom_and_a_kill_lets_go(holder):
    process, lock = holder
    assert not is_unlocked(lock)
    with (
        pytest.raises(BusyError, match=rf"{lock.parent} is being written by process {process.pid} on .*\(-c "),
        hold_lock(lock),
    ):
        pass
    assert lock.exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert is_unlocked(lock)  # although the file is still there
    with hold_lock(lock):
        assert f"process {os.getpid()} " in lock.read_text()
        with pytest.raises(BusyError), hold_lock(lock):  # nor twice in one process
            pass
    assert not lock.exists()


def test_a_folder_that_was_there_or_written_into_stays(tmp_path):
    with hold_lock(tmp_path / "a" / "b" / "lock"):
        (tmp_path / "a" / "made").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "made"]


def test_who_opened_the_lock_before_its_holder_removed_it_takes_a_new_one(tmp_path, monkeypatch):
    lock, took = tmp_path / "lock", []
    real = durable._locked

    def late(descriptor):
        if not took:
            lock.unlink()  # as its holder does, between the opening and the locking
        took.append(descriptor)
        return real(descriptor)

    monkeypatch.setattr(durable, "_locked", late)
    with hold_lock(lock):
        assert len(took) == 2
        assert lock.exists()


def test_a_forked_child_neither_holds_nor_releases_it(tmp_path):
    lock = tmp_path / "lock"
    with hold_lock(lock):
        child = os.fork()
        if not child:
            time.sleep(1)  # longer than the parent
            os._exit(0)
    assert not lock.exists()
    with hold_lock(lock):
        pass
    os.waitpid(child, 0)


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys):
    def none(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(durable, "_locked", none)
    with hold_lock(tmp_path / "lock"):
        pass
    assert f"{tmp_path}: its file system does not support locks (No locks available)" in capsys.readouterr().err
    (tmp_path / "lock").touch()
    assert not is_unlocked(tmp_path / "lock")  # nobody knows: it is left alone


def test_a_file_is_on_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    path, seen = tmp_path / "index", []
    path.write_text("old")
    synced, replaced = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (seen.append(("sync", os.fstat(number).st_ino)), synced(number)))
    monkeypatch.setattr(
        Path, "replace", lambda old, new: (seen.append(("rename", path.read_text())), replaced(old, new))
    )
    write_atomic(path, lambda file: file.write(b"new"))
    file, folder = path.stat().st_ino, tmp_path.stat().st_ino
    assert seen == [("sync", file), ("rename", "old"), ("sync", folder)]
    assert path.read_text() == "new"
    seen.clear()
    fsync_tree(tmp_path)
    assert {number for _, number in seen} == {file, folder, tmp_path.parent.stat().st_ino}


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "index"
    path.write_text("old")

    def fail(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        write_atomic(path, fail)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("index", "old")]
