"""Whether a process can do its work now: what `/readyz` says, and the note that `saga health` reads.

Alive is less: the event loop turns. It depends on nothing outside, or a slow database would restart every process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from kafka_saga.runtime.limits import READY_LOOK_TIMEOUT_MS


class Finding(NamedTuple):
    """What a look at one part found.

    Attributes:
        ok: whether the process can work as far as that part goes.
        seen: what that was, for people.

    """

    ok: bool
    seen: str


Look = Callable[[], Awaitable[Finding] | Finding]
"""One look at one part. It may ask something outside, and is given up after READY_LOOK_TIMEOUT_MS."""


class Health:
    """What is looked at, and whether the process has begun and is to end."""

    def __init__(self, process: str, stopping: asyncio.Event) -> None:
        """Not ready before `started`.

        Args:
            process: what this process is: `orchestrator`, `payment`, `dashboard`.
            stopping: set once it was told to stop: what is in hand is finished, and nothing new is to be sent here.

        """
        self.process = process
        self._stopping = stopping
        self._looks: dict[str, Look] = {}
        self._has_started = False

    def add(self, name: str, look: Look) -> None:
        """Let `look` decide, too, whether the process is ready."""
        self._looks[name] = look

    def started(self) -> None:
        """The process works from now on."""
        self._has_started = True

    async def findings(self) -> dict[str, Finding]:
        """What every look finds now, by its name; the process is ready where all are ok."""
        if self._stopping.is_set():
            return {"stopping": Finding(ok=False, seen="it was told to stop, and finishes what it has in hand")}
        if not self._has_started:
            return {"starting": Finding(ok=False, seen="it has not begun to work: Kafka or its database is awaited")}
        found = await asyncio.gather(*(_looked(look) for look in self._looks.values()))
        return dict(zip(self._looks, found, strict=True))


def is_ready(findings: dict[str, Finding]) -> bool:
    """Whether all of them are ok."""
    return all(finding.ok for finding in findings.values())


async def _looked(look: Look) -> Finding:
    try:
        found = look()
        if isinstance(found, Finding):
            return found
        async with asyncio.timeout(READY_LOOK_TIMEOUT_MS / 1000):
            return await found
    except TimeoutError:
        return Finding(ok=False, seen=f"no answer within {READY_LOOK_TIMEOUT_MS} ms")
    except Exception as error:  # noqa: BLE001 -- whatever it is, this part cannot be used now
        return Finding(ok=False, seen=f"{type(error).__name__}: {error}")
