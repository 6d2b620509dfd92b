"""The event loop's heartbeat: how late it beats, and the note of it that `saga health` reads.

The note is a small file beside the process's data, written anew every two seconds: a probe needs no port for it, and
reads it without importing anything of ours.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.health import Finding, Health
from kafka_saga.runtime.limits import HEARTBEAT_MS, HEARTBEAT_NOTE_MS
from kafka_saga.runtime.telemetry import log

_log = log("health")

_LAGS_KEPT = 30
"""Fifteen seconds of beats: a scrape that comes less often still sees the worst of its interval, as a rule."""


class Heartbeat:
    """Beats twice a second, as long as the loop turns."""

    def __init__(self, health: Health, clock: Clock, note: Path | None = None) -> None:
        """Nothing beats before `run`.

        Args:
            health: what the note tells.
            clock: the machine's.
            note: the file; None where nobody reads one.

        """
        self._health = health
        self._clock = clock
        self._note = note
        self._lags_s: deque[float] = deque([0.0], _LAGS_KEPT)
        self.address: str | None = None
        """Where the process serves `/livez`, `/readyz` and `/metrics`, if it does."""

    @property
    def lag_s(self) -> float:
        """By how much the latest of the last beats came too late, in seconds."""
        return max(self._lags_s)

    async def run(self) -> None:
        """Beat until cancelled; the note goes with the process."""
        time_s = asyncio.get_running_loop().time
        written_at_s = -HEARTBEAT_NOTE_MS / 1000
        try:
            while True:
                began_s = time_s()
                await self._clock.sleep(HEARTBEAT_MS)
                ended_s = time_s()
                self._lags_s.append(max(0.0, ended_s - began_s - HEARTBEAT_MS / 1000))
                if self._note is not None and ended_s - written_at_s >= HEARTBEAT_NOTE_MS / 1000:
                    written_at_s = ended_s
                    self._write(await self._health.findings())
        finally:
            if self._note is not None:
                self._note.unlink(missing_ok=True)

    def _write(self, findings: Mapping[str, Finding]) -> None:
        assert self._note is not None
        document = {
            "process": self._health.process,
            "pid": os.getpid(),
            "beat_at_ms": self._clock.monotonic_ms(),
            "admin": self.address,
            "findings": {name: finding._asdict() for name, finding in findings.items()},
        }
        new = self._note.with_name(f"{self._note.name}.new")
        try:
            new.parent.mkdir(parents=True, exist_ok=True)  # who keeps nothing here may be the first to write
            new.write_text(json.dumps(document), encoding="utf-8")
            new.replace(self._note)
        except OSError as error:
            _log.warning(
                "health.note_not_written", file=str(self._note), error=str(error), why="`saga health` needs it"
            )
            self._note = None
