"""`OutboxRelay`: what lies in the outbox goes to Kafka, in order for each saga, at least once.

A row is deleted when the brokers have its request (acks=all), in the transaction that holds it. Whoever dies in between
publishes it once more at its next start: the same bytes, the same key, the same `ce_id`, and so the same saga.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, Self

from kafka_saga.client.outbox.postgres import PostgresOutbox
from kafka_saga.client.outbox.rows import OutboxDatabase, OutboxRow
from kafka_saga.client.outbox.sqlite import SqliteOutbox
from kafka_saga.client.outbox.table import TABLE, check_table
from kafka_saga.client.settings import settings_of
from kafka_saga.messaging.errors import PublishRefusedError, RefusalReason
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.clock import Clock, SystemClock
from kafka_saga.runtime.errors import RefusedError, SagaError, UnavailableError
from kafka_saga.runtime.limits import OUTBOX_RELAY_ROWS_MAX
from kafka_saga.runtime.postgres import IN_FILE, PostgresUrl, is_postgres_url
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas import envelope

POLL_MS = 500
"""How often to look where nobody rings: without NOTIFY, or after one that was lost."""

_PAUSE_MS_MIN = 250
_PAUSE_MS_MAX = 5_000
_HELD_MS = 5_000
"""For how long what a topic refuses is left where it is."""

_OF_ONE_REQUEST: Final[frozenset[RefusalReason]] = frozenset({"too_large", "refused"})
"""Why a topic may refuse one request and take the others."""

_log = log("outbox")


class OutboxRelay:
    """Publishes the requests of one outbox, by `async with` beside a service's own work, or by `run` as all it does.

    Any number of relays may work on one PostgreSQL table. On a SQLite file one does, and others wait for its end.
    While Kafka or the database is away it waits, and nothing is lost.

    Args:
        database: `postgresql://…`, or a SQLite file.
        bootstrap_servers: Kafka, as for `SagaClient`.
        kafka: all settings of the connection instead.
        prefix: put before every topic's name.
        table: what the table is called.
        clock: the machine's when not given.

    Raises:
        ConfigError: a setting is wrong.

    """

    def __init__(
        self,
        database: PostgresUrl | Path | str,
        *,
        bootstrap_servers: str | Sequence[str] | None = None,
        kafka: KafkaSettings | None = None,
        prefix: str = "",
        table: str = TABLE,
        clock: Clock | None = None,
    ) -> None:
        settings, self._topics = settings_of(bootstrap_servers, kafka, prefix)
        self._clock = clock or SystemClock()
        self._producer = Producer(settings, clock=self._clock)
        self._database = _database(database, check_table(table), self._clock)
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._held_until_ms: dict[str, int] = {}
        self._said = ""
        self.published = 0
        """How many requests it has published."""

    async def __aenter__(self) -> Self:
        """Begin to relay in the background.

        Raises:
            StoreRefusedError: there is no such table, or the server does not let us in.

        """
        if self._running is not None:
            raise RefusedError("this OutboxRelay runs already")
        try:
            await self._database.open()
        except UnavailableError as error:
            self._say(error)  # it may come, and the service has other things to do
        except BaseException:
            await self._database.close()
            raise
        self._running = asyncio.create_task(self.run(self._stopping), name="outbox.relay")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        if self._running is not None:
            await asyncio.wait({self._running})
            if not self._running.cancelled() and (error := self._running.exception()) is not None:
                raise error

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until `stopping` is set; what is in hand is finished.

        Raises:
            StoreRefusedError: there is no such table, or the server does not let us in.

        """
        pause_ms, is_open = _PAUSE_MS_MIN, False
        try:
            while not stopping.is_set():
                try:
                    if not is_open:
                        await self._database.open()
                        is_open = True
                        _log.info("outbox.relaying")
                    if not await self._round():
                        await self._unless(stopping, self._database.wait(POLL_MS))
                    pause_ms, self._said = _PAUSE_MS_MIN, ""
                except UnavailableError as error:
                    self._say(error)
                    is_open = False
                    await self._unless(stopping, self._clock.sleep(pause_ms))
                    pause_ms = min(2 * pause_ms, _PAUSE_MS_MAX)
        finally:
            await self._database.close()
            await self._producer.stop()

    async def _round(self) -> int:
        now_ms = self._clock.monotonic_ms()
        self._held_until_ms = {name: until for name, until in self._held_until_ms.items() if until > now_ms}
        return await self._database.relay(self._publish, tuple(self._held_until_ms), OUTBOX_RELAY_ROWS_MAX)

    async def _publish(self, rows: Sequence[OutboxRow]) -> Sequence[OutboxRow]:
        """Publish; what is refused is left where it is for a while, and costs the others nothing."""
        messages = [self._message(row) for row in rows]
        row_of = {id(message): row for message, row in zip(messages, rows, strict=True)}
        left, stored = messages, list[Message]()
        while left:
            try:
                await self._producer.publish(left)
            except PublishRefusedError as error:
                parted = error.part(left)
                self._hold(error, [row_of[id(message)] for message in parted.refused])
                stored += parted.stored
                left = [message for message in parted.left if not self._is_held(row_of[id(message)])]
            else:
                stored += left
                break
        self.published += len(stored)
        return [row_of[id(message)] for message in stored]

    def _hold(self, error: PublishRefusedError, rows: Sequence[OutboxRow]) -> None:
        """Leave the topic's rows for a while; only the sagas of these, where it takes others."""
        until_ms = self._clock.monotonic_ms() + _HELD_MS
        for row in rows:
            self._held_until_ms[row.saga if error.reason in _OF_ONE_REQUEST else row.saga_type] = until_ms
        _log.error("outbox.refused", topic=error.topic, reason=error.reason, error=str(error))

    def _is_held(self, row: OutboxRow) -> bool:
        return row.saga_type in self._held_until_ms or row.saga in self._held_until_ms

    def _message(self, row: OutboxRow) -> Message:
        headers = envelope.request_headers(row.row_id, request_type=row.message_type)
        return Message(self._topics.requests(row.saga_type), row.saga_id.encode(), row.payload.encode(), headers)

    async def _unless(self, stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, and leave it where it is when `stopping` is set."""
        waiting, doing = asyncio.ensure_future(stopping.wait()), asyncio.ensure_future(work)
        try:
            await asyncio.wait({waiting, doing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            if not doing.done():
                doing.cancel()
                await asyncio.wait({doing})
        if not doing.cancelled():
            doing.result()

    def _say(self, error: SagaError) -> None:
        """Say what it waits for, once."""
        if str(error) != self._said:
            self._said = str(error)
            _log.warning("outbox.waiting", error=self._said)


def _database(database: PostgresUrl | Path | str, table: str, clock: Clock) -> OutboxDatabase:
    if isinstance(database, str):
        if database.startswith(IN_FILE):
            database = PostgresUrl.in_file(Path(database.removeprefix(IN_FILE)))
        else:
            database = PostgresUrl(database) if is_postgres_url(database) else Path(database)
    return (
        PostgresOutbox(database, table) if isinstance(database, PostgresUrl) else SqliteOutbox(database, table, clock)
    )
