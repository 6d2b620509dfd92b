"""Databases put in the place of others by a process that may be killed at any moment: nothing is lost, or half done."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.replacing import check_finished, prepared_path, replace_all
from kafka_saga.runtime.store_lock import StoreLock

REPLACE = """
import os, signal, sys
from contextlib import ExitStack
from pathlib import Path
from kafka_saga.runtime.replacing import prepared_path, replace_all
from kafka_saga.runtime.store_lock import StoreLock

suffix, left, *paths = sys.argv[1], int(sys.argv[2]), *map(Path, sys.argv[3:])
with ExitStack() as stack:
    for path in paths:
        lock = StoreLock(path)
        lock.acquire("the test")
        stack.callback(lock.release)
        prepared_path(path).write_text(f"new {path.name}")

    def before_each_change(event, arguments):
        global left
        if event in {"os.rename", "os.remove"} or (event == "open" and arguments[1] == "w"):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(before_each_change)
    replace_all(paths, suffix)
"""


def replaced(suffix: str, killed_at: int, *paths: Path) -> int:
    command = [sys.executable, "-c", REPLACE, suffix, str(killed_at), *map(str, paths)]
    return subprocess.run(command, check=False, timeout=60).returncode


@pytest.mark.processes
def test_killed_before_any_change_and_run_again_it_ends_with_everything_new_and_everything_old_kept(
    tmp_path: Path,
) -> None:
    """The second run takes the same locks as the first: what the first has left must not keep it from that."""
    killed_at, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        killed_at += 1
        folder = tmp_path / str(killed_at)
        folder.mkdir()
        paths = [folder / "a.db", folder / "b.db"]
        for path in paths:
            path.write_text(f"old {path.name}")
            path.with_name(f"{path.name}-wal").write_text(f"log of {path.name}")
        code = replaced(".before-1", killed_at, *paths)
        if code == -signal.SIGKILL:
            assert replaced(".before-2", 0, *paths) == 0, killed_at
        for path in paths:
            check_finished(path)
            old = next(kept for kept in (folder / f"{path.name}.before-{n}" for n in (1, 2)) if kept.exists())
            assert path.read_text() == f"new {path.name}"
            assert old.read_text() == f"old {path.name}"
            assert old.with_name(f"{old.name}-wal").read_text() == f"log of {path.name}", killed_at
        names = {path.name.partition(".db")[2] for path in folder.iterdir()}
        assert names <= {"", ".lock", *(f".before-{n}{part}" for n in (1, 2) for part in ("", "-wal"))}
    assert code == 0
    assert killed_at > 8, "it was killed between all of its changes"


@pytest.mark.processes
def test_a_set_that_is_half_replaced_is_not_opened(tmp_path: Path) -> None:
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    for path in paths:
        path.write_text("old")
    assert replaced(".before-1", 5, *paths) == -signal.SIGKILL
    assert [path.read_text() if path.exists() else "" for path in paths].count("old") == 1
    for path in paths:
        with pytest.raises(StoreRefusedError, match="was interrupted: run the same `saga restore` again"):
            check_finished(path)


def test_what_is_replaced_twice_within_a_moment_is_kept_twice_and_an_empty_file_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    lock = StoreLock(path)
    lock.acquire("the test")  # makes an empty file
    lock.release()
    kept: list[str] = []
    for content in ("first", "second", "third"):
        prepared_path(path).write_text(content)
        kept += [old.name for old in replace_all([path], ".before-1")]
    assert kept == ["a.db.before-1", "a.db.before-1+"]
    assert [(tmp_path / name).read_text() for name in kept] == ["first", "second"]
    assert path.read_text() == "third"
