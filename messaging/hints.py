"""Committed offsets as a hint: lag tools see them, nothing else depends on them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kafka_saga.messaging.claims import Claim, Groups, Unclaimed
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError, RefusedError
from kafka_saga.runtime.telemetry import log

_log = log("commit_hints")

# A commit costs the broker a write. Lag tools look every few seconds.
_INTERVAL_MS = 500


class CommitHints:
    """Commits a group's offsets in the background: one commit at a time, later ones replace what still waits."""

    def __init__(self, groups: Groups, group: str, clock: Clock, claim: Claim | Unclaimed) -> None:
        self._groups = groups
        self._group = group
        self._clock = clock
        self._claim = claim
        self._offsets: dict[TopicPartition, int] = {}
        self._metadata = ""
        self._task: asyncio.Task[None] | None = None
        self._rest: asyncio.Task[None] | None = None
        self._failing = False
        self._stopping = False

    def put(self, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        """Have `offsets` committed with `metadata` before long; of two for one partition the later counts."""
        self._claim.cover(offsets)
        self._offsets |= offsets
        self._metadata = metadata
        if self._task is None and offsets and not self._stopping:
            self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Commit what still waits and end; takes one request's deadline at most."""
        self._stopping = True
        if self._rest is not None:
            self._rest.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._offsets:
            offsets, self._offsets = self._offsets, {}
            if not await self._commit(offsets) and not self._stopping:
                # Else who idles from now on would look for ever as if he had not read it.
                self._offsets = {**offsets, **self._offsets}
            if not self._stopping:
                self._rest = asyncio.ensure_future(self._clock.sleep(_INTERVAL_MS))
                await asyncio.wait({self._rest})
                self._rest = None
        self._task = None

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        try:
            # Who wrote over another owner's claim would hide it from himself.
            if await self._claim.look():
                await self._groups.commit(self._group, offsets, self._metadata)
        except (BrokerUnavailableError, RefusedError) as error:
            if not self._failing:  # once per outage
                _log.warning("commit_hints.failing", group=self._group, error=str(error))
            self._failing = True
            return False
        self._failing = False
        return True
