"""Kafka's first words on a connection, spoken by hand: a client of ours would only say that it was closed."""

from __future__ import annotations

import asyncio
import ssl
import struct
from contextlib import suppress
from enum import Enum, auto

from kafka_saga.messaging.addresses import Address
from kafka_saga.runtime import limits

_CLIENT = b"probe"
_HELLO = struct.pack(">hhih", 18, 0, 1, len(_CLIENT)) + _CLIENT
"""An ApiVersions request, which every Kafka since 0.10 answers to anybody, with 1 as its number."""

_ANSWER = struct.Struct(">iih")
"""Length, the request's number, and no error."""


class Greeting(Enum):
    """What came back."""

    KAFKA = auto()
    OTHER = auto()
    """Something else, or the end of the connection."""
    SILENCE = auto()


async def greet(address: Address, context: ssl.SSLContext | None) -> Greeting:
    """Who answers at `address`, asked in TLS where there is a `context`.

    Raises:
        OSError: TLS does not come about (`ssl.SSLError`, or a connection that is closed meanwhile).

    """
    try:
        async with asyncio.timeout(limits.PROBE_TIMEOUT_MS / 1000):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=context, server_hostname=address.host if context else None
            )
            try:
                writer.write(struct.pack(">i", len(_HELLO)) + _HELLO)
                head = await reader.readexactly(_ANSWER.size)
            finally:
                await hang_up(writer)
    except TimeoutError:
        return Greeting.SILENCE
    except asyncio.IncompleteReadError as error:
        if context is not None and not error.partial:
            raise ConnectionResetError("the connection is closed at once") from error
        return Greeting.OTHER
    except OSError:
        if context is not None:
            raise
        return Greeting.OTHER
    return Greeting.KAFKA if _ANSWER.unpack(head)[1:] == (1, 0) else Greeting.OTHER


async def accepts_tls(address: Address) -> bool:
    """Whether whoever listens at `address` speaks TLS, whatever certificate it shows."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(limits.PROBE_TIMEOUT_MS / 1000):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
            await hang_up(writer)
            return True
    return False


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """End a connection at once, without TLS's polite farewell."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
