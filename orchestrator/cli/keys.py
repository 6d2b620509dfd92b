"""Single keys on a terminal, read as they are pressed; the terminal is as it was afterwards, however it goes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

_LEAVING = frozenset(b"qQ\x04")  # Ctrl-D too: it is the end of what somebody types


@contextmanager
def leave_on_q() -> Iterator[asyncio.Event]:
    """An event that is set when somebody presses q, or asks this process to end; never where nobody can press a key."""
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, leaving.set)
    terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
    if terminal is None or os.tcgetpgrp(terminal) != os.getpgrp():  # in the background keys are somebody else's
        yield leaving
        return

    def pressed() -> None:
        keys = os.read(terminal, 64)
        if not keys or _LEAVING.intersection(keys):
            loop.remove_reader(terminal)
            leaving.set()

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)  # Ctrl-C still interrupts
    loop.add_reader(terminal, pressed)
    try:
        yield leaving
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
