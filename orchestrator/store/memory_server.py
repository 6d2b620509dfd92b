"""The server of a store that replicas share, in memory: what PostgreSQL does for them, for tests and the simulator.

Each of its methods is one transaction, and nothing comes between two lines of it. The
sagas themselves are in any store of one owner; here is what replicas add to it: lives, settings, lanes, heirs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.states import ACTIVE, SagaState
from kafka_saga.orchestrator.store.members import Horizon, Joining, Lanes, Peer, Sums
from kafka_saga.orchestrator.store.port import (
    Batch,
    Counted,
    Known,
    Outage,
    OutboxId,
    OutboxRow,
    QueuedAct,
    Store,
    UnreadableAct,
)
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.schemas.ids import SagaRef

ANYONES_ACT_MS = 10_000
"""An act that waited for longer is anyone's: its lane has no owner (R74)."""

IDLE_MS = 3_000
"""The server ends a transaction that does nothing for so long: who was frozen holds its locks no longer."""

_ALL = 1_000_000


@dataclass(slots=True)
class _Life:
    """A row of `replicas`."""

    joining: Joining
    window: int
    state: str = "live"
    heir: int = 0
    beat: int = 0
    batch: int = 0
    """The number of its last batch: it says whether one of which no answer came was committed (R68)."""
    clock: int = 0
    in_flight: int = 0
    pending: int = 0
    unsent: int = 0
    outage_ended_at: int = 0
    outage_on: bool = False


class MemoryServer:
    """The server. Everything that a replica asks goes through one of these methods."""

    def __init__(self, truth: Store) -> None:
        """`truth` holds the sagas; only this object writes it from now on."""
        self.truth = truth
        self._lives: dict[int, _Life] = {}
        self._settings = 0
        self._lanes = 0
        self._rows: dict[OutboxId, tuple[OutboxId, int]] = {}
        """The rows of the outbox: how the truth calls each, and how many messages it has."""
        self._withheld: dict[OutboxId, str] = {}
        """Rows of which only what one topic refuses is left."""
        self._counted: dict[str, Counted] = {}
        self._drained: dict[TopicPartition, int] = {}
        self._act_seen_at: dict[str, int] = {}
        self._locks: dict[SagaRef, tuple[object, int]] = {}
        """Who holds each row, and until when at the longest."""

    def clock(self) -> tuple[int, int]:
        """The server's clock, and the greatest that any batch was decided at (R64)."""
        return self.truth.now(), max((life.clock for life in self._lives.values()), default=0)

    async def join(self, joining: Joining) -> int:
        """Insert a row of `replicas`, and mend the sums by what there really is."""
        self._lanes = self._lanes or joining.lanes
        number = len(self._lives) + 1
        life = self._lives[number] = _Life(joining, joining.window)
        states, held = await self.truth.count_states(), await self.truth.count_held()
        standing = {state: sum(count for (_, of), count in held.items() if of is state) for state in SagaState}
        sums = self.sums()
        life.in_flight = sum(states.get(state, 0) - standing[state] for state in ACTIVE) - sums.in_flight
        life.pending = states.get(SagaState.PENDING, 0) - standing[SagaState.PENDING] - sums.pending
        return number

    def sums(self) -> Sums:
        """Over all lives, also those that have ended."""
        lives = self._lives.values()
        return Sums(
            sum(life.in_flight for life in lives),
            sum(life.pending for life in lives),
            sum(life.unsent for life in lives),
            min((life.window for life in lives if life.state == "live"), default=0),
        )

    def beat(self, replica: int, window: int) -> tuple[Peer, ...]:
        """Raise our beat, and see those of all that live."""
        own = self._lives[replica]
        own.beat += 1
        own.window = window
        lives = self._lives.items()
        return tuple(Peer(number, life.joining.name, life.beat) for number, life in lives if life.state == "live")

    def bury(self, judge: int, peer: Peer) -> bool:
        """Compare and set: the life is as it was seen. What it counted becomes the judge's."""
        own, dead = self._alive(judge), self._lives[peer.replica]
        if dead.state != "live" or dead.beat != peer.beat:
            return False
        dead.state, dead.heir = "dead", judge
        own.in_flight, own.pending = own.in_flight + dead.in_flight, own.pending + dead.pending
        own.unsent += dead.unsent
        dead.in_flight = dead.pending = dead.unsent = 0
        return True

    def leave(self, replica: int) -> None:
        """End a life in good order."""
        life = self._lives[replica]
        if life.state == "live":
            life.state = "gone"

    async def inherit(self, heir: int, known: Collection[int]) -> dict[int, list[OutboxRow]]:
        """What is left of each ended life that has no living heir, or this one: but of those `known` to it."""
        self._alive(heir)
        for life in self._lives.values():
            if life.state != "live" and not self._lives_now(life.heir):
                life.heir = heir
        mine = [number for number, life in self._lives.items() if life.state != "live" and life.heir == heir]
        rows = await self.outbox()
        return {one: [row for row in rows if row.outbox_id.writer == one] for one in mine if one not in known}

    async def outbox(self) -> list[OutboxRow]:
        """Everybody's rows, in the order of their writers."""
        known = {row.outbox_id: row for row in await self.truth.outbox()}
        return [replace(known[theirs], outbox_id=ours) for ours, (theirs, _) in sorted(self._rows.items())]

    def withhold(self, rows: Mapping[OutboxId, str]) -> None:
        """Mark rows that one topic holds back."""
        self._withheld |= {row: topic for row, topic in rows.items() if row in self._rows}

    async def horizon(self) -> Horizon:
        unsent: list[int] = []
        withheld: dict[str, int] = {}
        for row in await self.outbox():
            topic = self._withheld.get(row.outbox_id)
            if topic is None:
                unsent.append(row.created_at)
            else:
                withheld[topic] = min(row.created_at, withheld.get(topic, row.created_at))
        return Horizon(
            await self.truth.next_wake_at(),
            dict(self._counted),
            dict(self._drained),
            min(unsent, default=None),
            self._outage_ended_at(),
            withheld,
        )

    def outage(self, replica: int) -> Outage:
        """What a life knows of outages, and when the latest ended that any of them knows of."""
        return Outage(self._outage_ended_at(), is_on=self._lives[replica].outage_on)

    def _outage_ended_at(self) -> int:
        return max((life.outage_ended_at for life in self._lives.values()), default=0)

    async def settings(self) -> tuple[int, int, Mapping[str, Pause]]:
        """The number that each change raises, the lanes, and the pauses."""
        return self._settings, self._lanes, await self.truth.pauses()

    async def acts(self, lanes: Lanes, limit: int, now: int) -> list[QueuedAct | UnreadableAct]:
        """Acts without an outcome that are of `lanes`, or have waited for long."""
        found: list[QueuedAct | UnreadableAct] = []
        for act in await self.truth.waiting_acts(_ALL):
            act_id = act.act.act_id if isinstance(act, QueuedAct) else act.act_id
            late = now - self._act_seen_at.setdefault(act_id, now) >= ANYONES_ACT_MS
            if late or _is_of(act, lanes):
                found.append(act)
        return found[:limit]

    async def commit(
        self, replica: int, settings: int, kept: Mapping[SagaRef, Known], batch: Batch, holder: object = None
    ) -> OutboxId | None:
        """One transaction: every proof first, in the order of R65, then every write.

        Args:
            replica: whose batch it is.
            settings: the number that it was decided by.
            kept: its author's rows in memory, from which some of it may have been decided (R66).
            batch: what it writes.
            holder: who holds locks already, where it is decided from locked rows (R67).

        """
        life = self._alive(replica)
        if settings != self._settings:
            raise ConflictError("pauses or lanes have changed meanwhile", what="settings")
        await self._check_drained(batch)
        await self._check_sagas(batch, kept, holder)
        seq = life.batch + 1
        theirs = await self.truth.commit(self._as_the_truth_calls_it(batch))
        life.batch, life.clock = seq, batch.now
        life.in_flight += batch.in_flight
        life.pending += batch.pending
        if batch.outage is not None:
            life.outage_ended_at = max(life.outage_ended_at, batch.outage.ended_at)
            life.outage_on = batch.outage.is_on
        self._settings += bool(batch.pauses or batch.lanes)
        self._lanes = batch.lanes or self._lanes
        self._counted |= batch.counted
        for tp, drained in batch.drained.items():
            self._drained[tp] = max(self._drained.get(tp, 0), drained.at)
        for row in batch.published:
            life.unsent -= self._rows.pop(row, (row, 0))[1]
        for row, left in batch.rewritten.items():
            life.unsent += len(left) - self._rows[row][1]
            self._rows[row] = (self._rows[row][0], len(left))
        if theirs is None:
            return None
        life.unsent += len(batch.messages)
        self._rows[OutboxId(replica, seq)] = (theirs, len(batch.messages))
        return OutboxId(replica, seq)

    def batches(self, replica: int) -> int:
        """The number of the last batch of a life: what became of one without an answer (R68).

        Raises:
            ConflictError: that life is over.

        """
        return self._alive(replica).batch

    def lock(self, refs: Collection[SagaRef], holder: object) -> bool:
        """Lock the rows of `refs`, all of them or none (R67)."""
        if any(self._is_held(ref, holder) for ref in refs):
            return False
        self._locks |= dict.fromkeys(refs, (holder, self.truth.now() + IDLE_MS))
        return True

    def unlock(self, holder: object) -> None:
        """The transaction that locked has ended."""
        self._locks = {ref: lock for ref, lock in self._locks.items() if lock[0] is not holder}

    def _is_held(self, ref: SagaRef, holder: object) -> bool:
        other, until = self._locks.get(ref, (holder, 0))
        return other is not holder and self.truth.now() <= until

    def _alive(self, replica: int) -> _Life:
        if not self._lives_now(replica):
            raise ConflictError("this life was declared dead: its beat stood still", what="life")
        return self._lives[replica]

    def _lives_now(self, replica: int) -> bool:
        return replica in self._lives and self._lives[replica].state == "live"

    async def _check_drained(self, batch: Batch) -> None:
        after = await self.truth.offsets() | {tp: step.next for tp, step in batch.offsets.items()}
        if any(after.get(tp) != drained.next for tp, drained in batch.drained.items()):
            raise ConflictError("another owner has read these partitions meanwhile", what="offsets")

    async def _check_sagas(self, batch: Batch, kept: Mapping[SagaRef, Known], holder: object) -> None:
        refs = [change.saga.ref for change in batch.changed]
        if any(self._is_held(ref, holder) for ref in refs):
            raise ConflictError("somebody holds a saga's row", what="sagas")
        read = {change.saga.ref: change.version_read for change in batch.changed}
        read |= {saga.ref: saga.version for saga in batch.unchanged if saga.ref in kept}
        known = await self.truth.load(read)
        if any(ref not in known or known[ref].saga.version != version for ref, version in read.items()):
            raise ConflictError("a saga was changed meanwhile", what="sagas")
        if await self.truth.load(started.saga.ref for started in batch.started):
            raise ConflictError("a new saga's id was taken meanwhile", what="ids")

    def _as_the_truth_calls_it(self, batch: Batch) -> Batch:
        published = [self._rows[row][0] for row in batch.published if row in self._rows]
        rewritten = {self._rows[row][0]: left for row, left in batch.rewritten.items()}
        return replace(batch, published=published, rewritten=rewritten, unchanged=[])  # they are checked already


def _is_of(act: QueuedAct | UnreadableAct, lanes: Lanes) -> bool:
    if isinstance(act, UnreadableAct) or "scope" in act.act.arguments:
        return lanes.has_first
    return lanes.has(act.ref)
