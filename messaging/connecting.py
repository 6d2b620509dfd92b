"""Opening a client of aiokafka's, with a deadline and a reason where it fails."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from kafka_saga.messaging.probing import explained
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

    """
    late = False

    async def work() -> None:
        try:
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
        raise await explained(settings, error) from error
    except BaseException:
        late = True
        raise
    return client
