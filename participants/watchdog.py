"""Says which handler blocks the process, and where it stands, while it still does.

A handler that does not let go of the event loop (`time.sleep`, a library that knows no `await`, SQL without end) holds
up every command of its service, and nothing that runs in the loop can tell. A thread can: it looks now and then at the
main thread's stack. Handlers pay nothing for it, for what runs is found in the frames of those who run it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from traceback import extract_stack, format_list
from types import CodeType, FrameType
from typing import NamedTuple, Self

from kafka_saga.participants.calls import make_call
from kafka_saga.participants.command import Command
from kafka_saga.participants.guard import Guard
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.limits import HANDLER_TIMEOUT_MS, STACK_FRAMES_MAX
from kafka_saga.runtime.telemetry import log, log_subject

_log = log("watchdog")

INTERVAL_MS = 250

_COMMAND_IN: dict[CodeType, Callable[[FrameType], Command]] = {
    Guard._answer.__code__: lambda frame: frame.f_locals["command"],  # noqa: SLF001 -- it is looked at, not called
    Guard._settle.__code__: lambda frame: frame.f_locals["ended"].call.command,  # noqa: SLF001
    make_call.__code__: lambda frame: frame.f_locals["call"].command,
}
"""Who runs users' code, and what for."""


class Seen(NamedTuple):
    """What the main thread is at."""

    command: Command
    at: str
    """The innermost line of the handler's own file; where there is none, the innermost of all."""
    stack: str


class Watchdog(AbstractContextManager["Watchdog"]):
    """Watches the thread that enters it, until it is left."""

    def __init__(self, clock: Clock, *, handler_timeout_ms: int = HANDLER_TIMEOUT_MS) -> None:
        """A handler that blocks for `handler_timeout_ms`, or for as long as it may take itself, is told of, once."""
        self._clock = clock
        self._limit_ms = handler_timeout_ms
        self._thread = 0
        self._left = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._command: Command | None = None  # kept, so that no other can have its place in memory
        self._since_ms = 0
        self._is_told = False

    def __enter__(self) -> Self:
        self._thread = threading.get_ident()
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._watching.join()

    def _watch(self) -> None:
        while not self._left.wait(INTERVAL_MS / 1000):
            self.look(seen(sys._current_frames().get(self._thread)))  # noqa: SLF001 -- there is no other way to ask

    def look(self, found: Seen | None) -> None:
        """Note what the main thread is at now, and tell of it where that has been the same for too long."""
        now_ms = self._clock.monotonic_ms()
        if found is None or found.command is not self._command:
            self._command, self._since_ms, self._is_told = found and found.command, now_ms, False
        elif not self._is_told and now_ms - self._since_ms >= self._allowed_ms(found.command):
            self._is_told = True
            _tell(found, now_ms - self._since_ms)

    def _allowed_ms(self, command: Command) -> int:
        own_ms = command.handler.timeout_ms if command.handler is not None else None
        return min(own_ms or self._limit_ms, self._limit_ms)


def seen(frame: FrameType | None) -> Seen | None:
    """What the thread whose innermost frame is `frame` does for a command; None where it is nothing of a user's."""
    frames = list(_outwards(frame))
    for depth, outer in enumerate(frames):
        command_in = _COMMAND_IN.get(outer.f_code)
        if command_in is not None and depth > 0:
            command = command_in(outer)
            inner = frames[:depth]
            return Seen(command, _place(command, inner), _told(inner))
    return None


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(command: Command, inner: list[FrameType]) -> str:
    own = command.handler.function.__code__.co_filename if command.handler is not None else ""
    frame = next((frame for frame in inner if frame.f_code.co_filename == own), inner[0])
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _told(inner: list[FrameType]) -> str:
    """The stack from the outermost of the frames, as Python prints it; no values (I24)."""
    return "".join(format_list(extract_stack(inner[0], limit=min(len(inner), STACK_FRAMES_MAX)))).rstrip()


def _tell(found: Seen, blocked_ms: int) -> None:
    command = found.command
    about = log_subject.set(command.head)
    _log.warning(
        "handler.blocks",
        handler=command.handler.name if command.handler is not None else command.head.command_type,
        at=found.at,
        blocked_ms=blocked_ms,
        why="no other command of this service is handled meanwhile; await what takes long, in an external_action",
        stack=found.stack,
    )
    log_subject.reset(about)
