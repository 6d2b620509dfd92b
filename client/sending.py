"""Publishing requests: each is stored when its call returns, and those that come at the same time go together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kafka_saga.client.requests import Request
from kafka_saga.runtime import limits
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError, RefusedError, SagaError
from kafka_saga.runtime.limits import CLIENT_STARTS_PER_BATCH_MAX, CLIENT_STARTS_WAITING_MAX
from kafka_saga.schemas.topics import TopicNames

if TYPE_CHECKING:
    from kafka_saga.messaging.errors import PublishRefusedError
    from kafka_saga.messaging.producer import Producer
    from kafka_saga.messaging.records import Message


class _Waiting(NamedTuple):
    message: Message
    stored: asyncio.Future[None]
    since_ms: int


class Starts:
    """Requests on their way to Kafka. What comes while a publish is under way makes up the next one."""

    def __init__(self, producer: Producer, topics: TopicNames, clock: Clock) -> None:
        self._producer = producer
        self._topics = topics
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._room = asyncio.Semaphore(CLIENT_STARTS_WAITING_MAX)
        self._sending: asyncio.Task[None] | None = None
        self._closed = False

    async def send(self, request: Request) -> None:
        """Return when the brokers have stored it (acks=all).

        Raises:
            UnknownTopicError: there is no topic for it.
            PublishRefusedError: the broker does not take it.
            BrokerUnavailableError: no broker answers; it may be stored, and sending it again is safe.

        """
        async with self._room:
            await self._queued(request)

    async def send_all(self, requests: Sequence[Request]) -> None:
        """The same for many; after an error some may be stored, and sending all again is safe."""
        for first in range(0, len(requests), CLIENT_STARTS_WAITING_MAX // 2):
            part = requests[first : first + CLIENT_STARTS_WAITING_MAX // 2]
            results = await asyncio.gather(*map(self.send, part), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def close(self) -> None:
        """Take no more, and wait for what is on its way."""
        self._closed = True
        if self._sending is not None:
            await asyncio.wait({self._sending})

    async def _queued(self, request: Request) -> None:
        from kafka_saga.messaging.records import Message  # noqa: PLC0415 -- loaded when a client connects
        from kafka_saga.schemas.envelope import actor_headers  # noqa: PLC0415

        if self._closed:
            raise RefusedError("this SagaClient is closed: start sagas inside its `async with`")
        topic, headers = self._topics.requests(request.ref.saga_type), actor_headers(request.actor)
        message = Message(topic, request.ref.saga_id.encode(), request.value, headers)
        one = _Waiting(message, asyncio.get_running_loop().create_future(), self._clock.monotonic_ms())
        self._waiting.append(one)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send(), name="client.starts")
        await one.stored

    async def _send(self) -> None:
        while self._waiting:
            batch: list[_Waiting] = []
            while self._waiting and len(batch) < CLIENT_STARTS_PER_BATCH_MAX:
                one = self._waiting.popleft()
                if not one.stored.done():  # nobody waits for it any more: it was not sent, so it never will be
                    batch.append(one)
            while batch:
                batch = await self._publish(batch)

    async def _publish(self, batch: Sequence[_Waiting]) -> list[_Waiting]:
        """Publish; what is left of the batch, because others of it were refused."""
        from kafka_saga.messaging.errors import BrokerUnreachableError, PublishRefusedError  # noqa: PLC0415

        try:
            await self._producer.publish([one.message for one in batch])
        except PublishRefusedError as error:
            return _part(batch, error)
        except BrokerUnavailableError as error:
            self._give_up(error)
            return _all_settle(batch, error if isinstance(error, BrokerUnreachableError) else _in_doubt(error))
        except BaseException as error:
            _all_settle(batch, error)
            if not isinstance(error, Exception):
                raise
            return []
        return _all_settle(batch, None)

    def _give_up(self, error: BrokerUnavailableError) -> None:
        """Who has waited for as long as a publish is tried is told at once: each batch would take as long again."""
        unsent = BrokerUnavailableError(f"{error}; the request was not sent: start the same one again")
        before_ms = self._clock.monotonic_ms() - limits.PUBLISH_TIMEOUT_MS
        while self._waiting and self._waiting[0].since_ms <= before_ms:
            _settle(self._waiting.popleft(), unsent)


def _in_doubt(error: SagaError) -> BrokerUnavailableError:
    return BrokerUnavailableError(f"{error}; the request may be stored or not: start the same one again")


def _part(batch: Sequence[_Waiting], error: PublishRefusedError) -> list[_Waiting]:
    """Settle what was refused, and what was stored all the same; the rest."""
    from kafka_saga.messaging.errors import UnknownTopicError  # noqa: PLC0415

    said: SagaError = error
    if error.reason == "unknown_topic":
        said = UnknownTopicError([error.topic])
    elif error.reason == "unavailable":
        said = _in_doubt(error)
    of_message = {id(one.message): one for one in batch}
    parted = error.part(one.message for one in batch)
    if not parted.refused:
        return _all_settle(batch, said)
    for message in parted.refused:
        _settle(of_message[id(message)], said)
    for message in parted.stored:
        _settle(of_message[id(message)], None)
    return [of_message[id(message)] for message in parted.left]


def _all_settle(batch: Sequence[_Waiting], error: BaseException | None) -> list[_Waiting]:
    for one in batch:
        _settle(one, error)
    return []


def _settle(one: _Waiting, error: BaseException | None) -> None:
    if one.stored.done():
        return
    if error is None:
        one.stored.set_result(None)
    elif isinstance(error, Exception):
        one.stored.set_exception(error)
    else:
        one.stored.cancel()
