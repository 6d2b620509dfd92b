"""Opening a client of aiokafka's, with a deadline and a reason where it fails, and closing it with all it opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient

from kafka_saga.messaging import broken_writes
from kafka_saga.messaging.errors import NotAllowedError
from kafka_saga.messaging.probing import explained, reach
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.waiting import within
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import BrokerUnavailableError


class _Client(Protocol):
    async def start(self) -> None: ...


_C = TypeVar("_C", bound=_Client)


async def opened(client: _C, close: Callable[[_C], Coroutine[Any, Any, None]], settings: KafkaSettings) -> _C:
    """`client` after its start(), which has CONNECT_TIMEOUT_MS; one that fails, however late, is closed.

    Raises:
        BrokerUnavailableError: no broker of `settings` takes us; it says why.
        NotAllowedError: a producer may write to no topic at all.

    """
    broken_writes.install()
    late = False

    async def work() -> None:
        try:
            await reach(settings, settings.client_options().get("ssl_context"))
            await client.start()
        except BaseException:
            await close(client)
            raise
        if late:
            await close(client)

    try:
        await within(limits.CONNECT_TIMEOUT_MS, "connecting", work())
    except BrokerUnavailableError as error:
        late = True
        if isinstance(error.__cause__, kafka_errors.ClusterAuthorizationFailedError):
            # A producer with a session is for who may write to some topic, whichever (KIP-679).
            raise NotAllowedError(settings.principal, "Write", "topics", "that it publishes to") from error
        raise await explained(settings, error) from error
    except BaseException:
        late = True
        raise
    return client


async def close_for_good(client: AIOKafkaClient) -> None:
    """Close `client` and the connections that somebody was making just then, which its own close() does not know of.

    And whoever asks it about topics, or did so just then, has its answer: there is none. Otherwise they wait for ever.
    """
    client._get_conn = _no_connection  # noqa: SLF001
    await client.close()
    _answer_who_asks(client)
    async with client._get_conn_lock:  # noqa: SLF001 -- whoever is connecting holds it, and others have queued before us
        await client.close()


def _answer_who_asks(client: AIOKafkaClient) -> None:
    if client._md_update_fut is None:  # noqa: SLF001
        client._md_update_fut = asyncio.get_running_loop().create_future()  # noqa: SLF001
    if not client._md_update_fut.done():  # noqa: SLF001
        client._md_update_fut.set_result(False)  # noqa: SLF001 -- whether metadata came


async def _no_connection(*_node: object, **_options: object) -> None:
    """To who asks for one: the broker is not ready."""
