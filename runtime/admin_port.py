"""Where a process shows its health and its metrics. Settings have it, so it imports nothing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

LOOPBACK = "127.0.0.1"


class AdminPort(NamedTuple):
    """Where a process shows itself.

    Attributes:
        port: served there; 0 is any free one, None none.
        host: the address to bind; others than this machine reach it only where it is not the loopback.
        folder: where the note for `saga health` is written; None: nowhere.

    """

    port: int | None = None
    host: str = LOOPBACK
    folder: Path | None = None


UNSEEN = AdminPort()
