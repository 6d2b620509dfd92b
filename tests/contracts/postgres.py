"""The store on PostgreSQL under contract: as one replica among several, and alone."""

from __future__ import annotations

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.store import purging, rows
from kafka_saga.orchestrator.store.act_rows import insert_row
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.members import Joining, Lanes, SharedStore
from kafka_saga.orchestrator.store.port import ActOutcome, QueuedAct
from kafka_saga.orchestrator.store.postgres.server_time import ServerTime
from kafka_saga.orchestrator.store.postgres.store import PostgresStore, open_store
from kafka_saga.orchestrator.store.postgres.tables import open_tables
from kafka_saga.orchestrator.store.retention import Asker, QueuedPurge
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.sharing import Server
from tests.contracts.stores import NOW, Durable, SetClock


class SetTime(ServerTime):
    """A server whose clock shows what the test's does."""

    def __init__(self, clock: SetClock) -> None:
        super().__init__(clock)
        self._set = clock

    def compare(self, server_ms: int, newest_ms: int) -> None:  # noqa: ARG002 -- the server's real clock
        super().compare(self._set.now_ms(), newest_ms)

    def now_ms(self) -> int:
        return max(super().now_ms(), self._set.now_ms())


async def opened(at: PostgresLocation, clock: SetClock) -> PostgresStore:
    """A replica's object; it has no life yet."""
    return await open_store(at, clock, time=SetTime(clock))


class Outside:
    """What operators do beside the replicas."""

    def __init__(self, at: PostgresLocation) -> None:
        self._at = at

    async def queue_act(self, queued: QueuedAct) -> None:
        tables = await open_tables(self._at, application="saga test", read_only=False)
        await tables.queue_acts([insert_row(queued, NOW)])
        await tables.close()

    async def act_outcome(self, act_id: str) -> ActOutcome | None:
        tables = await open_tables(self._at, application="saga test", read_only=True)
        found = await tables.fetch_all("acts_by_id", (f'["{act_id}"]',))
        await tables.close()
        [(*_, outcome, message, _at)] = found or [(None, "", 0)]
        return None if outcome is None else ActOutcome(act_id, outcome, message)

    async def queue_purge(self, queued: QueuedPurge) -> None:
        tables = await open_tables(self._at, application="saga test", read_only=False)
        await purging.queue(tables, queued, Asker("ops", "old"), NOW)
        await tables.close()

    async def note_definition(self, version: int, fingerprint: str) -> None:
        tables = await open_tables(self._at, application="saga test", read_only=False)
        old = f"INSERT INTO {self._at.schema}.definitions (saga_type, version, fingerprint) VALUES ('order', $1, $2)"
        await tables.connection.execute(old, version, fingerprint)
        await tables.close()

    async def log(self, ref: SagaRef) -> list[LogEntry]:
        tables = await open_tables(self._at, application="saga test", read_only=True)
        found = await tables.fetch_all("find", (ref.saga_id, ref.saga_type))
        log = await tables.fetch_all("log", (found[0][0],)) if found else []
        await tables.close()
        return [rows.read_log(row) for row in log]


class InPostgres(Durable):
    """One replica; alone here, and the owner of every lane."""

    store: PostgresStore

    def __init__(self, at: PostgresLocation) -> None:
        super().__init__()
        self.at = at
        self._outside = Outside(self.at)

    async def open(self) -> InPostgres:
        self.store = await opened(self.at, self.clock)
        await self.store.members.join(Joining("a", "1.0", "order 1", window=1_000, lanes=1))
        await self.store.members.inherit()
        self.store.members.own(Lanes(1, frozenset({0})))
        return self

    async def reopen(self) -> None:
        await self.store.members.leave()
        await self.store.close()
        await self.open()

    async def note_definition(self, version: int, fingerprint: str) -> None:
        await self._outside.note_definition(version, fingerprint)

    async def queue_act(self, queued: QueuedAct) -> None:
        await self._outside.queue_act(queued)

    async def act_outcome(self, act_id: str) -> ActOutcome | None:
        return await self._outside.act_outcome(act_id)

    async def queue_purge(self, queued: QueuedPurge) -> None:
        await self._outside.queue_purge(queued)

    async def log(self, ref: SagaRef) -> list[LogEntry]:
        return await self._outside.log(ref)


class PostgresServer(Server):
    def __init__(self, at: PostgresLocation) -> None:
        super().__init__()
        self._at = at
        self._outside = Outside(self._at)
        self._opened: list[PostgresStore] = []

    async def replica(self) -> SharedStore:
        store = await opened(self._at, self.clock)
        self._opened.append(store)
        return store

    async def queue_act(self, queued: QueuedAct) -> None:
        await self._outside.queue_act(queued)

    async def close(self) -> None:
        """Close every object that was opened."""
        for store in self._opened:
            await store.close()
