"""Logs: structlog, one event a line. Readable on a terminal, JSON everywhere else, always on stderr.

Event names are dotted and stable (`saga.timeout`, `message.dead_lettered`); payloads are never logged (I24).
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import IO, Any, Literal

import orjson
import structlog

LogFormat = Literal["auto", "json", "text"]


def configure_logging(*, process: str, level: str = "info", log_format: LogFormat = "auto") -> None:
    """Set up logging for this process.

    Args:
        process: what this process is, bound to every line (`orchestrator`, `participant:payment`).
        level: `debug`, `info`, `warning` or `error`.
        log_format: `json`, `text`, or `auto` (text on a terminal).

    """
    text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=32)
        if text
        else structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str))
    )
    factory: Any = (
        structlog.WriteLoggerFactory(file=_forgiving(sys.stderr))
        if text
        else structlog.BytesLoggerFactory(_forgiving(sys.stderr.buffer))
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S.%f" if text else "iso", utc=True),
            *([] if text else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(process=process)
    # aiokafka logs keys and values at DEBUG (I24) and repeats connection errors that we report ourselves.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s", force=True)
    logging.getLogger("asyncio").addFilter(_is_news)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL if level != "debug" else logging.WARNING)


class _Forgiving:
    """Drops what cannot be written: a full disk or a closed pipe below the log must not end the sagas above it."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream

    def write(self, line: Any) -> None:
        with suppress(OSError):
            self._stream.write(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _forgiving(stream: IO[Any]) -> Any:
    return _Forgiving(stream)


def _is_news(record: logging.LogRecord) -> bool:
    # asyncio's watcher thread warns when a child that we ended was reaped by its transport first, or when the loop
    # has closed meanwhile. Nothing is wrong in either case.
    return record.funcName != "_do_waitpid"


def log(name: str) -> Any:
    """A logger whose lines carry `component=name`."""
    return structlog.get_logger(component=name)
