"""What is done when somebody else was first (R67): only what conflicted is read again, and the records are tried again.

They stay in hand, decoded, until they are committed or somebody else has committed them. What else was in the batch
(timers, acts, commands that were not sent) is found again by those who look for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import NamedTuple, Protocol

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.orchestrator.engine.inputs import Inputs, Taken
from kafka_saga.orchestrator.engine.intake import Intake
from kafka_saga.orchestrator.store.port import Store
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import UNWRITTEN, ConflictError
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.ids import SagaRef

_log = log("engine")

HALVED_FROM = 3
"""A batch that failed so often is tried by halves: one hot saga must not cost all others theirs for ever."""

TRIES_MAX = 5
"""So often in a row; then there is a rest, which two that hinder each other do not end at the same moment."""

REST_MS_MIN = 40
REST_MS_SPREAD = 40

_WITHOUT_LOCKS = frozenset({"offsets", "settings", "acts", "life"})
"""These are known once they are read again; nobody else's rows need be held for that."""


class Reader(Protocol):
    """What the ladder needs of a consumer."""

    def seek(self, partition: TopicPartition, offset: int) -> None: ...
    async def positions(self, topics: Iterable[str]) -> Mapping[TopicPartition, int]: ...


class _Part(NamedTuple):
    """Records that are decided together."""

    taken: list[Taken]
    resets: list[Reset]


class Ladder:
    """Keeps records whose batch was not written, and says how they are tried again.

    Args:
        store, reader, clock: the ports.
        intake: what the store's offsets are known by.
        chance: a number from 0 up to 1, a new one at each call: how long a rest is.

    """

    def __init__(
        self, *, store: Store, reader: Reader, intake: Intake, clock: Clock, chance: Callable[[], float]
    ) -> None:
        self._store = store
        self._reader = reader
        self._intake = intake
        self._clock = clock
        self._chance = chance
        self._hand: deque[_Part] = deque()
        self._failures = 0
        self._locks = False

    def __repr__(self) -> str:
        return f"Ladder(in_hand={sum(len(part.taken) for part in self._hand)}, failures={self._failures})"

    def next(self) -> Inputs | None:
        """What is to be tried again; None where nothing is in hand."""
        if not self._hand:
            return None
        return self._intake.again(self._hand[0].taken, self._hand[0].resets, self._store.now())

    def hold(self, refs: Iterable[SagaRef]) -> AbstractAsyncContextManager[None]:
        """For one try: where the one before met another's change, nobody changes these sagas until it is committed."""
        return self._store.locked(refs) if self._locks else nullcontext()

    def succeeded(self) -> None:
        """The batch was written."""
        self._failures = 0
        if self._hand:
            self._hand.popleft()
        self._locks = bool(self._hand)

    async def failed(self, inputs: Inputs, error: ConflictError) -> None:
        """Nothing was written: read again what conflicted, and keep the records for another try."""
        if not self._hand:
            self._hand.append(_Part(inputs.taken, inputs.resets))
        if error.what == UNWRITTEN:  # the store has waited, and said why
            _log.debug("batch.not_written", error=str(error), state=repr(self))
        else:
            _log.warning("batch.conflict", error=str(error), what=error.what, state=repr(self))
            await self._give_way(error)
        self._hand = deque(part for part in self._hand if part.taken or part.resets)

    async def _give_way(self, error: ConflictError) -> None:
        self._failures += 1
        if error.what in {"offsets", "life", ""}:
            await self._read_offsets()
        if self._failures >= HALVED_FROM:
            self._halve()
        self._locks = self._locks or error.what not in _WITHOUT_LOCKS or self._failures >= HALVED_FROM
        if self._failures % TRIES_MAX == 0:
            await self._clock.sleep(REST_MS_MIN + int(self._chance() * REST_MS_SPREAD))

    def drop(self) -> None:
        """Keep nothing: what was read is somebody else's to decide, or to be read again."""
        self._hand.clear()
        self._failures, self._locks = 0, False

    async def _read_offsets(self) -> None:
        """Go on from where the store is: drop what somebody else has committed, and do not read it again."""
        before, stored = self._intake.stored, await self._store.offsets()
        self._intake.stored = stored
        anew = {tp for tp, offset in stored.items() if offset < before.get(tp, 0)}
        for tp, position in (await self._reader.positions(self._intake.topics)).items():
            if tp in anew or stored.get(tp, 0) > position:
                self._reader.seek(tp, stored[tp])

        def is_open(record: Record) -> bool:
            tp = TopicPartition(record.topic, record.partition)
            if stored.get(tp) == before.get(tp):
                return True  # also below it, where the topic was made anew
            return tp not in anew and record.offset >= stored.get(tp, 0)

        self._hand = deque(
            _Part(
                [one for one in part.taken if is_open(one.record)],
                [reset for reset in part.resets if stored.get(reset.partition) == before.get(reset.partition)],
            )
            for part in self._hand
        )

    def _halve(self) -> None:
        """Try half of the first part first. Of each partition it has the first records."""
        part = self._hand[0]
        if len(part.taken) < 2:
            return
        ordered = sorted(part.taken, key=_place)
        middle = len(ordered) // 2
        self._hand[0] = _Part(ordered[middle:], [])
        self._hand.appendleft(_Part(ordered[:middle], part.resets))


def _place(one: Taken) -> tuple[str, int, int]:
    return one.record.topic, one.record.partition, one.record.offset
