"""A store on PostgreSQL: whether the server keeps its promises, which replicas live, what is large or in the way."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_saga.orchestrator.operations.checks.database import check_versions, no_orchestrator
from kafka_saga.orchestrator.operations.checks.finding import NAMES_SHOWN, Finding, Verdict, lasting, listed
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.owners import BeatingReplicas
from kafka_saga.orchestrator.store.postgres.schema import newest_schema
from kafka_saga.orchestrator.store.postgres.tables import PostgresTables, connect_tables, what_is_there
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.tables import Tables
from kafka_saga.runtime.clock import Clock, rfc3339
from kafka_saga.runtime.errors import SagaError, StoreFullError
from kafka_saga.runtime.postgres import translated_errors
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.codec import encode

TRANSACTION_AGE_MS_MAX = 60_000
"""A batch is open for milliseconds, a participant's for seconds."""

CONNECTIONS_SHARE_MAX = 0.9
DEAD_ROWS_MIN = 100_000
"""Fewer dead rows are nothing to speak of."""

_MEGABYTE = 1_000_000
_MEGABYTE_MORE = "CREATE TEMP TABLE room ON COMMIT DROP AS SELECT repeat('x', 1000) FROM generate_series(1, 1000)"


async def check_server(at: PostgresLocation, registry: Registry | None, clock: Clock) -> tuple[list[Finding], bool]:
    """Whether the store can be read and the code fits what it holds; and whether it may be asked more."""
    tables = await connect_tables(at, application="saga doctor", read_only=True)
    try:
        [(version, compatible_from)] = await tables.schema_version() or [(0, 0)]
        [(server, *settings)] = await tables.fetch_all("server")
        newest = newest_schema()
        details = {"store": str(at), "server": server, "schemaVersion": version, "newestSchemaVersion": newest}
        found = f"{at}, PostgreSQL {server}, schema version {version}"
        if not version:
            absence = await what_is_there(tables)
            verdict: Verdict = "wrong" if absence.is_foreign else "note"
            return [Finding(verdict, "store", absence.found, absence.remedy, details)], False
        if compatible_from > newest:
            advice = f"this program knows versions up to {newest}: use the newer kafka-saga that wrote it"
            return [Finding("wrong", "store", found, advice, details)], False
        if version < newest:
            advice = f"version {newest} comes with the next start of an orchestrator; until then nothing reads it"
            return [Finding("note", "store", found, advice, details)], False
        findings = [Finding("ok", "store", found, "", details), *_judge_server(*settings)]
        findings += await _check_room(tables)
        findings += await _check_replicas(tables, clock)
        findings += await _check_transactions(tables)
        findings += await _check_topics(tables)
        if registry is not None:
            findings += await check_versions(StoreReader(tables, BeatingReplicas(tables)), registry)
        return findings, True
    finally:
        await tables.close()


def _judge_server(survives: bool, commits: str, connections_max: int, connections: int, standby: bool) -> list[Finding]:
    findings = []
    if not survives:
        advice = "set fsync = on and full_page_writes = on: a power cut may cost every saga"
        findings.append(Finding("wrong", "durability", "fsync or full_page_writes is off", advice))
    elif commits == "off":
        advice = "set synchronous_commit = on: a crash of the server loses what was committed just before"
        findings.append(Finding("warning", "durability", "synchronous_commit is off", advice))
    else:
        findings.append(Finding("ok", "durability", f"fsync is on, synchronous_commit is {commits}"))
    if standby:
        advice = "name the primary in the URL, or all hosts with target_session_attrs=read-write"
        findings.append(Finding("note", "server", "this is a standby, which may be behind", advice))
    found = f"{connections} of {connections_max} connections are in use"
    details = {"connections": connections, "connectionsMax": connections_max}
    if connections > connections_max * CONNECTIONS_SHARE_MAX:
        advice = "raise max_connections, or end who holds them: an orchestrator needs 3, a worker 2"
        findings.append(Finding("warning", "connections", found, advice, details))
    else:
        findings.append(Finding("ok", "connections", found, "", details))
    return findings


async def _check_room(tables: PostgresTables) -> list[Finding]:
    """Whether the server can write more than it has: no statement asks that, so a megabyte is tried and undone."""
    trying = tables.connection.transaction()
    try:
        with translated_errors(tables.at.url):
            await trying.start()
            try:
                await tables.connection.execute(_MEGABYTE_MORE)
            finally:
                await trying.rollback()
    except StoreFullError as error:
        return [
            Finding("wrong", "server disk", "full: orchestrators and services wait until there is room", str(error))
        ]
    except SagaError:
        return []  # a standby, or a role that may make no temporary table
    return [Finding("ok", "server disk", "the server can write another megabyte")]


async def _check_replicas(tables: PostgresTables, clock: Clock) -> list[Finding]:
    """Which lives there are, whether they beat, and what they have not published."""
    beating = await BeatingReplicas(tables).everybody(clock)
    rows = await tables.fetch_all("lives")
    findings = [] if beating else [no_orchestrator()]
    for replica, name, state, batch, at, unsent, since in rows:
        lives = state == "live" and replica in beating
        said = "alive" if lives else "no sign of life" if state == "live" else state
        last = f"its last batch is number {batch:,}, of {rfc3339(at)}" if batch else "it has written nothing yet"
        left = f"; {counted(unsent, 'message')} not published since {rfc3339(since)}" if unsent else ""
        details = {"replica": replica, "name": name, "state": state, "beats": lives, "batch": batch, "unsent": unsent}
        found = f"{name} (life {replica}): {said}; {last}{left}"
        if lives or (state == "gone" and not unsent):
            findings.append(Finding("ok", "orchestrator", found, "", details))
        elif not beating:
            findings.append(Finding("note", "orchestrator", found, "", details))
        else:
            advice = "another replica takes over what it left within seconds; if this stays, look at their logs"
            findings.append(Finding("note" if not unsent else "warning", "orchestrator", found, advice, details))
    return findings


async def _check_transactions(tables: PostgresTables) -> list[Finding]:
    found = await tables.fetch_all("oldest_transaction")
    if not found or found[0][2] < TRANSACTION_AGE_MS_MAX:
        return [Finding("ok", "transactions", "none is open for long")]
    [(pid, application, age_ms)] = found
    said = f"process {pid} of the server ({application or 'unnamed'}) has one open for {lasting(age_ms)}"
    advice = f"end it, or SELECT pg_terminate_backend({pid}): meanwhile nothing that was deleted can be cleaned up"
    return [Finding("warning", "transactions", said, advice, {"pid": pid, "application": application, "ageMs": age_ms})]


async def _check_topics(tables: PostgresTables) -> list[Finding]:
    scattered = [topic for (topic,) in await tables.fetch_all("scattered")]
    if not scattered:
        return []
    found = f"{listed(scattered)}: replies lie in other partitions than their sagas' commands"
    advice = (
        "nothing is lost, and it costs reading: have the services that reply use the partitioner murmur2 or CRC-32 of "
        "all others, and the topics have one number of partitions"
    )
    return [Finding("note", "scattered topics", found, advice, {"topics": scattered})]


async def check_tables(at: PostgresLocation) -> list[Finding]:
    """How large the tables are, and how much of them is dead."""
    tables = await connect_tables(at, application="saga doctor", read_only=True)
    try:
        rows = await tables.fetch_all("table_sizes")
    finally:
        await tables.close()
    total = sum(size for _name, size, _live, _dead in rows)
    largest = ", ".join(f"{name} {size / _MEGABYTE:,.1f} MB" for name, size, _live, _dead in rows[:3])
    details = {"bytes": total, "tables": {name: size for name, size, _live, _dead in rows}}
    findings = [Finding("ok", "tables", f"{total / _MEGABYTE:,.1f} MB with indexes: {largest}", "", details)]
    bloated = [
        f"{name} {dead:,} of {live + dead:,}" for name, _size, live, dead in rows if dead > max(live, DEAD_ROWS_MIN)
    ]
    if bloated:
        advice = "autovacuum does not keep up: look for an open transaction, and at autovacuum_max_workers"
        findings.append(Finding("warning", "dead rows", listed(bloated), advice))
    return findings


async def what_holds_timers(tables: Tables, replies: Sequence[str], since: int) -> Finding | None:
    """Why no timer that has been due `since` a moment fires anywhere; None where nothing holds them (R70).

    Args:
        tables: the store's.
        replies: the topics that replies come on.
        since: when the first of them should have fired, milliseconds.

    """
    topics = encode(list(replies)).decode()
    unread = await tables.fetch_all("undrained", (topics, since, NAMES_SHOWN + 1))
    reasons = [f"{topic}[{partition}] is not known to be read up to then" for topic, partition, _at in unread]
    uncounted = await tables.fetch_all("uncounted", (topics, since))
    reasons += [f"the partitions of {topic} were not counted since" for (topic,) in uncounted]
    for writer, name, state, created_at in await tables.fetch_all("oldest_writer"):
        if created_at <= since:
            reasons.append(
                f"messages of {name or 'a replica'} (life {writer}, {state or 'forgotten'}) are not published"
            )
    if not reasons:
        return None
    advice = "a partition needs an orchestrator that reads it, and Kafka must answer: see the group and the lives above"
    details = {"partitions": [[topic, partition] for topic, partition, _at in unread], "reasons": reasons}
    return Finding("warning", "timers held", listed(reasons), advice, details)
