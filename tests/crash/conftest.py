from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.fixtures import fragile, own_broker, world

__all__ = ["fragile", "own_broker", "world"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB of the test's own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m,mode=700", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"may not mount a file system here ({mounted.stderr.strip()}); the file size limit stands for it")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def failing_fsync(tmp_path: Path) -> Path:
    """A library that makes fsync fail: see failing_fsync.c."""
    source, library = Path(__file__).with_name("failing_fsync.c"), tmp_path / "failing_fsync.so"
    try:
        built = subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no C compiler here to build the library that makes fsync fail")
    assert built.returncode == 0, built.stderr
    return library
