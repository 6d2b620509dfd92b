"""When the broker was away, as far as it matters to waits: they begin when it was back (R21, docs/decisions/0006).

It is stored with the batch that follows, because a process that dies in between would take commands that waited an
outage for having been published when they were decided, and give up their replies at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kafka_saga.orchestrator.store.port import Outage, Store

SLOW_MS = 1_000
"""A publish, or a question, that took longer counts as an outage: meanwhile nobody could reply."""


class Outages:
    """What this life and those before it know of outages."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._known = self._stored = Outage()

    @property
    def ended_at(self) -> int:
        """Everything decided up to here was published then at the latest; later messages without delay."""
        return self._known.ended_at

    @property
    def is_on(self) -> bool:
        """Whether the broker does not answer."""
        return self._known.is_on

    @property
    def unstored(self) -> Outage | None:
        """What a next batch must store; None where the store has it."""
        return None if self._known == self._stored else self._known

    async def restore(self, store: Store) -> None:
        """Take over what the lives before this one knew."""
        self._known = self._stored = await store.outage()

    def stored(self, outage: Outage | None) -> None:
        """A batch with `outage` was committed."""
        self._stored = outage or self._stored

    def began(self) -> None:
        """The broker does not answer."""
        self._known = replace(self._known, is_on=True)

    def ended(self) -> None:
        """The broker did not answer for a while, and does now: waits for replies begin again."""
        self._known = Outage(self._now())
