"""Reading a store beside the orchestrator that owns it: read-only, one short statement at a time (R24)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store import migrations, rows
from kafka_saga.orchestrator.store.act_rows import ActRow, read_row
from kafka_saga.orchestrator.store.listing import KEY_MAX, Filter
from kafka_saga.orchestrator.store.port import Meaning
from kafka_saga.orchestrator.store.presence import check_store
from kafka_saga.orchestrator.store.purging import read_purged
from kafka_saga.orchestrator.store.retention import Purge, Purged, digest
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.runtime.errors import NotFoundError, StoreRefusedError
from kafka_saga.runtime.migrations import newest_schema
from kafka_saga.runtime.sqlite import SqlConnection, open_reader
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.ids import SagaRef


def was_purged(gone: Purged) -> str:
    """How a purged saga ended, and when it went."""
    return f"was purged on {rfc3339(gone.purged_at)}; it was {gone.state.value} on {rfc3339(gone.ended_at)}"


class Unfinished(NamedTuple):
    """A saga that has not ended."""

    saga_type: str
    saga_id: str
    state: str
    created_at: int


class Ended(NamedTuple):
    """A saga that has ended or is parked: how, why, and after how long."""

    key: int
    saga_type: str
    saga_id: str
    state: str
    error: str | None
    took_ms: int


@dataclass(frozen=True, slots=True)
class StoreReader:
    """What operators may read."""

    connection: SqlConnection

    @classmethod
    async def open(cls, path: Path) -> StoreReader:
        """Open the store at `path` for reading.

        Raises:
            StoreUnavailableError: there is none.
            StoreRefusedError: the file is no store, or its schema is that of another version of this program.

        """
        reader = await cls.open_any(path)
        ours = newest_schema(migrations.__name__)
        try:
            version = await reader.schema_version()
        except BaseException:
            await reader.close()  # its thread would keep the process from ending
            raise
        if version == ours:
            return reader
        await reader.close()
        advice = "start `saga orchestrator` once, which brings it up to date"
        if version > ours:
            advice = "use the newer kafka-saga that wrote it"
        raise StoreRefusedError(f"{path} has schema version {version}, and this program reads version {ours}: {advice}")

    @classmethod
    async def open_any(cls, path: Path) -> StoreReader:
        """The same for a store of any schema version: only what every version has may be asked then.

        Raises:
            StoreUnavailableError: there is none.
            StoreRefusedError: the file is no store.

        """
        check_store(path)
        return cls(await open_reader(path))

    async def close(self) -> None:
        await self.connection.close()

    async def find(self, saga_id: str, saga_type: str | None = None) -> Saga:
        """The saga of that id.

        Raises:
            NotFoundError: there is none, or several types have one.

        """
        found = await self.connection.fetch_all(SQL["find"], (saga_id, saga_type))
        if not found:
            gone = await self.find_purged(saga_id, saga_type)
            if gone is not None:
                raise NotFoundError(f"saga '{saga_id}' {was_purged(gone)}")
            raise NotFoundError(f"there is no saga '{saga_id}'" + (f" of type '{saga_type}'" if saga_type else ""))
        if len(found) > 1:
            types = ", ".join(row[1] for row in found)
            raise NotFoundError(f"several sagas have the id '{saga_id}': say which with --type ({types})")
        return rows.read_saga(found[0])

    async def find_by_prefix(self, prefix: str, saga_type: str | None, limit: int) -> list[SagaRef]:
        """The first sagas whose ids begin with `prefix`."""
        found = await self.connection.fetch_all(SQL["find_by_prefix"], (prefix, saga_type, limit))
        return [SagaRef(*row) for row in found]

    async def get(self, ref: SagaRef) -> Saga | None:
        """The saga of that type and id, or None."""
        found = await self.connection.fetch_all(SQL["load"].replace("?ids", "?"), ref)
        return rows.read_saga(found[0]) if found else None

    async def find_purged(self, saga_id: str, saga_type: str | None = None) -> Purged | None:
        """What is kept of the purged saga of that id; the last one purged where several types have it (R29)."""
        rows = await self.connection.fetch_all(SQL["load_purged"], (encode([digest(saga_id)]).decode(),))
        found = [gone for gone in map(read_purged, rows) if gone.ref.saga_id == saga_id]
        return next((gone for gone in reversed(found) if saga_type in (None, gone.ref.saga_type)), None)

    async def count_purgeable(self, wanted: Purge) -> int:
        """How many sagas a purge would take now."""
        end = await self._first_key_from(wanted.ended_before)
        states = encode(sorted(wanted.states)).decode()
        [(count,)] = await self.connection.fetch_all(
            SQL["count_purgeable"], (end, states, wanted.ended_before, wanted.saga_type)
        )
        return int(count)

    async def count_purged(self) -> int:
        """How many purged sagas are still remembered."""
        [(count,)] = await self.connection.fetch_all(SQL["count_purged"])
        return int(count)

    async def oldest_unfinished(self) -> Unfinished | None:
        """The saga that has not ended for the longest time."""
        found = await self.connection.fetch_all(SQL["oldest_unfinished"])
        return Unfinished(*found[0]) if found else None

    async def next_key(self) -> int:
        """Beyond the newest saga."""
        [(key,)] = await self.connection.fetch_all(SQL["next_key"])
        return int(key)

    async def open_keys(self, limit: int) -> set[int]:
        """The keys of sagas that have neither ended nor are parked."""
        return {key for (key,) in await self.connection.fetch_all(SQL["open_keys"], (limit,))}

    async def ended_among(self, keys: Collection[int], first: int, end: int) -> list[Ended]:
        """Those that have ended or are parked of the sagas with `keys`, and of those from `first` to before `end`."""
        asked = (encode(sorted(keys)).decode(), first, end)
        return [Ended(*row) for row in await self.connection.fetch_all(SQL["ended_among"], asked)]

    async def free_bytes(self) -> int:
        """How much of the file is free to be written again."""
        [(pages,)] = await self.connection.fetch_all("PRAGMA freelist_count")
        [(page_bytes,)] = await self.connection.fetch_all("PRAGMA page_size")
        return int(pages) * int(page_bytes)

    async def purge(self, purge_id: str) -> tuple[int, bool]:
        """How many sagas a purge has taken, and whether it is done."""
        [(purged, ended_at)] = await self.connection.fetch_all(SQL["purge"], (purge_id,))
        return int(purged), ended_at is not None

    async def log(self, saga: Saga) -> list[LogEntry]:
        """The saga's step log, oldest first."""
        return [rows.read_log(row) for row in await self.connection.fetch_all(SQL["log"], (saga.row,))]

    async def acts_by_id(self, act_ids: Sequence[str]) -> dict[str, ActRow]:
        """The acts of these ids that exist."""
        found = await self.connection.fetch_all(SQL["acts_by_id"], (encode(act_ids).decode(),))
        return {row.act_id: row for row in map(read_row, found)}

    async def acts(
        self,
        limit: int,
        *,
        saga_id: str | None = None,
        saga_type: str | None = None,
        waiting: bool = False,
        bulk_id: str | None = None,
    ) -> list[ActRow]:
        """The newest acts, newest first: of one saga, one type, one bulk act, or only those that wait."""
        asked = (saga_type, waiting, bulk_id, limit)
        if saga_id is None:
            found = await self.connection.fetch_all(SQL["list_acts"], asked)
        else:
            found = await self.connection.fetch_all(SQL["list_acts_of"], (*asked, saga_id))
        return [read_row(row) for row in found]

    async def pauses(self) -> dict[str, Pause]:
        """What is paused, by scope, oldest first."""
        return rows.read_pauses(await self.connection.fetch_all(SQL["pauses"]))

    async def count_held(self) -> dict[tuple[str, SagaState], int]:
        """How many sagas are held, by scope and state."""
        found = await self.connection.fetch_all(SQL["count_held"])
        return {(scope, SagaState(state)): count for scope, state, count in found}

    async def newest(self, wanted: Filter) -> list[Saga]:
        """The newest sagas that the filter lets through."""
        first = 0 if wanted.started_from is None else await self._first_key_from(wanted.started_from)
        end = KEY_MAX if wanted.started_before is None else await self._first_key_from(wanted.started_before)
        end = min(end, wanted.before_row)
        states = encode(sorted(wanted.wanted_states)).decode()
        statement = SQL["list_unfinished" if wanted.is_unfinished_only else "list_newest"]
        found = await self.connection.fetch_all(
            statement, (first, end, states, wanted.saga_type, wanted.error, wanted.limit, wanted.held)
        )
        return [rows.read_saga(row) for row in found]

    async def count_all(self) -> int:
        """How many sagas there are, finished ones included."""
        [(count,)] = await self.connection.fetch_all(SQL["count_all"])
        return int(count)

    async def count_unfinished(self) -> dict[SagaState, int]:
        """How many sagas are in each state that is not an end."""
        return {SagaState(state): count for state, count in await self.connection.fetch_all(SQL["count_states"])}

    async def count_by_state(self) -> dict[SagaState, int]:
        """How many sagas are in each state. It reads every saga: a third of a second for a million."""
        return {SagaState(state): count for state, count in await self.connection.fetch_all(SQL["count_by_state"])}

    async def durations(self, limit: int) -> list[int]:
        """How long the newest finished sagas took, in milliseconds."""
        return [length for (length,) in await self.connection.fetch_all(SQL["durations"], (limit,))]

    async def meta(self) -> dict[str, str]:
        """The store's id and the newest moment it has seen."""
        return dict(await self.connection.fetch_all(SQL["meta"]))

    async def schema_version(self) -> int:
        """The number of the newest migration that this store has."""
        [(version,)] = await self.connection.fetch_all(SQL["schema_version"])
        return int(version)

    async def definitions(self) -> dict[tuple[str, int], Meaning]:
        """What is on record of every (type, version) that ever ran here (R30)."""
        found = await self.connection.fetch_all(SQL["definitions"])
        return {(saga_type, version): Meaning(*meaning) for saga_type, version, *meaning in found}

    async def unfinished_versions(self) -> set[tuple[str, int]]:
        """The (type, version) pairs that unfinished sagas are pinned to."""
        return {(saga_type, version) for saga_type, version in await self.connection.fetch_all(SQL["versions"])}

    async def outbox_age(self) -> tuple[int, int | None]:
        """How many messages wait to be published, and since when the oldest does."""
        [(_batches, messages, oldest)] = await self.connection.fetch_all(SQL["outbox_age"])
        return int(messages), oldest

    async def _first_key_from(self, at: int) -> int:
        """The key of the first saga that was accepted at `at` or later; beyond the last where there is none."""
        [(low,)] = await self.connection.fetch_all(SQL["first_key"])
        [(high,)] = await self.connection.fetch_all(SQL["next_key"])
        while low < high:
            middle = (low + high) // 2
            found = await self.connection.fetch_all(SQL["created_from"], (middle,))
            if not found:  # the newest were purged meanwhile
                high = middle
                continue
            [(key, created_at)] = found
            if created_at >= at:
                high = middle
            else:
                low = key + 1
        return int(low)
