"""The store in memory: for users' tests and ours. It passes the suite that SQLite passes; nothing outlives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from itertools import islice

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.store.lives import Life
from kafka_saga.orchestrator.store.port import (
    ActOutcome,
    Advance,
    Batch,
    Known,
    Loss,
    Meaning,
    NotedAct,
    Outage,
    OutboxId,
    OutboxRow,
    QueuedAct,
    Registered,
    UnreadableAct,
)
from kafka_saga.orchestrator.store.retention import Purged, PurgeStep, QueuedPurge
from kafka_saga.runtime.clock import Clock, ForwardClock
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.schemas.ids import SagaRef


class MemoryStore:
    """`Store` in dictionaries."""

    def __init__(self, clock: Clock, store_id: str = "memory") -> None:
        self._clock = ForwardClock(clock, 0)
        self._store_id = store_id
        self._sagas: dict[SagaRef, Known] = {}
        self._log: dict[SagaRef, list[LogEntry]] = {}
        self._outbox: dict[OutboxId, OutboxRow] = {}
        self._last_outbox_seq = 0
        self._offsets: dict[TopicPartition, int] = {}
        self._losses: dict[TopicPartition, Loss] = {}
        self._acts: dict[str, tuple[QueuedAct | NotedAct, ActOutcome | None]] = {}
        self._decided_at: dict[str, int] = {}
        self._last_row = 0
        self._purged: dict[SagaRef, Purged] = {}
        self._purges: dict[str, QueuedPurge] = {}
        self._definitions: dict[tuple[str, int], Meaning] = {}
        self._pauses: dict[str, Pause] = {}
        self._outage = Outage()

    @property
    def store_id(self) -> str:
        return self._store_id

    def now(self) -> int:
        return self._clock.now_ms()

    async def load(self, refs: Iterable[SagaRef]) -> dict[SagaRef, Known]:
        return {ref: self._sagas[ref] for ref in refs if ref in self._sagas}

    async def pending(self, limit: int, paused_types: Collection[str] = ()) -> list[SagaRef]:
        return [ref for ref in self._waiting() if ref.saga_type not in paused_types][:limit]

    async def due(self, now: int, limit: int) -> list[SagaRef]:
        waking = ((known.saga.wake_at, ref) for ref, known in self._sagas.items())
        return [ref for at, ref in sorted((at, ref) for at, ref in waking if at is not None and at <= now)][:limit]

    async def next_wake_at(self) -> int | None:
        waking = (known.saga.wake_at for known in self._sagas.values())
        return min((at for at in waking if at is not None), default=None)

    async def waiting_acts(self, limit: int) -> list[QueuedAct | UnreadableAct]:
        waiting = (act for act, outcome in self._acts.values() if outcome is None and isinstance(act, QueuedAct))
        return list(islice(waiting, limit))

    async def commit(self, batch: Batch) -> OutboxId | None:
        self._check(batch)
        for started in batch.started:
            self._last_row += 1
            saga = started.saga.at_row(self._last_row)
            self._sagas[saga.ref] = Known(saga, started.request_hash)
        for change in batch.changed:
            self._sagas[change.saga.ref] = Known(change.saga, self._sagas[change.saga.ref].request_hash)
        for ref, entry in batch.log:
            self._log.setdefault(ref, []).append(entry)
        for outbox_id in batch.published:
            self._outbox.pop(outbox_id, None)
        for outbox_id, left in batch.rewritten.items():
            self._outbox[outbox_id] = replace(self._outbox[outbox_id], messages=left)
        self._offsets.update({tp: step.next for tp, step in batch.offsets.items()})
        self._losses.update({reset.partition: Loss(batch.now, reset) for reset in batch.resets})
        for outcome in batch.acts:
            queued, _ = self._acts[outcome.act_id]
            self._acts[outcome.act_id] = (queued, outcome)
            self._decided_at[outcome.act_id] = batch.now
        for noted in batch.noted:
            self._acts.setdefault(noted.act_id, (noted, ActOutcome(noted.act_id, "done", noted.message)))
            self._decided_at.setdefault(noted.act_id, batch.now)
        self._pauses.update({scope: pause for scope, pause in batch.pauses.items() if pause is not None})
        for scope in [scope for scope, pause in batch.pauses.items() if pause is None]:
            self._pauses.pop(scope, None)
        self._outage = batch.outage or self._outage
        if not batch.messages:
            return None
        self._last_outbox_seq += 1
        outbox_id = OutboxId(0, self._last_outbox_seq)
        self._outbox[outbox_id] = OutboxRow(outbox_id, batch.now, list(batch.messages))
        return outbox_id

    def locked(self, _refs: Iterable[SagaRef], /) -> AbstractAsyncContextManager[None]:
        return nullcontext()  # nobody else has it

    async def outbox(self) -> list[OutboxRow]:
        return list(self._outbox.values())

    async def life(self) -> Life:
        return Life()  # what ends with its process is never restored

    async def outage(self) -> Outage:
        return self._outage

    async def offsets(self) -> dict[TopicPartition, int]:
        return dict(self._offsets)

    async def losses(self) -> list[Loss]:
        return list(self._losses.values())

    async def count_states(self) -> dict[SagaState, int]:
        counts: dict[SagaState, int] = {}
        for known in self._sagas.values():
            if known.saga.state not in TERMINAL:
                counts[known.saga.state] = counts.get(known.saga.state, 0) + 1
        return counts

    async def pauses(self) -> dict[str, Pause]:
        return dict(self._pauses)

    async def held(self, scope: str, limit: int) -> list[SagaRef]:
        holding = [known.saga for known in self._sagas.values() if known.saga.held and known.saga.held.scope == scope]
        return [saga.ref for saga in sorted(holding, key=lambda saga: (saga.state, saga.row))][:limit]

    async def count_held(self) -> dict[tuple[str, SagaState], int]:
        held = ((known.saga.held, known.saga.state) for known in self._sagas.values())
        return Counter((hold.scope, state) for hold, state in held if hold is not None)

    async def count_pending_of(self, saga_types: Collection[str]) -> int:
        return sum(ref.saga_type in saga_types for ref in self._waiting())

    async def unfinished_versions(self) -> set[tuple[str, int]]:
        return {
            (ref.saga_type, known.saga.definition_version)
            for ref, known in self._sagas.items()
            if known.saga.state not in TERMINAL
        }

    async def unfinished_of(self, saga_type: str, version: int, limit: int) -> list[SagaRef]:
        settled = TERMINAL | {SagaState.PARKED}
        return [
            ref
            for ref, known in self._sagas.items()
            if known.saga.state not in settled
            and ref.saga_type == saga_type
            and known.saga.definition_version == version
        ][:limit]

    async def register(self, definitions: Sequence[Registered]) -> Mapping[tuple[str, int], Meaning]:
        for saga_type, version, fingerprint, description, _earlier in definitions:
            self._definitions.setdefault((saga_type, version), Meaning(fingerprint, description))
        return dict(self._definitions)

    async def load_purged(self, refs: Iterable[SagaRef]) -> dict[SagaRef, Purged]:
        return {ref: self._purged[ref] for ref in refs if ref in self._purged}

    async def waiting_purges(self) -> list[QueuedPurge]:
        return list(self._purges.values())

    async def purge(self, queued: QueuedPurge, rows_max: int) -> PurgeStep:
        rows = [known for known in self._sagas.values() if known.saga.row >= queued.from_key][:rows_max]
        old = [known for known in rows if known.saga.created_at < queued.wanted.ended_before]
        gone = [known for known in old if queued.wanted.covers(known.saga.ref, known.saga.state, known.saga.updated_at)]
        for saga, request_hash in ((known.saga, known.request_hash) for known in gone):
            kept = Purged(saga.ref, saga.state, request_hash, saga.created_at, saga.updated_at, self.now())
            self._purged[saga.ref] = kept
            del self._sagas[saga.ref]
            self._log.pop(saga.ref, None)
        following = old[-1].saga.row + 1 if len(old) == rows_max else None
        if queued.purge_id and following is None:
            del self._purges[queued.purge_id]
        elif queued.purge_id:
            self._purges[queued.purge_id] = replace(queued, from_key=following or 0)
        return PurgeStep(len(gone), following)

    async def forget_purged(self, before: int, rows_max: int) -> int:
        oldest = [ref for ref, kept in list(self._purged.items())[:rows_max] if kept.purged_at < before]
        for ref in oldest:
            del self._purged[ref]
        return len(oldest)

    async def forget_acts(self, before: int, from_key: int, rows_max: int) -> PurgeStep:
        looked_at = list(self._acts.items())[from_key : from_key + rows_max]
        gone = [act_id for act_id, (act, _) in looked_at if self._is_forgettable(act_id, act, before)]
        for act_id in gone:
            del self._acts[act_id], self._decided_at[act_id]
        following = from_key + rows_max - len(gone)
        return PurgeStep(len(gone), following if following < len(self._acts) else None)

    async def tidy(self) -> bool:
        return True

    def held_bytes(self) -> int:
        return 0

    async def close(self) -> None:
        """Nothing to let go of."""

    async def queue_purge(self, queued: QueuedPurge) -> None:
        """Queue an operator's purge."""
        self._purges[queued.purge_id] = queued

    async def queue_act(self, queued: QueuedAct) -> None:
        """Queue an operator's verb; the same act id twice is one act (R25)."""
        self._acts.setdefault(queued.act.act_id, (queued, None))

    @property
    def noted(self) -> list[NotedAct]:
        """What is kept of what people did that needs nobody to take it."""
        return [act for act, _ in self._acts.values() if isinstance(act, NotedAct)]

    async def act_outcome(self, act_id: str) -> ActOutcome | None:
        """What became of an act; None while it waits or where it is unknown."""
        return self._acts.get(act_id, (None, None))[1]

    async def log(self, ref: SagaRef) -> list[LogEntry]:
        """The saga's log."""
        return list(self._log.get(ref, ()))

    def _is_forgettable(self, act_id: str, act: QueuedAct | NotedAct, before: int) -> bool:
        decided_at = self._decided_at.get(act_id)
        return decided_at is not None and decided_at < before and act.ref not in self._sagas

    def _waiting(self) -> Iterator[SagaRef]:
        """What waits for admission and is not held."""
        for ref, known in self._sagas.items():
            if known.saga.state is SagaState.PENDING and known.saga.held is None:
                yield ref

    def _check(self, batch: Batch) -> None:
        for started in batch.started:
            if started.saga.ref in self._sagas:
                raise ConflictError("a new saga's id was taken meanwhile", what="ids")
        for change in batch.changed:
            if self._sagas[change.saga.ref].saga.version != change.version_read:
                raise ConflictError("a saga was changed meanwhile", what="sagas")
        if any(self._sagas[saga.ref].saga.version != saga.version for saga in batch.unchanged):
            raise ConflictError("a saga was changed meanwhile, and what was ignored may be wanted", what="sagas")
        for tp, step in batch.offsets.items():
            self._check_offset(tp, step)
        if any(self._acts[outcome.act_id][1] is not None for outcome in batch.acts):
            raise ConflictError("an act was decided meanwhile", what="acts")

    def _check_offset(self, tp: TopicPartition, step: Advance) -> None:
        if self._offsets.get(tp) != step.read_from:
            raise ConflictError("another owner has read these partitions meanwhile", what="offsets")
