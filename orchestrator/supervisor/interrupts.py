"""Being asked to stop: politely the first time, at once the second."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def on_interrupt(first: Callable[[], None], again: Callable[[], None]) -> None:
    """Call `first` at the first SIGINT, SIGTERM or SIGHUP, and `again` at each one after it."""
    loop = asyncio.get_running_loop()
    asked = False

    def interrupted() -> None:
        nonlocal asked
        (again if asked else first)()
        asked = True

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupted)
