"""Reading a store beside the orchestrator that owns it: read-only, one short statement at a time (R24)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store import rows
from kafka_saga.orchestrator.store.act_rows import ActRow, read_row
from kafka_saga.orchestrator.store.beside import open_to_read, owners_of
from kafka_saga.orchestrator.store.listing import KEY_MAX, MOMENT_MAX, Filter, says
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.owners import Owners
from kafka_saga.orchestrator.store.port import Meaning
from kafka_saga.orchestrator.store.purging import read_purged
from kafka_saga.orchestrator.store.retention import Purge, Purged, digest
from kafka_saga.orchestrator.store.sight import WHOLE, Sight
from kafka_saga.orchestrator.store.tables import Tables
from kafka_saga.runtime.clock import rfc3339
from kafka_saga.runtime.errors import NotFoundError, UsageError
from kafka_saga.runtime.limits import PAGE_WINDOW_ROWS
from kafka_saga.runtime.live_limits import MASKED_WINDOW_ROWS, PREFIXED_SAGAS_MAX, READ_AGAIN_ROWS
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.sensitive import MASK


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

    tables: Tables
    owners: Owners
    """Who works on the store."""
    sight: Sight = WHOLE
    """What of its sagas, their logs and acts is shown."""

    @classmethod
    async def open(cls, at: StoreLocation, sight: Sight = WHOLE, owners: Owners | None = None) -> StoreReader:
        """Open the store at `at` for reading; people are shown `sight` of it.

        Args:
            at: where it is.
            sight: what of it is shown.
            owners: an earlier reader's: whoever watched once who works on the store need not watch again.

        Raises:
            StoreUnavailableError: there is none, or its server does not answer.
            StoreRefusedError: what is there is no store, or its schema is that of another version of this program.

        """
        tables = await open_to_read(at)
        return cls(tables, owners_of(at, tables) if owners is None else owners.through(tables), sight)

    async def close(self) -> None:
        await self.tables.close()

    def revealing(self) -> StoreReader:
        """The same store with everything that is sensitive: for who was noted as having asked (`acts.revealing`)."""
        return StoreReader(self.tables, self.owners)

    async def find(self, saga_id: str, saga_type: str | None = None) -> Saga:
        """The saga of that id.

        Raises:
            NotFoundError: there is none, or several types have one.

        """
        found = await self.tables.fetch_all("find", (saga_id, saga_type))
        if not found:
            gone = await self.find_purged(saga_id, saga_type)
            if gone is not None:
                raise NotFoundError(f"saga '{saga_id}' {was_purged(gone)}")
            raise NotFoundError(f"there is no saga '{saga_id}'" + (f" of type '{saga_type}'" if saga_type else ""))
        if len(found) > 1:
            types = ", ".join(row[1] for row in found)
            raise NotFoundError(f"several sagas have the id '{saga_id}': say which with --type ({types})")
        return self.sight.saga(rows.read_saga(found[0]))

    async def find_by_prefix(self, prefix: str, saga_type: str | None, limit: int) -> list[SagaRef]:
        """The first sagas whose ids begin with `prefix`."""
        found = await self.tables.fetch_all("find_by_prefix", (prefix, saga_type, limit))
        return [SagaRef(*row) for row in found]

    async def get(self, ref: SagaRef) -> Saga | None:
        """The saga of that type and id, or None."""
        found = await self.tables.fetch_all("get", ref)
        return self.sight.saga(rows.read_saga(found[0])) if found else None

    async def secrets(self, ref: SagaRef) -> frozenset[str] | None:
        """What is hidden of a saga, to be found again in sentences about it; None where only the saga could tell."""
        if not self.sight.hides(ref.saga_type):
            return frozenset()
        found = await self.tables.fetch_all("get", ref)
        return self.sight.secrets(rows.read_saga(found[0])) if found else None

    async def request_hash(self, ref: SagaRef) -> bytes | None:
        """The hash of the request that the saga began with (R3); None where there is no such saga."""
        found = await self.tables.fetch_all("get", ref)
        return bytes(found[0][rows.HASH_COLUMN]) if found else None

    async def find_purged(self, saga_id: str, saga_type: str | None = None) -> Purged | None:
        """What is kept of the purged saga of that id; the last one purged where several types have it (R29)."""
        rows = await self.tables.fetch_all("load_purged", (encode([digest(saga_id)]).decode(),))
        found = [gone for gone in map(read_purged, rows) if gone.ref.saga_id == saga_id]
        return next((gone for gone in reversed(found) if saga_type in (None, gone.ref.saga_type)), None)

    async def count_purgeable(self, wanted: Purge) -> int:
        """How many sagas a purge would take now."""
        end = await self._first_key_from(wanted.ended_before + self.tables.slack_ms)
        states = encode(sorted(wanted.states)).decode()
        [(count,)] = await self.tables.fetch_all(
            "count_purgeable", (end, states, wanted.ended_before, wanted.saga_type)
        )
        return int(count)

    async def count_purged(self) -> int:
        """How many purged sagas are still remembered."""
        [(count,)] = await self.tables.fetch_all("count_purged")
        return int(count)

    async def oldest_unfinished(self) -> Unfinished | None:
        """The saga that has not ended for the longest time."""
        found = await self.tables.fetch_all("oldest_unfinished")
        return Unfinished(*found[0]) if found else None

    async def next_key(self) -> int:
        """Beyond the newest saga."""
        [(key,)] = await self.tables.fetch_all("next_key")
        return int(key)

    async def open_keys(self, limit: int) -> set[int]:
        """The keys of sagas that have neither ended nor are parked."""
        return {key for (key,) in await self.tables.fetch_all("open_keys", (limit,))}

    async def ended_among(self, keys: Collection[int], first: int, end: int) -> list[Ended]:
        """Those that have ended or are parked of the sagas with `keys`, and of those from `first` to before `end`."""
        asked = (encode(sorted(keys)).decode(), first, end)
        ended = [Ended(*row) for row in await self.tables.fetch_all("ended_among", asked)]
        return [await self._shown(one) if self.sight.hides(one.saga_type) else one for one in ended]

    async def _shown(self, ended: Ended) -> Ended:
        saga = None if ended.error is None else await self.get(SagaRef(ended.saga_type, ended.saga_id))
        if saga is None:
            return ended._replace(error=None)
        return ended._replace(error=saga.error if saga.parked is None else saga.parked.detail)

    async def free_bytes(self) -> int:
        """How much of the file is free to be written again."""
        [(free,)] = await self.tables.fetch_all("free_bytes")
        return int(free)

    async def purge(self, purge_id: str) -> tuple[int, bool]:
        """How many sagas a purge has taken, and whether it is done."""
        found = await self.purge_of(purge_id)
        assert found is not None, "it was asked for"
        return found

    async def purge_of(self, purge_id: str) -> tuple[int, bool] | None:
        """The same of one that may not exist."""
        found = await self.tables.fetch_all("purge", (purge_id,))
        return None if not found else (int(found[0][0]), found[0][1] is not None)

    async def log(self, saga: Saga) -> list[LogEntry]:
        """The saga's step log, oldest first."""
        entries = [rows.read_log(row) for row in await self.tables.fetch_all("log", (saga.row,))]
        if self.sight is WHOLE:
            return entries
        found = await self.tables.fetch_all("get", saga.ref)  # whole: what it hides stands in its log's sentences, too
        return self.sight.log(rows.read_saga(found[0]) if found else saga, entries)

    async def acts_by_id(self, act_ids: Sequence[str]) -> dict[str, ActRow]:
        """The acts of these ids that exist, whole: they are compared with others, not shown."""
        found = await self.tables.fetch_all("acts_by_id", (encode(act_ids).decode(),))
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
        asked = (saga_type, limit)
        if saga_id is not None:
            found = await self.tables.fetch_all("list_acts_of", (*asked, saga_id, waiting, bulk_id))
        elif bulk_id is not None:
            found = await self.tables.fetch_all("list_acts_of_bulk", (*asked, bulk_id, waiting))
        else:
            found = await self.tables.fetch_all("list_waiting_acts" if waiting else "list_acts", asked)
        return [self.sight.act(read_row(row)) for row in found]

    async def pauses(self) -> dict[str, Pause]:
        """What is paused, by scope, oldest first."""
        return rows.read_pauses(await self.tables.fetch_all("pauses"))

    async def count_held(self) -> dict[tuple[str, SagaState], int]:
        """How many sagas are held, by scope and state."""
        found = await self.tables.fetch_all("count_held")
        return {(scope, SagaState(state)): count for scope, state, count in found}

    async def newest(self, wanted: Filter) -> list[Saga]:
        """The newest sagas that the filter lets through.

        Raises:
            UsageError: the filter names a field that cannot be asked for, or that is hidden.

        """
        error = self._shown_error(wanted)
        if error is None:
            return await self._read(wanted)
        found, page = list[Saga](), wanted
        while len(found) < wanted.limit:  # the store finds more than says so as it is shown
            sagas = await self._read(page)
            found += [saga for saga in sagas if says(saga, error)]
            if len(sagas) < page.limit:
                break
            page = replace(page, before_row=sagas[-1].row, limit=READ_AGAIN_ROWS)
        return found[: wanted.limit]

    def window_rows(self, wanted: Filter) -> int:
        """How many sagas one question of a long list may look at, so that it is short."""
        return PAGE_WINDOW_ROWS if self._shown_error(wanted) is None else MASKED_WINDOW_ROWS

    def _shown_error(self, wanted: Filter) -> str | None:
        """What is wanted of errors as they are shown, where that may be less than the store has."""
        return None if self.sight is WHOLE else wanted.error

    async def _read(self, wanted: Filter) -> list[Saga]:
        name, asked = await self._asked(wanted)
        return [self.sight.saga(rows.read_saga(row)) for row in await self.tables.fetch_all(name, asked)]

    async def count(self, wanted: Filter) -> int:
        """How many sagas the filter lets through; at most its limit are counted.

        Raises:
            UsageError: as of `newest`.

        """
        if self._shown_error(wanted) is not None:
            return len(await self.newest(wanted))
        name, asked = await self._asked(wanted)
        [(number,)] = await self.tables.fetch_all(f"count_{name}", asked)
        return int(number)

    async def _asked(self, wanted: Filter) -> tuple[str, tuple[Any, ...]]:
        """The statement that lists what is wanted, and its values."""
        slack_ms = self.tables.slack_ms
        since = 0 if wanted.started_from is None else wanted.started_from
        until = MOMENT_MAX if wanted.started_before is None else wanted.started_before
        first = 0 if wanted.started_from is None else await self._first_key_from(since - slack_ms)
        end = KEY_MAX if wanted.started_before is None else await self._first_key_from(until + slack_ms)
        first, end = max(first, wanted.from_row), min(end, wanted.before_row)
        self._check(wanted)
        states = encode(sorted(wanted.wanted_states)).decode()
        steps = None if wanted.steps is None else encode(sorted(wanted.steps)).decode()
        error = wanted.error
        if error is not None and self.sight is not WHOLE:  # what is shown is asked for: the store has it whole
            error = max(error.split(MASK[0]), key=len)
        return "list_unfinished" if wanted.is_unfinished_only else "list_newest", (
            first, end, states, wanted.saga_type, error, wanted.limit, wanted.held, since, until, wanted.cause,
            wanted.data_path, wanted.data_values, steps, wanted.prefix,
        )  # fmt: skip

    def _check(self, wanted: Filter) -> None:
        wanted.check()
        if wanted.data is not None and self.sight.hides_field(wanted.saga_type, wanted.data[0]):
            raise UsageError(f"the field '{wanted.data[0]}' is sensitive: sagas cannot be looked for by it")

    async def beginning_with(self, prefix: str, wanted: Filter) -> list[Saga]:
        """The first sagas whose ids begin with `prefix`, those that the filter lets through, newest first.

        Where those that have ended are wanted, too, the first `PREFIXED_SAGAS_MAX` ids that begin so are looked at.

        Raises:
            UsageError: as of `newest`.

        """
        self._check(wanted)
        if wanted.is_unfinished_only:
            return await self.newest(replace(wanted, prefix=prefix))
        found: list[Saga] = []
        for ref in await self.find_by_prefix(prefix, wanted.saga_type, PREFIXED_SAGAS_MAX):
            saga = await self.get(ref)
            if saga is not None and wanted.lets(saga):
                found.append(saga)
            if len(found) == wanted.limit:
                break
        return sorted(found, key=lambda saga: -saga.row)

    async def timers(self, limit: int, after: tuple[int, int] = (0, 0), saga_type: str | None = None) -> list[Saga]:
        """Sagas that go on by themselves, the soonest first, from after the moment and row of one on."""
        found = await self.tables.fetch_all("timers", (*after, saga_type, limit))
        return [self.sight.saga(rows.read_saga(row)) for row in found]

    async def open_marks(self, limit: int) -> dict[int, int]:
        """How far sagas have come that have not ended, by their keys."""
        return dict(await self.tables.fetch_all("open_marks", (limit,)))

    async def marks_of(self, refs: Collection[SagaRef]) -> dict[SagaRef, int]:
        """How far these sagas have come, those that exist."""
        found = await self.tables.fetch_all("marks_of", (encode([list(ref) for ref in refs]).decode(),))
        return {SagaRef(saga_type, saga_id): mark for saga_type, saga_id, mark in found}

    async def changed(self, keys: Collection[int], first: int, end: int, limit: int) -> list[Saga]:
        """The sagas with `keys`, and those from `first` to before `end`, newest first; at most `limit`."""
        asked = (encode(sorted(keys)).decode(), first, end, limit)
        return [self.sight.saga(rows.read_saga(row)) for row in await self.tables.fetch_all("changed_sagas", asked)]

    async def count_all(self) -> int:
        """How many sagas there are, finished ones included."""
        [(count,)] = await self.tables.fetch_all("count_all")
        return int(count)

    async def count_unfinished(self) -> dict[SagaState, int]:
        """How many sagas are in each state that is not an end."""
        return {SagaState(state): count for state, count in await self.tables.fetch_all("count_states")}

    async def count_by_state(self) -> dict[SagaState, int]:
        """How many sagas are in each state. It reads every saga: a third of a second for a million."""
        return {SagaState(state): count for state, count in await self.tables.fetch_all("count_by_state")}

    async def durations(self, limit: int) -> list[int]:
        """How long the newest finished sagas took, in milliseconds."""
        return [length for (length,) in await self.tables.fetch_all("durations", (limit,))]

    async def meta(self) -> dict[str, str]:
        """The store's id and the newest moment it has seen."""
        return dict(await self.tables.fetch_all("meta"))

    async def schema_version(self) -> int:
        """The number of the newest migration that this store has."""
        [(version,)] = await self.tables.fetch_all("schema_version")
        return int(version)

    async def definitions(self) -> dict[tuple[str, int], Meaning]:
        """What is on record of every (type, version) that ever ran here (R30)."""
        found = await self.tables.fetch_all("definitions")
        return {(saga_type, version): Meaning(*meaning) for saga_type, version, *meaning in found}

    async def unfinished_versions(self) -> set[tuple[str, int]]:
        """The (type, version) pairs that unfinished sagas are pinned to."""
        return {(saga_type, version) for saga_type, version in await self.tables.fetch_all("versions")}

    async def outbox_age(self) -> tuple[int, int | None]:
        """How many messages wait to be published, and since when the oldest does."""
        [(_batches, messages, oldest)] = await self.tables.fetch_all("outbox_age")
        return int(messages), oldest

    async def _first_key_from(self, at: int) -> int:
        """The key of the first saga that was accepted at `at` or later; beyond the last where there is none."""
        [(low,)] = await self.tables.fetch_all("first_key")
        [(high,)] = await self.tables.fetch_all("next_key")
        while low < high:
            middle = (low + high) // 2
            found = await self.tables.fetch_all("created_from", (middle,))
            if not found:  # the newest were purged meanwhile
                high = middle
                continue
            [(key, created_at)] = found
            if created_at >= at:
                high = middle
            else:
                low = key + 1
        return int(low)
