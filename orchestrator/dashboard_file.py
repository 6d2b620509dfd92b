"""`<data dir>/dashboard`: where a dashboard of this data directory is served, for `saga open` in other terminals.

Only a note that a living process holds is believed. Of several dashboards beside one store the first is named.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka_saga.runtime.held_note import HeldNote, read_note

NAME = "dashboard"


@contextmanager
def noted(data_dir: Path, url: str) -> Iterator[bool]:
    """Say in `data_dir` that a dashboard is served at `url`; whether it could be said.

    Who cannot write there serves all the same: `saga open` then needs the setting `http.listen`.
    """
    note = HeldNote(data_dir / NAME)
    try:
        note.take()
    except OSError:
        yield False
        return
    try:
        note.write(url, f"Process {os.getpid()} serves it, and removes this file.")
        yield True
    finally:
        note.remove()


def dashboard_of(data_dir: Path) -> str | None:
    """The address that a living process has noted; None where there is none."""
    note = read_note(data_dir / NAME)
    return note.address if note is not None and note.is_held else None
