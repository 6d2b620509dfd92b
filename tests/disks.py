"""Small file systems of a test's own, to be filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mounted(place: Path) -> Iterator[Path]:
    """A file system of 32 MB at `place`, which is made; skips the test where nobody may mount one."""
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m,mode=700", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"may not mount a file system here ({mounted.stderr.strip()})")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB of the test's own."""
    with mounted(tmp_path / "disk") as place:
        yield place


def fill_up(ballast: Path, *, leave: int) -> None:
    """Fill the file system of `ballast` but for `leave` bytes."""
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        with suppress(OSError):
            while os.write(descriptor, bytes(65_536)):
                pass
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - leave)
    finally:
        os.close(descriptor)
