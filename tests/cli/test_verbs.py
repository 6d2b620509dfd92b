"""`saga retry`, `skip`, `cancel`, `resolve` and `acts`: what they put into the store, and what they say.

Here no orchestrator runs; what becomes of an act is tested in tests/operations and tests/integration.
"""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kafka_saga.orchestrator.store.act_rows import ActRow
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.store_lock import StoreLock
from kafka_saga.runtime.user import this_user
from tests.cli.conftest import (
    PATIENCE_S,
    FillStore,
    Saga,
    command,
    compensating,
    completed,
    environment,
    parked,
    running,
    waiting,
)

pytestmark = pytest.mark.usefixtures("store")

SEND = ("--no-wait", "--actor", "ann@desk", "-o", "json")


@pytest.fixture
def store(fill_store: FillStore) -> Path:
    return fill_store(
        *(parked(f"stuck-{number}") for number in (1, 2, 3)),
        running("running-1"),
        compensating("undoing-1"),
        waiting("new-1"),
        completed("done-1"),
        ages_s=(7_200, 3_600, 60, 30, 20, 10, 5),
    )


def queued(path: StoreLocation) -> list[ActRow]:
    """The acts in the store, oldest first."""
    return asyncio.run(_queued(path))


async def _queued(path: StoreLocation) -> list[ActRow]:
    reader = await StoreReader.open(path)
    try:
        return (await reader.acts(1_000))[::-1]
    finally:
        await reader.close()


# --- one saga -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "expected"),
    [
        (["retry", "stuck-1"], "retry_now", ({}, "PARKED")),
        (["retry", "stuck-1", "--step", "reserve_inventory"], "retry_now", ({"step": "reserve_inventory"}, "PARKED")),
        (["cancel", "running-1"], "cancel", ({}, "RUNNING")),
        (["resolve", "stuck-1", "--as", "compensated"], "resolve", ({"as": "compensated"}, "PARKED")),
        (["skip", "running-1", "--step", "process_payment"], "skip", ({"step": "process_payment"}, "RUNNING")),
        (
            ["skip", "running-1", "--step", "process_payment", "--data", '{"charge_id": "ch-7"}'],
            "skip",
            ({"step": "process_payment", "data": {"charge_id": "ch-7"}}, "RUNNING"),
        ),
    ],
)
def test_a_verb_is_an_act_meant_for_the_state_the_saga_is_in_R25(
    saga: Saga, store: Path, arguments: list[str], kind: str, expected: tuple[dict[str, Any], str]
) -> None:
    run = saga(*arguments, "--reason", "told to", *SEND)
    assert (run.exit_code, run.json["result"]) == (0, "waiting"), run.err
    [act] = queued(store)
    assert (act.kind, act.ref.saga_id, (act.arguments, act.expected_state)) == (kind, arguments[1], expected)
    assert (act.actor, act.reason, act.expected_version) == ("ann@desk", "told to", None)
    assert (act.act_id, act.outcome) == (run.json["actId"], None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["retry"],
        ["cancel"],
        ["pause"],
        ["resume"],
        ["skip", "--step", "process_payment"],
        ["resolve", "--as", "completed", "--reason", "r"],
    ],
)
def test_a_verb_takes_the_beginning_of_an_id_and_says_which_saga_it_is(
    saga: Saga, store: Path, arguments: list[str]
) -> None:
    verb, *more = arguments
    run = saga(verb, "runn", *more, *SEND)
    assert (run.exit_code, run.json["sagaId"]) == (0, "running-1")
    assert run.err.splitlines()[0] == "'runn' is running-1"
    assert [act.ref.saga_id for act in queued(store)] == ["running-1"]
    several = saga(verb, "stuck", *more, *SEND)
    assert (several.exit_code, several.err) == (
        3,
        "saga: several sagas begin with 'stuck': stuck-1, stuck-2, stuck-3\n",
    )
    assert len(queued(store)) == 1


def test_a_verb_never_takes_the_beginning_of_a_number_for_another_saga(saga: Saga, fill_store: FillStore) -> None:
    path = fill_store(running("order-12"))
    run = saga("cancel", "order-1", *SEND)
    assert run.exit_code == 3
    assert run.err == (
        "saga: there is no saga 'order-1'; order-12 begins so: to change that one, write its number out\n"
    )
    assert queued(path) == []
    assert saga("show", "order-1").out.startswith("order-12"), "to look at it is safe"


def test_who_acts_and_why_has_a_default(saga: Saga, store: Path) -> None:
    assert saga("cancel", "running-1", "--no-wait").exit_code == 0
    [act] = queued(store)
    assert (act.actor, act.reason) == (this_user(), "no reason given")
    assert "@" in act.actor


def test_an_act_may_be_meant_for_another_state_or_an_exact_version(saga: Saga, store: Path) -> None:
    saga("retry", "stuck-1", "--if-state", "running", "--if-version", "7", *SEND)
    [act] = queued(store)
    assert (act.expected_state, act.expected_version) == ("RUNNING", 7)


def test_the_same_act_id_twice_is_one_act_R25(saga: Saga, store: Path) -> None:
    for _ in range(2):
        assert saga("retry", "stuck-1", "--act-id", "ticket-17", *SEND).exit_code == 0
    assert [act.act_id for act in queued(store)] == ["ticket-17"]
    run = saga("cancel", "stuck-1", "--act-id", "ticket-17", *SEND)
    assert run.exit_code == 4
    assert "ticket-17" in run.err


def test_the_data_of_a_skip_may_be_in_a_file(saga: Saga, store: Path, tmp_path: Path) -> None:
    (tmp_path / "reply.json").write_text('{"charge_id": "ch-8"}')
    assert saga("skip", "running-1", "--step", "process_payment", "--data", "@reply.json", *SEND).exit_code == 0
    [act] = queued(store)
    assert act.arguments["data"] == {"charge_id": "ch-8"}


def test_without_an_orchestrator_a_verb_says_so_and_exits_5_R25(saga: Saga) -> None:
    run = saga("retry", "stuck-1", "--timeout", "100ms", "--act-id", "act-7")
    assert run.exit_code == 5
    assert "no orchestrator runs on this store: the act waits there" in run.err
    assert "saga acts stuck-1" in run.err
    assert "no orchestrator runs" in saga("retry", "stuck-2", "--no-wait").err
    assert "Not taken yet: retry by" in saga("explain", "stuck-1").out


@pytest.mark.usefixtures("held")
def test_an_orchestrator_that_takes_nothing_is_waited_for_until_the_timeout(saga: Saga) -> None:
    run = saga("cancel", "running-1", "--timeout", "100ms")
    assert run.exit_code == 124
    assert "has not taken it yet" in run.err
    assert saga("cancel", "running-1", "--timeout", "100ms", "-o", "json").json["result"] == "waiting"


@pytest.fixture
def held(store: Path) -> Iterator[None]:
    lock = StoreLock(store)
    lock.acquire("saga orchestrator")
    yield
    lock.release()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["retry", "nonesuch"], 3, "there is no saga 'nonesuch'"),
        (["retry"], 2, "say which sagas"),
        (["retry", "stuck-1", "--state", "parked"], 2, "not both"),
        (["retry", "stuck-1", "--all"], 2, "not both"),
        (["retry", "--all"], 2, "no terminal to ask on"),
        (["retry", "--all", "--yes", "--act-id", "x"], 2, "--bulk-id"),
        (["retry", "--cause", "bad_luck"], 2, "--cause"),
        (["retry", "--ids", "ids", "--state", "parked", "--yes"], 2, "--ids is the list"),
        (["retry", "--ids", "ids", "--limit", "3", "--yes"], 2, "--ids is the list"),
        (["cancel", "--ids", "ids", "--step", "process_payment", "--yes"], 2, "--ids is the list"),
        (["retry", "--yes"], 2, "say which sagas"),
        (["skip", "stuck-1"], 2, "--step"),
        (["skip", "stuck-1", "--step", "x", "--data", "[1]"], 2, "one JSON object"),
        (["skip", "stuck-1", "--step", "x", "--data", "{"], 2, "--data"),
        (["skip", "stuck-1", "--step", "x", "--data", "@nowhere.json"], 2, "nowhere.json"),
        (["cancel", "stuck-1", "--step", "x"], 2, "--step"),
        (["cancel", "stuck-1", "--reason", ""], 2, "reason must have 1 to 500"),
        (["resolve", "stuck-1", "--as", "compensated"], 2, "--reason"),
        (["resolve", "stuck-1", "--reason", "so"], 2, "--as"),
        (["resolve", "stuck-1", "--as", "lost", "--reason", "so"], 2, "lost"),
        (["acts", "nonesuch"], 3, "there is no saga 'nonesuch'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    saga: Saga, store: Path, arguments: list[str], code: int, said: str
) -> None:
    run = saga(*arguments)
    assert (run.exit_code, run.out) == (code, "")
    assert said in run.err
    assert queued(store) == []


@pytest.mark.parametrize("verb", ["retry", "skip", "cancel", "resolve", "acts"])
def test_every_verb_has_examples(saga: Saga, verb: str) -> None:
    run = saga(verb, "--help")
    assert run.exit_code == 0
    assert f"  saga {verb} order-123" in run.out


# --- many sagas -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["retry", "--all"], ["stuck-1", "stuck-2", "stuck-3"]),
        (["retry", "--type", "order", "--limit", "2"], ["stuck-1", "stuck-2"]),
        (["retry", "--older-than", "30m"], ["stuck-1", "stuck-2"]),
        (["retry", "--newer-than", "90m", "--older-than", "30m"], ["stuck-2"]),
        (["retry", "--cause", "compensation_failed", "--step", "reserve_inventory", "-n", "1"], ["stuck-1"]),
        (["retry", "--cause", "data_limit"], []),
        (["retry", "--step", "process_payment"], []),
        (["retry", "--state", "running", "--state", "compensating"], ["running-1", "undoing-1"]),
        (["retry", "--error", "DECLINED", "--state", "compensating"], ["undoing-1"]),
        (["retry", "--type", "shipment"], []),
        (["cancel", "--all"], ["running-1", "new-1"]),
        (["cancel", "--step", "process_payment"], ["running-1"]),
        (["skip", "--step", "reserve_inventory"], ["stuck-1", "stuck-2", "stuck-3"]),
        (["resolve", "--as", "compensated", "--reason", "so", "--all"], ["stuck-1", "stuck-2", "stuck-3"]),
    ],
)
def test_a_filter_chooses_the_oldest_first_and_a_dry_run_sends_nothing(
    saga: Saga, store: Path, arguments: list[str], expected: list[str]
) -> None:
    run = saga(*arguments, "--dry-run", "-o", "jsonl")
    assert (run.exit_code, [row["sagaId"] for row in run.rows]) == (0, expected), run.err
    assert queued(store) == []


def test_a_long_list_is_read_page_by_page(saga: Saga, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka_saga.orchestrator.operations.acts.choosing.PAGE", 2)
    run = saga("retry", "--all", "--dry-run", "-o", "jsonl")
    assert [row["sagaId"] for row in run.rows] == ["stuck-1", "stuck-2", "stuck-3"]
    assert queued(store) == []


def test_a_bulk_act_sends_one_act_to_each_and_a_repeat_sends_nothing_twice_R25(saga: Saga, store: Path) -> None:
    first = saga("retry", "--all", "--limit", "2", "--bulk-id", "b1", "--yes", *SEND)
    assert first.exit_code == 0
    assert {name: first.json[name] for name in ("bulkId", "total", "sent", "sentBefore", "waiting")} == {
        "bulkId": "b1", "total": 2, "sent": 2, "sentBefore": 0, "waiting": 2,
    }  # fmt: skip
    again = saga("retry", "--all", "--bulk-id", "b1", "--yes", *SEND)
    assert (again.json["total"], again.json["sent"], again.json["sentBefore"]) == (3, 1, 2)
    acts = queued(store)
    assert [act.act_id for act in acts] == [f"b1/order/stuck-{number}" for number in (1, 2, 3)]
    assert {(act.actor, act.expected_state) for act in acts} == {("ann@desk", "PARKED")}
    assert saga("cancel", "--ids", "-", "--bulk-id", "b1", "--yes", stdin="stuck-1\n").exit_code == 4


def test_ids_come_from_a_list_in_either_form(saga: Saga, store: Path) -> None:
    listed = saga("list", "--state", "parked", "-o", "jsonl").out
    run = saga("retry", "--ids", "-", "--yes", "--bulk-id", "b1", *SEND, stdin=f"{listed}\nnonesuch\nstuck-1\n")
    assert run.exit_code == 6, run.err
    assert (run.json["sent"], run.json["missing"]) == (3, ["nonesuch"])
    assert sorted(act.ref.saga_id for act in queued(store)) == ["stuck-1", "stuck-2", "stuck-3"]


@pytest.mark.parametrize(
    ("content", "said"), [("", "empty"), ('{"id": 1}', "line 1"), ("a\n{nonsense", "line 2"), (None, "cannot read")]
)
def test_a_list_of_ids_that_cannot_be_read_is_usage(saga: Saga, tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "ids").write_text(content)
    run = saga("retry", "--ids", "ids", "--yes")
    assert run.exit_code == 2
    assert said in run.err


def test_a_bulk_act_that_nobody_takes_counts_what_waits_and_exits_5(saga: Saga) -> None:
    run = saga("retry", "--all", "--yes", "--timeout", "100ms")
    assert run.exit_code == 5
    assert [line.split() for line in run.out.splitlines()] == [
        ["result", "sagas"], ["sent", "3"], ["waiting", "3"], ["succeeded", "0"],
    ]  # fmt: skip
    assert "no orchestrator runs on this store" in run.err
    assert "--bulk-id" in run.err


@pytest.mark.parametrize(
    ("count", "typed", "sent"), [(3, "y\n", 3), (3, "\n", 0), (101, "101\n", 101), (101, "y\n", 0)]
)
def test_on_a_terminal_a_bulk_act_is_confirmed_and_a_large_one_by_its_number(
    tmp_path: Path, fill_store: FillStore, count: int, typed: str, sent: int
) -> None:
    path = fill_store(*(parked(f"more-{number}") for number in range(count - 3)))
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        done = subprocess.run(
            command("retry", "--all", "--no-wait"), stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True,
            cwd=tmp_path, env=environment(tmp_path), timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        told = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert f"retry {count} sagas?" in told
    assert ("Type the number" in told) == (count > 100)
    assert done.returncode == (0 if sent else 1), told
    assert "stuck-1" in done.stdout, "a sample is shown first"
    assert len(queued(path)) == sent


# --- the audit ------------------------------------------------------------------------------------


def test_acts_are_listed_newest_first_for_people_and_programs(saga: Saga) -> None:
    saga("retry", "stuck-1", "--reason", "service is back", *SEND)
    saga("resolve", "stuck-2", "--as", "compensated", "--reason", "by phone", *SEND)
    saga("retry", "--ids", "-", "--yes", "--bulk-id", "b1", *SEND, stdin="stuck-3\n")
    rows = saga("acts", "-o", "jsonl").rows
    assert [(row["sagaId"], row["verb"], row["outcome"]) for row in rows] == [
        ("stuck-3", "retry", None), ("stuck-2", "resolve", None), ("stuck-1", "retry", None),
    ]  # fmt: skip
    assert (rows[1]["actor"], rows[1]["reason"], rows[1]["arguments"]) == (
        "ann@desk",
        "by phone",
        {"as": "compensated"},
    )
    table = saga("acts", "stuck-2").out
    assert "resolve as compensated" in table
    assert "waiting" in table
    assert [row["sagaId"] for row in saga("acts", "--bulk-id", "b1", "-o", "jsonl").rows] == ["stuck-3"]
    assert len(saga("acts", "--waiting", "-n", "2", "-o", "jsonl").rows) == 2
    assert "service is back" in saga("show", "stuck-1").out
    assert saga("acts", "done-1").err == "no acts\n"
