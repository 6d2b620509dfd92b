"""One verb for many sagas: sent in chunks, followed to the end, and safe to repeat.

The act ids are made of one bulk id, so a repeated run sends nothing twice and takes up the count where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.operations.acts.acting import HOLDER_GRACE_MS, POLL_MS, UNATTENDED, act_on, look, send
from kafka_saga.orchestrator.operations.acts.choosing import Chosen
from kafka_saga.orchestrator.operations.acts.following import Result, Standing, follow
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.port import QueuedAct
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.limits import BULK_UNSETTLED_MAX
from kafka_saga.schemas.ids import SagaRef

CHUNK = 100
"""Acts of one transaction: a millisecond of the store's write lock."""

LOOK_SHARE = 4
"""Looking at hundreds of acts may take one part in so many of the time: the work goes on beside it."""


@dataclass(slots=True)
class Bulk:
    """How far a bulk act is."""

    total: int
    sent: int = 0
    """Put into the queue by this run."""
    known: int = 0
    """Sent by an earlier run with the same bulk id."""
    standings: dict[SagaRef, Standing] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[Result]:
        """How many acts came to what."""
        return Counter(standing.result for standing in self.standings.values())

    @property
    def settled(self) -> int:
        """How many acts have had their effect, or will not have one."""
        return len(self.standings) - self.counts[Result.WAITING]


def bulk_acts(bulk_id: str, act: Act, chosen: Iterable[Chosen]) -> list[QueuedAct]:
    """One act for each saga of the frozen list, meant for the state it was seen in.

    Raises:
        UsageError: a text is empty or too long.

    """
    return [act_on(one.ref, replace(act, act_id=f"{bulk_id}/{one.ref}"), one.state) for one in chosen]


@dataclass(slots=True)
class BulkRun:
    """Sends acts, and waits until each has had its effect.

    Args:
        reader, queue: the store.
        clock: paces it.
        holder: tells who works on the store now.
        timeout_ms: give up when no act has settled for so long.
        on_progress: told after every step.

    """

    reader: StoreReader
    queue: ActQueue
    clock: Clock
    holder: Callable[[], Awaitable[str | None]]
    timeout_ms: int
    on_progress: Callable[[Bulk], None]

    async def run(self, acts: Sequence[QueuedAct], *, follow: bool = True) -> Bulk:
        """Carry out all; without `follow` only send them.

        At most `BULK_UNSETTLED_MAX` are under way at once, so that a mass of retries does not flood the services.

        Raises:
            RefusedError: the bulk id was used for something else.

        """
        bulk = Bulk(len(acts))
        unsettled: dict[str, QueuedAct] = {}
        position = 0
        moved_at = held_at = self.clock.monotonic_ms()
        while position < len(acts) or unsettled:
            room = BULK_UNSETTLED_MAX - len(unsettled)
            chunk = acts[position : position + CHUNK] if room >= CHUNK else ()
            if chunk:
                await self._send(chunk, bulk)
                position += len(chunk)
                moved_at = self.clock.monotonic_ms()
                if follow:
                    unsettled |= {queued.act.act_id: queued for queued in chunk}
            began = self.clock.monotonic_ms()
            settled = await self._settle(unsettled, bulk)
            now = self.clock.monotonic_ms()
            moved_at = now if settled else moved_at
            held = await self.holder() is not None
            held_at = now if held else held_at
            if unsettled and (now - moved_at >= self.timeout_ms or now - held_at >= HOLDER_GRACE_MS):
                if not held:
                    bulk.standings |= {queued.ref: UNATTENDED for queued in unsettled.values()}
                break
            if unsettled and not chunk:
                await self.clock.sleep(max(POLL_MS, (now - began) * LOOK_SHARE))
        return bulk

    async def _send(self, chunk: Sequence[QueuedAct], bulk: Bulk) -> None:
        new = await send(self.queue, self.reader, chunk, self.clock.now_ms())
        bulk.sent += new
        bulk.known += len(chunk) - new
        self.on_progress(bulk)

    async def _settle(self, unsettled: dict[str, QueuedAct], bulk: Bulk) -> int:
        """Note which acts have come to something; how many."""
        settled = 0
        for act_id, standing in (await look(self.reader, list(unsettled.values()))).items() if unsettled else ():
            bulk.standings[unsettled[act_id].ref] = standing
            if standing.result is not Result.WAITING or standing.stalled:
                del unsettled[act_id]
                settled += 1
        if settled:
            self.on_progress(bulk)
        return settled


async def bulk_on_record(reader: StoreReader, bulk_id: str, limit: int) -> tuple[str, Bulk] | None:
    """The verb of a bulk act and what its acts came to, as the store has them; None where it has none of it."""
    rows = await reader.acts(limit, bulk_id=bulk_id)
    if not rows:
        return None
    bulk = Bulk(len(rows), known=len(rows))
    for row in rows:
        saga = await reader.get(row.ref) if row.outcome == "done" else None
        bulk.standings[row.ref] = follow(row, saga, () if saga is None else await reader.log(saga))
    return rows[0].verb, bulk
