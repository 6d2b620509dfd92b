"""What a database server costs, and what several orchestrators and workers on it bring: on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from bench.measure import measure
from bench.run import Bench
from bench.system import Options, System, running, say
from deploy.postgres.postgres import Server, running_server
from kafka_saga.orchestrator.supervisor.stack import ORCHESTRATOR, SERVICES
from kafka_saga.runtime.clock import new_id
from kafka_saga.runtime.limits import IN_FLIGHT_MAX

_SETTINGS = ("shared_buffers=256MB", "max_connections=200", "max_wal_size=4GB")
"""As a small server of a team's would have it; fsync and synchronous_commit are PostgreSQL's defaults: on."""

SQLITE, STORE, ALL = "sqlite", "store on postgres", "all on postgres"
ALCHEMY = "all on postgres, by SQLAlchemy"


async def stores(bench: Bench) -> None:
    """One orchestrator: everything on SQLite, its store on PostgreSQL, the services' databases there too."""
    kinds = (SQLITE, STORE, ALL, ALCHEMY)
    parts = {f"{kind} #{turn}": kind for turn in bench.turns for kind in kinds}
    missing = bench.missing("stores", parts)
    if not missing:
        return
    with running_server(*_SETTINGS) as server:
        for name, kind in missing.items():
            say(f"stores: {name} …")
            async with _system(bench, server, kind) as system:
                await measure(system, bench.size.warm)
                before = await _written(server)
                result = await measure(system, bench.size.orders)
                after = await _written(server)
                result["server_per_saga"] = {
                    name: round((after[name] - before[name]) / bench.size.orders, 3) for name in before
                }
                alone = await measure(system, bench.size.one_at_a_time, one_at_a_time=True)
            bench.keep("stores", name, result | {"alone_ms": alone["latency_ms"]})


async def replicas(bench: Bench) -> None:
    """Several orchestrators on one store, and several workers of each service, with few and with many partitions.

    Each orchestrator brings its window of sagas under way, as `docs/scaling.md` says: one window among three makes
    batches a third as large.
    """
    parts = {
        f"{count} orchestrators, {workers} workers each, {partitions} partitions #{turn}": (count, workers, partitions)
        for turn in bench.turns
        for partitions in bench.size.partitions[:2]
        for count, workers in ((1, 1), (2, 1), (3, 1), (1, 3))
    }
    missing = bench.missing("replicas", parts)
    if not missing:
        return
    with running_server(*_SETTINGS) as server:
        for name, (count, workers, partitions) in missing.items():
            say(f"replicas: {name} …")
            copies = {ORCHESTRATOR: count, **dict.fromkeys(SERVICES, workers)}
            flags = ("--in-flight-max", str(count * IN_FLIGHT_MAX))
            kind = STORE if workers == 1 else ALL  # several workers need a database that they can share
            async with _system(bench, server, kind, partitions=partitions, copies=copies, flags=flags) as system:
                await measure(system, bench.size.warm)
                bench.keep("replicas", name, await measure(system, bench.size.orders))


@asynccontextmanager
async def _system(bench: Bench, server: Server, kind: str, **more: Any) -> AsyncIterator[System]:
    """A running system on databases of its own."""
    run = new_id()[:8]
    everybody = (ORCHESTRATOR, *SERVICES)
    roles = {SQLITE: (), STORE: (ORCHESTRATOR,), ALL: everybody, ALCHEMY: everybody}[kind]
    urls = {role: server.create_database(f"bench_{run}_{role}") for role in roles}
    participants = {name: f"bench.alchemy_services:{name}" for name in SERVICES} if kind == ALCHEMY else {}
    options = Options(store=urls.pop(ORCHESTRATOR, None), databases=urls, participants=participants, **more)
    async with running(bench.kafka, bench.directory / "databases", options) as system:
        system.servers["postgres"] = server.pid
        yield system


async def _written(server: Server) -> dict[str, int]:
    """Bytes of its log, fsyncs of that, and bytes of all databases, since the server's start."""
    connection = await asyncpg.connect(server.url)
    try:
        row = await connection.fetchrow(
            "SELECT wal_bytes::bigint AS log_bytes, wal_sync AS log_fsyncs,"
            " (SELECT sum(pg_database_size(oid))::bigint FROM pg_database) AS database_bytes FROM pg_stat_wal"
        )
    finally:
        await connection.close()
    assert row is not None, "the view has one row"
    return dict(row)
