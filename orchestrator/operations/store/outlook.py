"""What a restore would mean, counted before anything is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.operations.store.backing_up import ORCHESTRATOR
from kafka_saga.orchestrator.operations.store.restoring import Ends, Target
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.errors import BrokenStoreError
from kafka_saga.runtime.identity import identify
from kafka_saga.runtime.sqlite import address, copy_address
from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.topics import TopicNames


class Outlook(NamedTuple):
    """What restoring the databases of `owners` would mean: figures by what they count, and sentences."""

    owners: tuple[str, ...]
    figures: dict[str, int]
    notes: tuple[str, ...]


def look(targets: Sequence[Target], registry: Registry, names: TopicNames, ends: Ends) -> Outlook:
    """What restoring `targets` together would mean."""
    figures: dict[str, int] = {}
    notes: list[str] = []
    store = next((target for target in targets if target.owner == ORCHESTRATOR), None)
    services = [target for target in targets if target.owner != ORCHESTRATOR]
    if store is not None:
        _look_at_store(store, registry, names, ends, (figures, notes))
        ahead = [name for name in registry.services if name not in {target.owner for target in services}]
        if ahead:
            notes.append(
                f"not restored with it, so taken to be ahead: {', '.join(ahead)}; they answer with what they remember, "
                "and a saga that fails undoes what they may have done for it"
            )
    for target in services:
        there, lost = ends.between(_offsets(target.copy), names.commands(target.owner))
        word = "not applied again" if store is not None else "handled again"
        figures[f"commands to {target.owner} since the backup, {word}"] = there
        if store is None:
            figures[f"commands to {target.owner} since the backup that Kafka has no more"] = lost
            notes.append(
                f"{target.owner} handles its commands since the backup anew: what it refused stays refused, and "
                "what it did it may refuse now; the orchestrator keeps to the first answer, and its log names each "
                "other one (reply.contradicts)"
            )
    return Outlook(tuple(target.owner for target in targets), figures, tuple(notes))


def _look_at_store(
    store: Target, registry: Registry, names: TopicNames, ends: Ends, found: tuple[dict[str, int], list[str]]
) -> None:
    figures, notes = found
    offsets = _offsets(store.copy)
    there, lost = ends.between(offsets, *(names.requests(saga_type) for saga_type in registry.saga_types))
    figures["requests since the backup, read again"] = there
    figures["requests since the backup that Kafka has no more"] = lost
    replies = ends.between(offsets, *(names.replies_of(service) for service in registry.services))[0]
    figures["replies since the backup, not applied"] = replies
    with closing(_read_only(store.copy)) as copy:
        states = dict(copy.execute("SELECT state, count(*) FROM sagas GROUP BY state").fetchall())
        figures["sagas under way in the backup, whose command is sent again"] = sum(
            states.get(state, 0) for state in ("RUNNING", "COMPENSATING")
        )
        figures["sagas parked in the backup"] = states.get("PARKED", 0)
        figures["operators' acts in the backup that wait, decided anew"] = _one(
            copy, "SELECT count(*) FROM acts WHERE outcome IS NULL"
        )
        figures["pauses in the backup, which hold again"] = (
            _one(copy, "SELECT count(*) FROM pauses") if _has(copy, "pauses") else 0  # an older program's has none
        )
    if lost:
        notes.append(f"{lost} requests are lost: Kafka deleted them since. Have them sent again by who sent them")
    seen_again = _ended_since(store)
    if seen_again is None:
        notes.append("the store that is replaced cannot be read: what has ended since the backup cannot be counted")
    else:
        figures["sagas that have ended since the backup, and will be seen again"] = seen_again
    notes.append("operators' acts, pauses and purges since the backup are forgotten")


def number_of_life(path: Path, *, is_copy: bool) -> int:
    """The number of the life that a store is in; 0 where it is the first, or cannot be read."""
    if not path.is_file():
        return 0
    try:
        with closing(_read_only(path, is_copy=is_copy)) as connection:
            found = connection.execute("SELECT value FROM meta WHERE key = 'life'").fetchone()
    except sqlite3.Error:
        return 0  # a damaged store is what backups are for, and the time is a number beyond any life before
    return 0 if found is None else int(decode_trusted(found[0])["number"])


def schema_of(path: Path) -> int:
    """The schema version of a database of ours; 0 where it has none."""
    try:
        found = identify(path, is_copy=True)
    except sqlite3.DatabaseError as error:
        raise BrokenStoreError(f"{path} cannot be read ({error}): restore another backup") from error
    return 0 if found is None else found.schema


def _offsets(path: Path) -> dict[TopicPartition, int]:
    found = identify(path, is_copy=True)
    table = found and found.table("offsets")
    if table is None:
        return {}
    with closing(_read_only(path)) as connection:
        rows = connection.execute(f"SELECT topic, partition, next FROM {table}").fetchall()  # noqa: S608
    return {TopicPartition(topic, number): offset for topic, number, offset in rows}


def _ended_since(store: Target) -> int | None:
    """How many sagas have ended in the store that is replaced and not in its copy; None where it cannot be read."""
    if not store.path.is_file():
        return None
    ended = "SELECT saga_type, saga_id FROM {}.sagas WHERE state IN ('COMPLETED', 'COMPENSATED')"
    try:
        with closing(_read_only(store.path, is_copy=False)) as connection:
            connection.execute("ATTACH ? AS copy", (copy_address(store.copy),))
            return _one(connection, f"SELECT count(*) FROM ({ended.format('main')} EXCEPT {ended.format('copy')})")  # noqa: S608
    except sqlite3.Error:
        return None


def has_begun(path: Path) -> bool:
    """Whether a database has ever handled anything, or accepted a saga."""
    with closing(_read_only(path, is_copy=False)) as connection:
        return any(
            _one(connection, f"SELECT EXISTS (SELECT 1 FROM {table})")  # noqa: S608
            for table in ("offsets", "sagas")
            if _has(connection, table)
        )


def _has(connection: sqlite3.Connection, table: str) -> bool:
    return bool(_one(connection, f"SELECT count(*) FROM sqlite_schema WHERE name = '{table}'"))  # noqa: S608


def _one(connection: sqlite3.Connection, query: str) -> int:
    [(count,)] = connection.execute(query).fetchall()
    return int(count)


def _read_only(path: Path, *, is_copy: bool = True) -> sqlite3.Connection:
    """A copy is read as it lies there, with nothing made beside it; a database with what its log holds."""
    return sqlite3.connect(copy_address(path) if is_copy else address(path, "ro"), uri=True)
