"""Two databases that want one group: who of them did something, and how the second takes over (R22)."""

from __future__ import annotations

from collections.abc import Mapping

from kafka_saga.messaging.claims import SETTLE_MS
from kafka_saga.messaging.cluster import Committed
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.participants.store.sqlite import SqliteStore as ParticipantStore
from kafka_saga.runtime.sqlite import InlineConnection
from kafka_saga.runtime.store_lock import WATCH_MS
from tests.simulation.broker import SimBroker
from tests.simulation.processes import Disk


def acted(disk: Disk, *, orchestrator: bool) -> list[int]:
    """When the owner of a database did something, by its own rows."""
    table, at = ("sagas", "created_at") if orchestrator else ("saga_fence", "started_at")
    if not disk.connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchall():
        return []
    return [moment for (moment,) in disk.connection.execute(f"SELECT {at} FROM {table}")]


async def adopt(broker: SimBroker, disks: Mapping[str, Disk]) -> None:
    """What `saga adopt --from committed` does to the groups, and its wait until their owners have noticed."""
    ids: dict[str, str] = {}
    for name, disk in disks.items():
        connection = InlineConnection(disk.connection)
        if name == "orchestrator":
            ids["orchestrator-0"] = (await SqliteStore.create(connection, broker.clock)).store_id
        else:
            ids[name] = (await ParticipantStore.on(connection, name=name)).store_id
    for (group, tp), commit in list(broker.commits.items()):
        broker.commits[group, tp] = Committed(commit.offset, ids[group])
    await broker.clock.sleep(WATCH_MS + SETTLE_MS)
