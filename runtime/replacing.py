"""Putting databases in the place of others: all of them or none, as far as their owners can tell, and nothing is lost.

A process may be killed between two files, and a set that is half old and half new would be worse than either. So a
mark stands beside each database while they are replaced, and nobody opens one that has it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from kafka_saga.runtime.backup import sync
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.sqlite import translated_errors

_MARK = ".restore-unfinished"
_PARTS = ("", "-wal", "-shm")


def check_finished(path: Path) -> None:
    """Refuse a database that may be one of a set that was only half replaced.

    Raises:
        StoreRefusedError: a restore of it was interrupted.

    """
    if _mark(path).exists():
        raise StoreRefusedError(f"a restore of {path} was interrupted: run the same `saga restore` again, to its end")


def prepared_path(path: Path) -> Path:
    """Where what shall take the place of `path` is prepared: in the same folder, so that one rename is enough."""
    return path.with_name(f".{path.name}.restoring")


def replace_all(paths: Sequence[Path], suffix: str) -> list[Path]:
    """Put what is prepared for each of `paths` in its place; what was there, under its name with `suffix`.

    It can be done again after it was interrupted, once everything is prepared again.
    """
    for path in paths:
        with translated_errors(path):
            _mark(path).touch(mode=0o600)
            sync(path.parent)
    kept = [old for path in paths for old in _replace(path, suffix)]
    for path in paths:
        with translated_errors(path):
            _mark(path).unlink()
            sync(path.parent)
    return kept


def _replace(path: Path, suffix: str) -> list[Path]:
    """Keep the database at `path` with its log, which belongs to no other file, and put the prepared one there."""
    kept: list[Path] = []
    with translated_errors(path):
        for part in _PARTS:
            old = path.with_name(path.name + part)
            if old.exists():
                aside = path.with_name(f"{path.name}{suffix}{part}")
                _link(old, aside)
                kept += [aside] if not part else []
        sync(path.parent)
        for part in _PARTS[1:]:
            path.with_name(path.name + part).unlink(missing_ok=True)
        prepared_path(path).replace(path)
        sync(path.parent)
    return kept


def _link(old: Path, aside: Path) -> None:
    """A second name for a file; a copy where the file system knows no second names."""
    try:
        os.link(old, aside)
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(old, aside)
        sync(aside)


def _mark(path: Path) -> Path:
    return path.with_name(path.name + _MARK)
