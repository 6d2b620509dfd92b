"""A write to a connection that broke in this very turn of the loop, told to aiokafka as any other broken connection.

uvloop refuses such a write by a RuntimeError, where asyncio's own loop only warns. aiokafka (0.14) expects an OSError:
what it does not expect ends its routines for good, and nobody looks whether the one still lives that follows the
brokers' metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_CLOSED: Final = "the handler is closed"

_SENDS: Final[dict[str, Callable[..., Any]]] = {
    name: getattr(AIOKafkaConnection, name) for name in ("send", "_send_sasl_token")
}


def is_refused_write(error: BaseException) -> bool:
    """Whether `error` is what uvloop says of a write to a closed connection."""
    return isinstance(error, RuntimeError) and _CLOSED in str(error)


def install() -> None:
    """Have every connection of aiokafka's close itself, and raise `KafkaConnectionError`, when a write is refused."""
    for name, send in _SENDS.items():
        if getattr(AIOKafkaConnection, name) is send:
            setattr(AIOKafkaConnection, name, _closing(send))


def _closing(send: Callable[..., Any]) -> Callable[..., Any]:
    def closing_send(connection: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
        try:
            return send(connection, *arguments, **options)
        except RuntimeError as error:
            if not is_refused_write(error):
                raise
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken: {error}") from error

    return closing_send
