from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.disks import small_disk
from tests.integration.fixtures import fragile, own_broker, world

__all__ = ["fragile", "own_broker", "small_disk", "world"]


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
