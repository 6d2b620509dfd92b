"""Bulk acts that run in a server: the list is frozen first, looked at, and then acted on, beside those who look.

What was sent is in the store; the list that was not sent yet is in this process only. A server that ends takes it with
it, and its page says so: what was sent goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.operations.acts.bulk import Bulk, BulkRun, bulk_acts
from kafka_saga.orchestrator.operations.acts.choosing import Chosen, Frozen
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import NotFoundError, RefusedError, SagaError, UsageError
from kafka_saga.runtime.telemetry import log

_log = log("acts")

BULK_SAGAS_MAX = 100_000
"""Sagas of one bulk act over HTTP: its list is held in memory, some 20 MB."""

BULK_JOBS_MAX = 20
"""Lists that are held, and bulk acts that are remembered, by one process."""

BULK_CONFIRMED_MIN = 100
"""Beyond so many sagas the number must be typed: a click is too little."""

SETTLED_TIMEOUT_MS = 600_000
"""A bulk act is followed until none of its acts has settled for so long."""


@dataclass(slots=True)
class Job:
    """One bulk act.

    Attributes:
        bulk_id: names it, also in the store.
        verb: what is done.
        actor: who froze the list; nobody else acts on it.
        frozen: the list.
        at: when it was frozen.
        act: what was sent, once it was.
        bulk: how far it is.
        trouble: why it stopped before its end.
        task: what sends and follows it.

    """

    bulk_id: str
    verb: EventKind
    actor: str
    frozen: Frozen
    at: int
    act: Act | None = None
    bulk: Bulk | None = None
    trouble: str | None = None
    task: asyncio.Task[None] | None = None

    @property
    def chosen(self) -> list[Chosen]:
        """The sagas on the list."""
        return self.frozen.chosen

    @property
    def is_running(self) -> bool:
        """Whether something is still being sent or followed."""
        return self.task is not None and not self.task.done()

    @property
    def kinds(self) -> Counter[tuple[str, str | None]]:
        """How many of the list stand where, with what error; the most first."""
        return Counter((one.status, one.error) for one in self.chosen)

    @property
    def confirmation(self) -> str | None:
        """What must be typed before it is sent; None where a button is enough."""
        return str(len(self.chosen)) if len(self.chosen) > BULK_CONFIRMED_MIN else None


@dataclass(slots=True)
class BulkJobs:
    """The bulk acts of this process.

    Args:
        store_at: the store.
        clock: paces them.
        new_id: makes bulk ids.

    """

    store_at: StoreLocation
    clock: Clock
    new_id: Callable[[], str]
    _jobs: dict[str, Job] = field(default_factory=dict)

    def freeze(self, verb: EventKind, actor: str, frozen: Frozen) -> Job:
        """Keep a list until it is acted on.

        Raises:
            UsageError: it is empty, or too long.
            RefusedError: too many bulk acts run.

        """
        if not frozen.chosen:
            raise UsageError("none of the chosen sagas is in a state that this is for: look at the list again")
        if len(frozen.chosen) > BULK_SAGAS_MAX:
            raise UsageError(f"the list has more than {BULK_SAGAS_MAX:,} sagas: filter for some of them")
        self._make_room()
        job = Job(self.new_id()[:12], verb, actor, frozen, self.clock.now_ms())
        self._jobs[job.bulk_id] = job
        return job

    def get(self, bulk_id: str) -> Job | None:
        """The bulk act of that id, where this process knows it."""
        return self._jobs.get(bulk_id)

    def begin(
        self, bulk_id: str, *, actor: str, reason: str, arguments: Mapping[str, Any], confirmed: str | None
    ) -> Job:
        """Send a list that was frozen, and follow it.

        Raises:
            NotFoundError: this process does not know it.
            RefusedError: somebody else froze it.
            UsageError: it is not confirmed, or a text is empty or too long.

        """
        job = self._jobs.get(bulk_id)
        if job is None:
            raise NotFoundError(f"there is no frozen list {bulk_id} here: the server was restarted; choose again")
        if job.actor != actor:
            raise RefusedError(f"{job.actor} froze this list: choose your own")
        if job.act is not None:
            return job  # the form was sent twice
        if job.confirmation is not None and confirmed != job.confirmation:
            raise UsageError(f"type {job.confirmation}, the number of sagas, to confirm")
        act = Act(bulk_id, job.verb, actor, reason, arguments=dict(arguments))
        acts = bulk_acts(bulk_id, act, job.chosen)
        job.act, job.bulk = act, Bulk(len(acts))
        job.task = asyncio.create_task(self._run(job, act), name=f"bulk act {bulk_id}")
        return job

    async def close(self) -> None:
        """Stop following; what was sent is sent."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job, act: Act) -> None:
        try:
            async with AsyncExitStack() as stack:
                reader = await StoreReader.open(self.store_at)
                stack.push_async_callback(reader.close)
                queue = await ActQueue.open(self.store_at)
                stack.push_async_callback(queue.close)

                def progress(bulk: Bulk) -> None:
                    job.bulk = bulk

                holder = partial(reader.owners.now, self.clock)
                running = BulkRun(reader, queue, self.clock, holder, SETTLED_TIMEOUT_MS, progress)
                job.bulk = await running.run(bulk_acts(job.bulk_id, act, job.chosen))
        except SagaError as error:
            job.trouble = str(error)
            _log.warning("bulk.stopped", bulk_id=job.bulk_id, error=str(error))

    def _make_room(self) -> None:
        while len(self._jobs) >= BULK_JOBS_MAX:
            oldest = next((job for job in self._jobs.values() if not job.is_running), None)
            if oldest is None:
                raise RefusedError(f"{BULK_JOBS_MAX} bulk acts run already: wait for one of them")
            del self._jobs[oldest.bulk_id]
