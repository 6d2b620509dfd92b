"""Logs: structlog, one event a line. Readable on a terminal, JSON everywhere else, always on stderr.

Event names are dotted and stable (`saga.timeout`, `message.dead_lettered`); payloads are never logged (I24). What
users' handlers and their libraries log by the standard library's `logging`, or by structlog, comes out in the same
form, with what it is about (`log_subject`) on every line.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from typing import IO, Any, Literal, Protocol

import orjson
import structlog

from kafka_saga.runtime.stacks import stack_of

LogFormat = Literal["auto", "json", "text"]
_Event = MutableMapping[str, Any]


class Subject(Protocol):
    """What log lines can be about."""

    def log_fields(self) -> Mapping[str, Any]:
        """The fields that say so; asked for only when a line is written."""
        ...


log_subject: ContextVar[Subject | None] = ContextVar("log_subject", default=None)
"""What is being worked on. Setting it is all that a command costs whose handler logs nothing."""

_LEVELS_OF_LIBRARIES = {
    # It logs keys and values of messages at DEBUG (I24), and repeats connection errors that we report ourselves.
    "aiokafka": (logging.CRITICAL, logging.WARNING),
    "uvicorn": (logging.WARNING, logging.INFO),  # we say ourselves that we serve, and where
    "aiosqlite": (logging.WARNING, logging.WARNING),  # statements with their parameters at DEBUG (I24)
}
"""What is heard of libraries of ours: usually, and with `log_level = "debug"`."""

_RECORD = "_record"
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""All else was given with `extra=`."""


def configure_logging(*, process: str, level: str = "info", log_format: LogFormat = "auto") -> None:
    """Set up logging for this process, ours and the standard library's.

    Args:
        process: what this process is, on every line (`orchestrator`, `participant:payment`).
        level: `debug`, `info`, `warning` or `error`.
        log_format: `json`, `text`, or `auto` (text on a terminal).

    """
    text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=32, exception_formatter=structlog.dev.plain_traceback
        )
        if text
        else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    factory: Any = (
        structlog.WriteLoggerFactory(file=_forgiving(sys.stderr))
        if text
        else structlog.BytesLoggerFactory(_forgiving(sys.stderr.buffer))
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _unpacked,
            _about(process),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S.%f" if text else "iso", utc=True),
            _with_stack,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    logging.basicConfig(level=level.upper(), handlers=[_Bridge()], force=True)
    logging.captureWarnings(capture=True)  # `coroutine … was never awaited` is about a saga, too
    logging.getLogger("asyncio").addFilter(_is_news)
    for name, (usual, debug) in _LEVELS_OF_LIBRARIES.items():
        logging.getLogger(name).setLevel(debug if level == "debug" else usual)


def configure_tests() -> None:
    """Let log lines in users' tests show no values either (I24), where the test has not set up structlog itself."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                _about("test"),
                structlog.processors.add_log_level,
                _with_stack,
                structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
            ]
        )


def _about(process: str) -> structlog.typing.Processor:
    def add(_logger: Any, _method: str, event: _Event) -> _Event:
        about = log_subject.get()
        for name, value in () if about is None else about.log_fields().items():
            event.setdefault(name, value)
        if "trace_id" not in event and (trace_id := _current_trace_id()):
            event["trace_id"] = trace_id
        event.setdefault("process", process)
        return event

    return add


def _current_trace_id() -> str | None:
    """Of the span that the line is written in; where nobody traces, the API is not imported for asking."""
    api = sys.modules.get("opentelemetry.trace")
    found = None if api is None else api.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found is not None and found.is_valid else None


def _unpacked(_logger: Any, _method: str, event: _Event) -> _Event:
    """What a record of the standard library says beside its message."""
    record = event.pop(_RECORD, None)
    if record is not None:
        event["logger"] = record.name
        for name, value in vars(record).items():
            if name not in _OF_EVERY_RECORD:
                event.setdefault(name, value)
        if record.exc_info:
            event["exc_info"] = record.exc_info
        if record.stack_info:
            event["stack"] = record.stack_info
    return event


def _with_stack(_logger: Any, _method: str, event: _Event) -> _Event:
    """The exception of the line as text. The form of every renderer: rich's own would print local variables."""
    given = event.pop("exc_info", None)
    if isinstance(given, tuple):
        given = given[1]
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        event["exception"] = stack_of(error)
    return event


def _to_json(event: _Event, **_: Any) -> bytes:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)
    except Exception:  # noqa: BLE001 -- numbers beyond 64 bits, lone surrogates, a broken __str__: say the rest
        return orjson.dumps({name: _shown(value) for name, value in event.items()}, default=str)


def _shown(value: object) -> str:
    try:
        return str(value).encode(errors="backslashreplace").decode()
    except Exception:  # noqa: BLE001 -- somebody else's __str__
        return f"<{type(value).__name__}>"


class _Bridge(logging.Handler):
    """Hands the standard library's records to structlog, so that there is one form and one way out."""

    def __init__(self) -> None:
        super().__init__()
        self._logger = structlog.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage().strip()
        except Exception:  # noqa: BLE001 -- arguments that do not fit; the standard library would print their values
            text = str(record.msg)
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)  # the others have no name
        self._logger.log(level, text, **{_RECORD: record})


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
