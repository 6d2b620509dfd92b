"""Follows what the sagas say of themselves on `order.events`, and what is set aside: as any outsider could."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from kafka_saga.messaging import dead_letters
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.records import Record
from kafka_saga.runtime.errors import SagaError
from kafka_saga.schemas.codec import JsonObject, decode_object
from kafka_saga.schemas.envelope import SEQUENCE, TYPE

_POLL_MS = 100
_RECORDS_MAX = 500


class DemoError(SagaError):
    """The demo did not go as it must."""

    code = "demo"


class Follower:
    """The latest record of every saga, and every dead letter, as they come in from Kafka."""

    def __init__(self, consumer: Consumer, *, events: str, seen: Callable[[str, JsonObject], None]) -> None:
        """`seen` gets each saga's id and its record when it says something new."""
        self._consumer = consumer
        self._events = events
        self._seen = seen
        self._sequences: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.records: dict[str, JsonObject] = {}
        self.dead_letters: list[dict[str, Any]] = []

    async def start(self) -> None:
        """Begin to follow; from the first message on."""
        await self._consumer.start({})
        self._task = asyncio.create_task(self._follow(), name="follower")

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._consumer.stop()

    def state(self, saga_id: str) -> str:
        """The saga's state as last heard; "" before it said anything."""
        return str(self.records.get(saga_id, {}).get("state", ""))

    def steps_done(self, saga_id: str) -> int:
        """How many of its steps have succeeded, as last heard."""
        return len(self.records.get(saga_id, {}).get("stepsExecuted", ()))

    async def until(self, what: str, done: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `done`, which is asked again whenever something was heard.

        Raises:
            DemoError: it did not happen in time; the message says `what`.

        """
        try:
            async with asyncio.timeout(timeout_s):
                while not done():
                    self._changed.clear()
                    await self._either_changes()
        except TimeoutError:
            states = ", ".join(f"{saga_id} is {self.state(saga_id)}" for saga_id in list(self.records)[-8:])
            raise DemoError(f"waited {timeout_s:g} s in vain until {what}. Last heard: {states or 'nothing'}") from None

    async def until_ended(self, saga_ids: Iterable[str], timeout_s: float) -> None:
        """Wait until all these sagas are COMPLETED, COMPENSATED or PARKED."""
        wanted = tuple(saga_ids)
        ends = {"COMPLETED", "COMPENSATED", "PARKED"}
        what = wanted[0] if len(wanted) == 1 else f"all of {wanted[0]} … {wanted[-1]}"
        await self.until(
            f"{what} had come to an end", lambda: all(self.state(saga_id) in ends for saga_id in wanted), timeout_s
        )

    async def _either_changes(self) -> None:
        """Wait for news. Should following itself have died, its error is raised."""
        assert self._task is not None
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({changed, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if self._task.done():
                self._task.result()
        finally:
            changed.cancel()

    async def _follow(self) -> None:
        while True:
            for record in await self._consumer.poll(_POLL_MS, _RECORDS_MAX):
                self._take(record)
                self._changed.set()

    def _take(self, record: Record) -> None:
        headers = {name: (value or b"").decode() for name, value in record.headers}
        if record.topic != self._events:
            self.dead_letters.append({"key": (record.key or b"").decode(), "value": record.value, **headers})
            return
        body = decode_object(record.value)
        saga_id, sequence = body["sagaId"], int(headers[SEQUENCE])
        if sequence > self._sequences.get(saga_id, -1):  # a crash may publish an event twice, with the same number
            self._sequences[saga_id] = sequence
            self.records[saga_id] = {**body, "event": headers[TYPE]}
            self._seen(saga_id, self.records[saga_id])


def why(letter: dict[str, Any]) -> str:
    """Why a dead letter was set aside, as its headers say."""
    return f"{letter[dead_letters.CAUSE]}: {letter[dead_letters.MESSAGE]}"
