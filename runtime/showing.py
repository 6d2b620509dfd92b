"""What a process shows of itself: its health, its metrics, and the port on which both are served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from kafka_saga.runtime.admin import Admin
from kafka_saga.runtime.admin_port import AdminPort
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.health import Health
from kafka_saga.runtime.heartbeat import Heartbeat
from kafka_saga.runtime.limits import ADMIN_CONNECTIONS_MAX
from kafka_saga.runtime.metrics import Metrics
from kafka_saga.runtime.probe import NOTE_SUFFIX
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.runtime.serving import listen, serving, url_of
from kafka_saga.runtime.telemetry import log

_log = log("admin")

ADMIN_STOP_TIMEOUT_MS = 1_000
"""A probe or a scrape takes less."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a process adds its own looks and metrics to; `admin` may be mounted on another server, too."""

    health: Health
    metrics: Metrics
    admin: Admin


@asynccontextmanager
async def shown(
    at: AdminPort, lifecycle: Lifecycle, process: str, clock: Clock, *, name: str | None = None
) -> AsyncIterator[Shown]:
    """Show this process until the block ends: enter it first, so that probes are answered to the very end.

    Args:
        at: where.
        lifecycle: the process's; once it is told to stop, the process is not ready.
        process: `orchestrator`, or the service's name.
        clock: the machine's.
        name: of the note; `process` when not given. Processes that share a data directory need names of their own.

    Raises:
        RefusedError: the port is taken.

    """
    health = Health(process, lifecycle.stopping)
    note = None if at.folder is None else at.folder / f"{name or process}{NOTE_SUFFIX}"
    heartbeat = Heartbeat(health, clock, note)
    found = Shown(health, metrics := Metrics(lambda: heartbeat.lag_s), Admin(health, metrics))
    async with AsyncExitStack() as stack:
        if at.port is not None:
            listening = listen(at.host, at.port, "choose another with --admin-port")
            await stack.enter_async_context(
                serving(
                    found.admin,
                    listening,
                    name="admin",
                    connections_max=ADMIN_CONNECTIONS_MAX,
                    stop_timeout_ms=ADMIN_STOP_TIMEOUT_MS,
                )
            )
            heartbeat.address = url_of(listening)
            _log.info("admin.ready", url=heartbeat.address)
        stack.callback(lifecycle.spawn(heartbeat.run(), "heartbeat").cancel)
        yield found
