"""Who works on a store: the process that has the file, or the replicas on a database, with what each has left."""

from __future__ import annotations

from typing import Any

from kafka_saga.orchestrator.store.location import PostgresLocation, StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock, rfc3339


async def list_replicas(reader: StoreReader, at: StoreLocation, clock: Clock) -> list[dict[str, Any]]:
    """Every orchestrator that works on the store, or did, each with whether it lives."""
    unsent, since = await reader.outbox_age()
    if not isinstance(at, PostgresLocation):
        name = await reader.owners.now(clock)
        return [] if name is None else [_document(name, None, "live", unsent=unsent, since=since)]
    holder = await reader.owners.now(clock)
    beating = set() if holder is None else set(holder.removeprefix("replica ").split(", "))
    return [
        _document(
            name,
            replica,
            state if state != "live" or name in beating else "silent",
            unsent=left,
            since=left_since,
            batches=batch,
            seen=moment,
        )
        for replica, name, state, batch, moment, left, left_since in await reader.tables.fetch_all("lives")
    ]


def _document(
    name: str,
    life: int | None,
    state: str,
    *,
    unsent: int,
    since: int | None,
    batches: int | None = None,
    seen: int | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "life": life,
        "state": state,
        "batches": batches,
        "lastSeenAt": None if not seen else rfc3339(seen),
        "unpublished": unsent,
        "unpublishedSince": None if since is None else rfc3339(since),
    }
