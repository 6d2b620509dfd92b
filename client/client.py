"""`SagaClient`: sagas by Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from kafka_saga.client.errors import OutcomeTimeoutError, RequestRefusedError
from kafka_saga.client.outcome import Outcome, outcome_of
from kafka_saga.client.types import SagaTypes, Startable
from kafka_saga.runtime.clock import Clock, SystemClock
from kafka_saga.runtime.errors import RefusedError, UsageError
from kafka_saga.runtime.limits import CLIENT_OUTCOME_TIMEOUT_MS, CLIENT_WINDOW_MS
from kafka_saga.schemas.ids import SagaRef, check_saga_id

if TYPE_CHECKING:  # the rest is loaded when a client is made, connects, or is first asked for something
    from pydantic import BaseModel

    from kafka_saga.client.ends import End
    from kafka_saga.client.port import EventStream, Since
    from kafka_saga.client.reader import EventReader
    from kafka_saga.client.requests import Request
    from kafka_saga.client.sending import Starts
    from kafka_saga.client.streaming import KafkaEvents
    from kafka_saga.client.waiters import Waiter
    from kafka_saga.messaging.producer import Producer
    from kafka_saga.messaging.settings import KafkaSettings


@dataclass(slots=True)
class _Connected:
    producer: Producer
    starts: Starts
    reader: EventReader


class SagaClient:
    """Starts sagas and learns how they ended; for any number of tasks of one event loop, for as long as it runs.

    Args:
        bootstrap_servers: Kafka, `host:port` of one or more brokers; `localhost:9092` when not given.
        kafka: all settings of the connection instead: TLS, SASL and so on.
        prefix: put before every topic's name, as the orchestrator's setting says.
        types: what it starts: definitions, or `SagaType("order", OrderRequested, "order_id")` where they are elsewhere;
            the shipped order saga when not given.
        window_ms: how long an end is known that nobody waited for, in milliseconds. At the start so much is read again.
        follow: read events from the start on. False: only once an outcome is asked for, which then takes a moment
            longer; a service that only starts sagas reads nothing.
        broker_wait_ms: how long `async with` waits for a Kafka that is away; not at all when not given.
        clock: the machine's when not given.

    Raises:
        ConfigError: a setting is wrong.
        UsageError: `types` holds what is no saga.

    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        kafka: KafkaSettings | None = None,
        prefix: str = "",
        types: Iterable[Startable] | None = None,
        window_ms: int = CLIENT_WINDOW_MS,
        follow: bool = True,
        broker_wait_ms: int = 0,
        clock: Clock | None = None,
    ) -> None:
        from kafka_saga.client.settings import settings_of  # noqa: PLC0415

        self.kafka, self.topics = settings_of(bootstrap_servers, kafka, prefix)
        self.types = SagaTypes(types)
        self._window_ms = window_ms
        self._follow = follow
        self._broker_wait_ms = broker_wait_ms
        self._clock = clock or SystemClock()
        self._connected: _Connected | None = None
        self._streams: set[KafkaEvents] = set()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.

        """
        from kafka_saga.client.reader import EventReader  # noqa: PLC0415
        from kafka_saga.client.sending import Starts  # noqa: PLC0415
        from kafka_saga.messaging.arrival import wait_for_broker  # noqa: PLC0415
        from kafka_saga.messaging.producer import Producer  # noqa: PLC0415

        if self._connected is not None:
            raise RefusedError("this SagaClient is connected already: one `async with` serves a whole process")
        if self._broker_wait_ms:
            await wait_for_broker(self.kafka, stopping=asyncio.Event(), wait_ms=self._broker_wait_ms, clock=self._clock)
        producer = Producer(self.kafka, clock=self._clock)
        await producer.start()
        reader = EventReader(self.kafka, self.topics, self.types.names, clock=self._clock, window_ms=self._window_ms)
        self._connected = _Connected(producer, Starts(producer, self.topics, self._clock), reader)
        if self._follow:
            reader.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        connected, self._connected = self._connected, None
        if connected is None:
            return
        for stream in tuple(self._streams):
            await stream.aclose()
        await connected.reader.close()
        await connected.starts.close()
        await connected.producer.stop()

    async def start(
        self,
        request: BaseModel | Mapping[str, Any],
        *,
        saga_type: str | None = None,
        saga_id: str | None = None,
        actor: str | None = None,
    ) -> SagaRef:
        """Ask for a saga: its request is stored by the brokers (acks=all) when this returns; its identity.

        The saga's id makes it one saga, however often it is asked for: after any error simply ask again. Requests that
        come at the same time are published together.

        Args:
            request: the model of the request, or a JSON document.
            saga_type: which saga, where `request` is a document and the client knows several.
            saga_id: the saga's id, where the request does not carry it.
            actor: who asks, where the record of acts (`saga acts`, the Audit) shall say so: `alice@shop`.

        Raises:
            UsageError: the orchestrator would refuse it; nothing was sent.
            UnknownTopicError: there is no topic for it.
            PublishRefusedError: the broker does not take it.
            BrokerUnavailableError: no broker answers; it may be stored or not.

        """
        prepared = self._request(request, saga_type, saga_id, actor)
        await self._sent(prepared)
        return prepared.ref

    async def start_many(
        self,
        requests: Sequence[BaseModel | Mapping[str, Any]],
        *,
        saga_type: str | None = None,
        actor: str | None = None,
    ) -> list[SagaRef]:
        """The same for many requests, which are all checked before the first is sent; their identities, in order.

        After an error some of them may be stored: ask for all of them again.

        Raises:
            UsageError, UnknownTopicError, PublishRefusedError, BrokerUnavailableError: as `start`.

        """
        from kafka_saga.client.requests import requests_of  # noqa: PLC0415

        prepared = requests_of(self.types, requests, saga_type=saga_type, actor=actor)
        connected = self._open()
        for one in prepared:
            connected.reader.ends.asked_again(one.ref)
        await connected.starts.send_all(prepared)
        return [one.ref for one in prepared]

    async def outcome(
        self, saga_id: str, *, saga_type: str | None = None, timeout_ms: int = CLIENT_OUTCOME_TIMEOUT_MS
    ) -> Outcome:
        """Wait until a saga has ended, or was parked; at once where it did so within the client's window.

        Args:
            saga_id: which.
            saga_type: its type, where the client knows several.
            timeout_ms: how long to wait, in milliseconds. The saga goes on when the wait is over.

        Raises:
            OutcomeTimeoutError: it has not ended in time; the message says what is known of it.
            RequestRefusedError: its request was set aside, and nothing was heard of such a saga since.
            UnknownTopicError: there is no topic of events.
            BrokerUnavailableError: no broker answers.

        """
        from kafka_saga.client.reader import refused  # noqa: PLC0415

        ref = SagaRef(self.types.named(saga_type).saga_type, check_saga_id(saga_id))
        reader = self._open().reader
        async with self._awaiting(ref, timeout_ms, None) as waiter:
            refusal = reader.ends.refusal_of(ref)
            if refusal is not None:
                raise refused(ref, refusal)
            return self._told(ref, await self._end(ref, waiter))

    async def run(
        self,
        request: BaseModel | Mapping[str, Any],
        *,
        saga_type: str | None = None,
        saga_id: str | None = None,
        actor: str | None = None,
        timeout_ms: int = CLIENT_OUTCOME_TIMEOUT_MS,
    ) -> Outcome:
        """Ask for a saga and wait until it has ended, or was parked: `start` and `outcome` in one.

        Raises:
            OutcomeTimeoutError: it has not ended in time; ask `outcome`, or `run` the same request again.
            RequestRefusedError: the orchestrator set it aside; `cause` is `conflict` where a saga of this id has
                another request.
            UsageError, UnknownTopicError, PublishRefusedError, BrokerUnavailableError: as `start`.

        """
        from kafka_saga.schemas.agreement import another_request, contradicts  # noqa: PLC0415

        prepared = self._request(request, saga_type, saga_id, actor)
        ref = prepared.ref
        async with self._awaiting(ref, timeout_ms, prepared.value) as waiter:
            await self._sent(prepared)
            waiter.was_sent = True
            outcome = self._told(ref, await self._end(ref, waiter))
        if contradicts(prepared.value, outcome.data.get("request")):
            raise RequestRefusedError(ref, "conflict", another_request(ref))
        return outcome

    def events(self, *, since: Since = "now", types: Iterable[str] | None = None) -> EventStream:
        """What sagas tell, as it comes, on a connection of its own. An event may come twice: `event_id` tells.

        Args:
            since: `now` (when the stream is entered or first read), `beginning`, a `datetime` with its time zone, or a
                stream's `position`, also as text: it goes on after the last event that stream gave.
            types: of which saga types; of all that the client knows when not given.

        Raises:
            UsageError: `since` is no position, or a type is not known.

        """
        from kafka_saga.client.streaming import KafkaEvents  # noqa: PLC0415

        self._open()
        names = self.types.names if types is None else [self.types.named(name).saga_type for name in types]
        stream = KafkaEvents(self.kafka, self.topics, names, since, clock=self._clock, closed=self._streams.discard)
        self._streams.add(stream)
        return stream

    def _open(self) -> _Connected:
        if self._connected is None:
            raise UsageError("this SagaClient is not connected: use it inside `async with SagaClient(…) as sagas:`")
        return self._connected

    def _request(
        self, request: BaseModel | Mapping[str, Any], saga_type: str | None, saga_id: str | None, actor: str | None
    ) -> Request:
        from kafka_saga.client.requests import request_of  # noqa: PLC0415

        return request_of(self.types, request, saga_type=saga_type, saga_id=saga_id, actor=actor)

    async def _sent(self, request: Request) -> None:
        connected = self._open()
        connected.reader.ends.asked_again(request.ref)
        await connected.starts.send(request)

    @asynccontextmanager
    async def _awaiting(self, ref: SagaRef, timeout_ms: int, request: bytes | None) -> AsyncIterator[Waiter]:
        """Wait for a saga inside the block, which has `timeout_ms`; the reader reads already."""
        reader = self._open().reader
        waiter: Waiter | None = None
        try:
            async with asyncio.timeout(timeout_ms / 1_000) as limit:
                await reader.ready()
                with reader.waiters.waiting(ref, request=request, asked_at_ms=self._clock.now_ms()) as waiter:
                    yield waiter
        except TimeoutError as error:
            if not limit.expired():
                raise
            from kafka_saga.client.telling import why_not  # noqa: PLC0415

            last = None if waiter is None else waiter.last_event
            stored = last is not None if request is None else waiter is not None and waiter.was_sent
            said = why_not(ref, timeout_ms, reader, waiter, asked_for=request is not None)
            raise OutcomeTimeoutError(ref, said, last, is_stored=stored) from error

    async def _end(self, ref: SagaRef, waiter: Waiter) -> End:
        known = self._open().reader.ends.end_of(ref, self._clock.monotonic_ms())
        return known if known is not None else await waiter.future

    def _told(self, ref: SagaRef, end: End) -> Outcome:
        from kafka_saga.schemas.codec import decode_object  # noqa: PLC0415

        record = decode_object(end.value)
        turned = end.turned_at
        name = None if turned is None else self.types.step_name(ref.saga_type, turned)
        return outcome_of(ref, record, sequence=end.sequence, at_ms=end.at_ms, turned_at=turned, name=name)
