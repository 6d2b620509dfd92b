"""Putting databases in the place of others: all of them or none, as far as their owners can tell, and nothing is lost.

A process may be killed between two files, and a set that is half old and half new would be worse than either. So a
mark stands beside each database while they are replaced, and nobody opens one that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kafka_saga.runtime.backup import sync
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.sqlite import translated_errors

_MARK = ".restore-unfinished"
_LOGS = ("-wal", "-shm")


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


def forget_prepared(paths: Sequence[Path]) -> None:
    """Remove what is prepared for each of `paths`, with its log."""
    for path in paths:
        for part in ("", *_LOGS):
            _beside(prepared_path(path), part).unlink(missing_ok=True)


def replace_all(paths: Sequence[Path], suffix: str) -> list[Path]:
    """Put what is prepared for each of `paths` in its place; what was there, under its name with `suffix`.

    It can be done again after it was interrupted, once everything is prepared again: then what was there at first is
    kept, under the name that it was given then.
    """
    suffixes = [_begin(path, suffix) for path in paths]
    kept = [old for path, suffix in zip(paths, suffixes, strict=True) for old in _replace(path, suffix)]
    for path in paths:
        with translated_errors(path):
            _mark(path).unlink()
            sync(path.parent)
    return kept


def _begin(path: Path, suffix: str) -> str:
    """Mark a database; the suffix of what is kept of it, which the mark remembers."""
    mark = _mark(path)
    with translated_errors(path):
        begun = mark.read_text(encoding="utf-8") if mark.exists() else ""
        if not begun:
            begun = suffix
            while _beside(path, begun).exists():  # of a restore that ended within the same moment
                begun += "+"
            mark.touch(mode=0o600)
            mark.write_text(begun, encoding="utf-8")
            sync(mark)
            sync(path.parent)
    return begun


def _replace(path: Path, suffix: str) -> list[Path]:
    """Move the database at `path` aside, after its log, which belongs to no other file; put the prepared one there."""
    aside = _beside(path, suffix)
    with translated_errors(path):
        if not aside.exists():
            for part in _LOGS:
                if _beside(path, part).exists():
                    _beside(path, part).rename(_beside(aside, part))
            if path.exists() and path.stat().st_size:  # an empty one is what a lock, or a start, has made
                path.rename(aside)
            sync(path.parent)
        for part in _LOGS:
            _beside(path, part).unlink(missing_ok=True)
        prepared_path(path).replace(path)
        sync(path.parent)
    return [aside] if aside.exists() else []


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _mark(path: Path) -> Path:
    return _beside(path, _MARK)
