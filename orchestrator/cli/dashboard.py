"""`saga dashboard`."""

from __future__ import annotations

import asyncio
from functools import partial
from socket import socket
from typing import Annotated

from cyclopts import Parameter

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.options import AS_SET, DEFAULTS, HttpFlag, ProcessFlags, SettingFlags
from kafka_saga.orchestrator.cli.serving import log_remarks
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.http.ports import take_free_port
from kafka_saga.orchestrator.http.settings import read_listen_address
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.extras import require
from kafka_saga.runtime.health import Finding
from kafka_saga.runtime.process import Lifecycle, run_process
from kafka_saga.runtime.showing import shown
from kafka_saga.runtime.telemetry import configure_logging


def dashboard(
    *,
    http: HttpFlag = None,
    read_only: Annotated[
        bool | None, Parameter(negative="", show_default=False, help="Show everything, change nothing")
    ] = None,
    common: SettingFlags = DEFAULTS,
    process: ProcessFlags = AS_SET,
) -> int:
    """Serve the dashboard and the HTTP API beside the orchestrator, until it is stopped.

    `saga orchestrator --http`, `saga up` and `saga demo` serve them too. It needs the store: a file on this machine,
    or a database; and Kafka, for dead letters, lag and what is started by the API.

    Examples:
        saga dashboard

        saga dashboard --read-only --http 127.0.0.1:8080

        saga dashboard --store postgresql://saga@db/orders

    """
    require("dashboard", "the dashboard")
    from kafka_saga.orchestrator.web import take_port  # noqa: PLC0415 -- an extra

    settings = common.loaded(http=http, read_only=read_only, **process.given).settings
    configure_logging(process="dashboard", level=settings.log_level, log_format=settings.log_format)
    log_remarks()
    registry = registry_of(settings)
    listens = settings.http.listen
    with take_free_port() if listens is None else take_port(read_listen_address(listens), settings.http) as listening:
        return run_process(lambda lifecycle: _serve(lifecycle, settings, registry, listening))


async def _serve(lifecycle: Lifecycle, settings: Settings, registry: Registry, listening: socket) -> None:
    from kafka_saga.orchestrator.web import open_front, open_web  # noqa: PLC0415 -- an extra

    await (await StoreReader.open(settings.store_at)).close()  # somebody is here to read what is wrong with it
    clock = SystemClock()
    async with (
        shown(settings.admin_at, lifecycle, "dashboard", clock) as of_us,
        open_front(listening, of_us.admin, lifecycle.stopping) as served,
        open_web(settings, registry, served, clock),
    ):
        of_us.health.add("store", partial(_look_at_store, settings.store_at))
        of_us.health.started()
        print(f"Dashboard {served.url}", flush=True)  # noqa: T201 -- for whoever started it, to open
        stopping = asyncio.create_task(lifecycle.stopping.wait())
        await asyncio.wait({stopping, served.task}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if served.task.done():
            served.task.result()


async def _look_at_store(at: StoreLocation) -> Finding:
    reader = await StoreReader.open(at)
    await reader.close()
    return Finding(ok=True, seen="it answers")
