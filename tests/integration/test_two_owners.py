"""Two owners of one input never both act: two databases, another program, one file by two names (R22, R24)."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kafka_saga.schemas.codec import decode_trusted
from tests.integration import foreign_participant
from tests.integration.processes import Process, run_saga, saga_command, until
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

ORDERS = [f"order-{number}" for number in range(20)]


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    if not database.exists():
        return []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def charges(*folders: Path) -> Counter[str]:
    """How often each saga was charged, in the books of all folders together."""
    query = "SELECT saga_id FROM charges"
    return Counter(saga_id for folder in folders for (saga_id,) in rows(folder / "payment.db", query))


def store_id(database: Path) -> str:
    column, table = ("name", "saga_meta") if database.name != "orchestrator.db" else ("key", "meta")
    [(found,)] = rows(database, f"SELECT value FROM {table} WHERE {column} = 'store_id'")
    return str(found)


def last_words(process: Process) -> list[str]:
    """What a process has said that is no line of its log."""
    return [line for line in process.output().splitlines() if not line.startswith("{")]


def second(world: World, name: str, tmp_path: Path, *command: str) -> Process:
    """A second process of `name`, with databases of its own."""
    process = Process(f"{name} 2", saga_command(*command), world.environment, tmp_path / f"{name}-2.log")
    process.environment["SAGA_DATA_DIR"] = str(tmp_path / "second")
    world.processes[process.name] = process
    return process


async def loser_of(world: World, *pair: Process) -> Process:
    """The one of two processes that ended, taken out of the world."""
    await until("one of two owners has ended", lambda: any(process.code() is not None for process in pair))
    [ended] = [process for process in pair if process.code() is not None]
    del world.processes[ended.name]
    return ended


def expect_both_named(process: Process, *databases: Path) -> None:
    assert process.code() == 4, process.output()[-2_000:]
    [line] = last_words(process)
    for database in databases:
        assert store_id(database) in line
    assert "--from committed|earliest|end" in line


async def test_of_two_participants_that_start_on_fresh_topics_one_charges_and_one_says_why_not(
    world: World, tmp_path: Path
) -> None:
    """As `replicas: 2` does it; commands wait for them already."""
    await world.start(services=["inventory", "orders"])
    await world.order(*ORDERS)
    first = world.add("payment", saga_command("participant", "payment"))
    other = second(world, "payment", tmp_path, "participant", "payment")
    first.start()
    other.start()
    loser = await loser_of(world, first, other)
    outcomes = await world.ended(len(ORDERS))
    assert {outcome["state"] for outcome in outcomes.values()} == {"COMPLETED"}
    assert charges(world.data_dir, tmp_path / "second") == dict.fromkeys(ORDERS, 1)
    expect_both_named(loser, world.data_dir / "payment.db", tmp_path / "second" / "payment.db")
    loser.start()  # as whatever runs it would: it is refused again, and charges nothing
    await until("it has ended again", lambda: loser.code() is not None)
    assert loser.code() == 4
    assert charges(world.data_dir, tmp_path / "second") == dict.fromkeys(ORDERS, 1)


async def test_of_two_orchestrators_that_start_on_fresh_topics_one_runs_every_saga(
    world: World, tmp_path: Path
) -> None:
    first = world.add("orchestrator", saga_command("orchestrator"))
    other = second(world, "orchestrator", tmp_path, "orchestrator")
    assert run_saga(world.environment, "topics", "create").returncode == 0
    await world.order(*ORDERS)
    first.start()
    other.start()
    loser = await loser_of(world, first, other)
    winner = first if loser is other else other
    await winner.said("orchestrator.ready")
    for service in ("inventory", "payment", "orders"):
        world.add(service, saga_command("participant", service)).start()
    stores = [world.data_dir / "orchestrator.db", tmp_path / "second" / "orchestrator.db"]
    ended = "SELECT count(*) FROM sagas WHERE state = 'COMPLETED'"
    ours, theirs = stores if winner is first else stores[::-1]
    await until("every saga has completed", lambda: rows(ours, ended) == [(len(ORDERS),)])
    assert rows(theirs, "SELECT count(*) FROM sagas") == [(0,)]
    expect_both_named(loser, *stores)
    events = await world.read(world.topics.events("order"), 4 * len(ORDERS))
    told = Counter((record.key, dict(record.headers)["ce_sequence"]) for record in events)
    assert set(told.values()) == {1}
    assert charges(world.data_dir, tmp_path / "second") == dict.fromkeys(ORDERS, 1)


async def test_a_group_that_is_adopted_by_another_database_stops_its_owner_and_nothing_is_done_twice(
    world: World, tmp_path: Path
) -> None:
    await world.start()
    await world.order(*ORDERS[:10])
    await world.ended(10)
    owner = world.processes["payment"]
    other = second(world, "payment", tmp_path, "participant", "payment")
    refused = run_saga(world.environment, "adopt", "payment", "--from", "committed", "--yes")
    assert (refused.returncode, f"participant payment (process {owner.pid}) has" in refused.stderr) == (4, True)

    adopted = run_saga(other.environment, "adopt", "payment", "--from", "committed", "--yes")
    assert adopted.returncode == 0, adopted.stderr
    await loser_of(world, owner, other)
    expect_both_named(owner, world.data_dir / "payment.db", tmp_path / "second" / "payment.db")
    other.start()
    await other.said("participant.ready")
    await world.order(*ORDERS[10:])
    await world.ended(len(ORDERS))
    assert charges(world.data_dir, tmp_path / "second") == dict.fromkeys(ORDERS, 1)
    assert len(charges(tmp_path / "second")) == 10


def adopt(world: World, begin: str, *flags: str) -> dict[str, Any]:
    result = run_saga(world.environment, "adopt", "orders", "--from", begin, "--json", *flags)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = decode_trusted(result.stdout)
    return found


COUNTS = ("again", "known", "skipped", "new")


async def test_a_service_that_another_program_served_is_refused_until_somebody_decides_where_it_goes_on(
    world: World, tmp_path: Path
) -> None:
    await world.start(services=["inventory", "payment"])
    topic = world.topics.commands("orders")
    script = [str(foreign_participant.__file__), world.kafka.bootstrap_servers, topic, str(tmp_path / "foreign.db")]
    script.append(f"{world.topics.prefix}orders")
    foreign = world.add("foreign", [sys.executable, *script])
    foreign.start()
    await foreign.said_text("ready")
    await world.order(*ORDERS)
    await world.ended(len(ORDERS))
    ours = world.add("orders", saga_command("participant", "orders"))
    ours.start()
    await loser_of(world, ours)
    assert ours.code() == 4
    assert "a program that is not ours" in last_words(ours)[0]
    assert "saga adopt orders --from committed|earliest|end" in last_words(ours)[0]
    await until("it has committed", lambda: adopt(world, "committed", "--dry-run")["new"] == 0)
    foreign.kill()
    del world.processes["foreign"]
    ours.start()
    await until("ours is refused again", lambda: ours.code() is not None)
    assert (ours.code(), "is read for by a program that is not ours" in last_words(ours)[0]) == (4, True)

    await world.order("order-new")
    await until("its command waits", lambda: adopt(world, "end", "--dry-run")["skipped"] > 0)
    database = world.data_dir / "orders.db"
    for begin, (again, waits) in {"committed": (0, "new"), "earliest": (20, "new"), "end": (0, "skipped")}.items():
        found = adopt(world, begin, "--dry-run")
        waiting = found[waits]  # at least one: it is sent again while nobody answers
        expected = {"again": again, "known": 0, "skipped": 0, "new": 0, waits: waiting}
        assert (found["adopted"], waiting > 0, {what: found[what] for what in COUNTS}) == (False, True, expected), begin
    assert rows(database, "SELECT count(*) FROM saga_offsets") == [(0,)]
    command = ("adopt", "orders", "--from", "committed", "--yes")
    await until("Kafka has let the killed member go", lambda: not run_saga(world.environment, *command).returncode)
    world.processes["orders"] = ours
    ours.start()
    await world.ended(len(ORDERS) + 1)
    assert rows(database, "SELECT saga_id FROM orders") == [("order-new",)]


@pytest.mark.parametrize(("begin", "expected"), [("earliest", 10), ("end", 0)])
async def test_a_lost_database_is_made_anew_from_where_somebody_says(world: World, begin: str, expected: int) -> None:
    await world.start()
    await world.order(*ORDERS[:10])
    await world.ended(10)
    lost = world.processes.pop("orders")
    assert lost.terminate() == 0
    for file in world.data_dir.glob("orders.db*"):
        file.unlink()
    adopt(world, begin, "--dry-run")
    assert not (world.data_dir / "orders.db").exists()
    lost.start()
    await until("a new database is refused", lambda: lost.code() is not None)
    assert lost.code() == 4
    assert adopt(world, begin, "--yes")["again"] == expected
    world.processes["orders"] = lost
    lost.start()
    await lost.said("participant.ready")
    await world.order("order-new")
    await world.ended(11)
    done = {saga_id for (saga_id,) in rows(world.data_dir / "orders.db", "SELECT saga_id FROM orders")}
    assert done == {"order-new", *ORDERS[:expected]}


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
async def test_one_database_by_two_names_has_one_owner_R24(world: World, tmp_path: Path, kind: str) -> None:
    await world.start()
    await world.order("order-1")
    await world.ended(1)
    link = tmp_path / "links" / "other.db"
    link.parent.mkdir()
    database = world.data_dir / "payment.db"
    if kind == "symbolic":
        link.symlink_to(database)
    else:
        os.link(database, link)
    result = run_saga(world.environment, "participant", "payment", "--database", str(link))
    assert result.returncode == 4
    [line] = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    owner = f"participant payment (process {world.processes['payment'].pid})"
    assert (f"other.db is in use by {owner}" if kind == "symbolic" else "has 2 names (hard links)") in line
    await world.order("order-2")
    await world.ended(2)
    assert rows(database, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("what", ["the database is deleted", "its log is deleted", "it is replaced"])
@pytest.mark.parametrize("name", ["payment", "orchestrator"])
async def test_a_file_that_is_lost_under_its_owner_ends_him_at_once_R24(
    world: World, tmp_path: Path, what: str, name: str
) -> None:
    await world.start()
    await world.order("order-1")
    await world.ended(1)
    process, database = world.processes.pop(name), world.data_dir / f"{name}.db"
    if what == "the database is deleted":
        database.unlink()
    elif what == "its log is deleted":
        database.with_name(f"{name}.db-wal").unlink()
    else:
        (tmp_path / "copy.db").write_bytes(database.read_bytes())
        shutil.move(tmp_path / "copy.db", database)
    await until("it has ended", lambda: process.code() is not None)
    assert process.code() == 5
    [line] = last_words(process)
    assert "while this process had it open: it stops" in line
    assert name in line
