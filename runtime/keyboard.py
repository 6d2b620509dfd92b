"""Whether a KeyboardInterrupt is somebody's Ctrl-C, or an exception like any other that user code raises (R57)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_handled = False


@contextmanager
def handled() -> Iterator[None]:
    """While the process takes Ctrl-C by a handler of its own: only user code raises KeyboardInterrupt meanwhile."""
    global _handled  # noqa: PLW0603 -- signals belong to the process as a whole
    _handled = True
    try:
        yield
    finally:
        _handled = False


def is_pressed(error: BaseException) -> bool:
    """Whether `error` must go on up, because a person wants the program to end."""
    return isinstance(error, KeyboardInterrupt) and not _handled
