"""`saga list`, `show`, `log`, `explain` and `watch`: what the store knows, for people and for programs."""

from __future__ import annotations

import re

import pytest

from kafka_saga.orchestrator.operations.sagas.explaining import explain
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.schemas.orders import ChargePayment
from tests.cli.conftest import (
    STORES,
    FillStore,
    Saga,
    compensated,
    compensating,
    completed,
    either_store,
    parked,
    running,
    waiting,
)

HOUR_S = 3_600


@pytest.fixture(params=STORES)
def postgres_store(request: pytest.FixtureRequest) -> PostgresLocation | None:
    return either_store(request)


@pytest.fixture
def filled(saga: Saga, fill_store: FillStore) -> Saga:
    fill_store(
        completed("old-1"),
        compensated("old-2"),
        parked("stuck-1"),
        compensating("undoing-1", "out of stock"),
        running("running-1"),
        waiting("new-1"),
        ages_s=(48 * HOUR_S, 24 * HOUR_S, 2 * HOUR_S, HOUR_S, 600, 0),
    )
    return saga


def ids(saga: Saga, *arguments: str) -> list[str]:
    run = saga("list", "-o", "jsonl", *arguments)
    assert run.exit_code == 0, run.err
    return [row["sagaId"] for row in run.rows]


def test_sagas_are_listed_newest_first(filled: Saga) -> None:
    assert ids(filled) == ["new-1", "running-1", "undoing-1", "stuck-1", "old-2", "old-1"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--state parked", ["stuck-1"]),
        ("--state parked --state running", ["running-1", "stuck-1"]),
        ("--state completed --state running", ["running-1", "old-1"]),
        ("--limit 2", ["new-1", "running-1"]),
        ("--older-than 90m", ["stuck-1", "old-2", "old-1"]),
        ("--newer-than 90m", ["new-1", "running-1", "undoing-1"]),
        ("--newer-than 30h --older-than 90m", ["stuck-1", "old-2"]),
        ("--state running --older-than 5m", ["running-1"]),
        ("--state running --older-than 15m", []),
        ("--error STOCK", ["undoing-1"]),
        ("--type order --limit 1", ["new-1"]),
        ("--type shipment", []),
        ("--id old-", ["old-2", "old-1"]),
        ("--id old-1 --state completed", ["old-1"]),
        ("--id nobody", []),
        ("--field order_id=running-1", ["running-1"]),
        ("--field customer_id=alice --state parked", ["stuck-1"]),
        ("--cause compensation_failed", ["stuck-1"]),
        ("--step create_order --state completed", ["old-1"]),
        ("--step no_step", []),
        ("--held", []),
    ],
)
def test_a_list_shows_what_all_its_filters_let_through(filled: Saga, arguments: str, expected: list[str]) -> None:
    assert ids(filled, *arguments.split()) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("list --id order/7", "no saga's id begins with 'order/7'"),
        ("list --field customer_id", "'customer_id' names a field and no value: write customer_id=alice"),
        ("list --field a-b=1", "'a-b' is no field of a request"),
        ("retry --id order/7 --dry-run", "no saga's id begins with 'order/7'"),
        ("retry --field customer_id --dry-run", "'customer_id' names a field and no value"),
        ("retry --ids - --id old-1 --dry-run", "--ids is the list: no other filter goes with it, except --type"),
        ("retry stuck-1 --id stuck", "give one saga's id, or say which sagas with a filter: not both"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(filled: Saga, arguments: str, said: str) -> None:
    run = filled(*arguments.split())
    assert (run.exit_code, run.out) == (2, "")
    assert said in run.err


@pytest.mark.parametrize(
    "filters",
    ["--id stuck-", "--id new-1", "--field order_id=running-1", "--error STOCK", "--older-than 90m", "--id old-"],
)
def test_acts_on_many_choose_what_a_list_with_the_same_filters_shows(filled: Saga, filters: str) -> None:
    unfinished = [f"--state={state}" for state in ("pending", "running", "compensating", "parked")]

    run = filled("pause", *filters.split(), *unfinished, "--dry-run", "-o", "jsonl")

    assert [row["sagaId"] for row in run.rows] == ids(filled, *filters.split(), *unfinished)[::-1]


def test_the_table_of_a_list_says_status_and_error(filled: Saga) -> None:
    run = filled("list")
    assert "STEP_2 IN_PROGRESS" in run.out
    assert "card declined" in run.out
    assert "\x1b" not in run.out, "no colours where nobody looks"


def test_a_saga_is_shown_with_its_record_and_its_steps(filled: Saga) -> None:
    assert filled("show", "old-2", "-o", "json").json["stepsCompensated"] == [1]
    table = filled("show", "old-2").out
    assert "2. process_payment" in table
    assert "It failed (card declined) and what was done is undone." in table


def test_a_saga_that_does_not_exist_is_exit_code_3(filled: Saga) -> None:
    run = filled("show", "nonesuch")
    assert (run.exit_code, run.err) == (3, "saga: there is no saga 'nonesuch'\n")


def test_a_saga_is_shown_with_its_times_its_steps_its_request_and_its_replies(filled: Saga) -> None:
    shown = filled("show", "old-2", "-o", "json").json
    assert shown["data"]["request"]["order_id"] == "old-2"
    assert shown["data"]["replies"] == {"reserve_inventory": {"reservation_id": "r-1"}}
    assert (shown["sagaType"], shown["version"], shown["status"]) == ("order", 1, "COMPENSATED")
    assert filled("show", "old-2", "-o", "json").json == shown, "it has ended: nothing of it changes any more"
    assert shown["startedAt"].endswith("Z")
    assert shown["updatedAt"].endswith("Z")
    assert [step["status"] for step in shown["steps"]] == ["COMPENSATED", "FAILED", "PENDING"]
    first, second, third = shown["steps"]
    assert first["durationMs"] == 0 == first["compensation"]["durationMs"]
    assert (second["attempts"], second["error"], second["compensation"]) == (1, "card declined", None)
    assert (third["attempts"], third["startedAt"], third["endedAt"]) == (0, None, None)
    lines = filled("show", "old-2").out.splitlines()
    assert re.fullmatch(r"  started +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", lines[2])
    assert re.fullmatch(r"  ended +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}, took 0 ms", lines[3])
    assert '     reply  {"reservation_id":"r-1"}' in lines
    assert "     error  card declined" in lines
    assert lines[-1].startswith('  request  {"order_id":"old-2"')


def test_the_error_of_a_parked_saga_is_why_it_is_parked(filled: Saga) -> None:
    shown = filled("show", "stuck-1", "-o", "json").json
    assert shown["error"] == "no such reservation"
    assert shown["parked"] == {
        "reason": "compensation_failed",
        "detail": "no such reservation",
        "fromState": "COMPENSATING",
        "error": "card declined",
    }
    out = filled("show", "stuck-1").out
    assert re.search(r"^  error +no such reservation$", out, re.MULTILINE)
    assert re.search(r"^  parked +compensation_failed$", out, re.MULTILINE)
    assert re.search(r"^  failed before +card declined$", out, re.MULTILINE)
    assert "no such reservation" in filled("list", "--state", "parked").out
    assert ids(filled, "--error", "such RESERVATION") == ["stuck-1"]


def test_what_is_shown_fits_into_80_columns(filled: Saga) -> None:
    for arguments in (["show", "stuck-1"], ["list"], ["log", "old-2", "--all"], ["explain", "stuck-1"]):
        assert max(map(len, filled(*arguments, COLUMNS="80").out.splitlines())) <= 80


@pytest.mark.parametrize("verb", ["show", "log", "explain", "acts"])
def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(filled: Saga, verb: str) -> None:
    run = filled(verb, "stu")
    assert run.exit_code == 0
    assert run.err.splitlines()[0] == "'stu' is stuck-1"
    several = filled(verb, "old")
    assert (several.exit_code, several.err) == (3, "saga: several sagas begin with 'old': old-1, old-2\n")
    assert filled(verb, "old-1").err in ("", "no acts\n"), "what is written out needs no word"


def test_an_id_that_is_the_beginning_of_others_is_that_saga(saga: Saga, fill_store: FillStore) -> None:
    fill_store(completed("order-1"), *(waiting(f"order-1{number}") for number in range(7)))
    assert saga("show", "order-1", "-o", "json").json["state"] == "COMPLETED"
    err = saga("show", "ord").err
    assert err == "saga: several sagas begin with 'ord': order-1, order-10, order-11, order-12, order-13, …\n"
    assert saga("show", "").err == "saga: there is no saga ''\n"


def test_a_long_error_is_cut_on_a_terminal_and_pads_nothing_in_a_pipe(saga: Saga, fill_store: FillStore) -> None:
    fill_store(compensated("order-1", "x" * 1_900), completed("order-2"))
    piped = saga("list").out.splitlines()
    assert [line for line in piped if line != line.rstrip()] == []
    assert max(len(line) for line in piped if "x" * 100 not in line) < 80
    assert "x" * 1_900 in saga("list").out
    terminal = saga("list", COLUMNS="80").out
    assert terminal.count("x") < 170


def test_sentences_stand_below_their_rows_where_their_column_would_be_a_word_wide(
    saga: Saga, fill_store: FillStore
) -> None:
    fill_store(compensated("an-order-with-a-long-id-1234", "the card was declined, since its balance is too low"))
    lines = saga("list", COLUMNS="80").out.splitlines()
    assert lines[0].split() == ["saga", "type", "status", "started", "took"]
    assert lines[2] == "    the card was declined, since its balance is too low"


def test_the_log_keeps_step_names_whole_on_a_narrow_terminal(filled: Saga) -> None:
    lines = filled("log", "old-2", COLUMNS="80").out.splitlines()
    assert [line.split()[2:4] for line in lines[1:]] == [
        ["reserve_inventory", "SUCCESS"],
        ["process_payment", "FAILED"],
        ["reserve_inventory", "COMPENSATED"],
    ]
    assert all(len(line) <= 80 for line in lines)


def test_a_hostile_error_cannot_steer_the_terminal(saga: Saga, fill_store: FillStore) -> None:
    fill_store(compensated("order-1", "no\x1b[2J\nsuch [bold]card"))
    for arguments in (["show", "order-1"], ["list"], ["log", "order-1"], ["explain", "order-1"]):
        run = saga(*arguments)
        assert r"no\x1b[2J\x0asuch [bold]card" in run.out
        assert "\x1b" not in run.out


def test_explain_says_who_is_waited_for_and_what_happens_then(filled: Saga) -> None:
    run = filled("explain", "running-1")
    assert run.out.startswith(
        "running-1 is STEP_2 IN_PROGRESS. It waits for payment to answer chargePayment of 'process_payment', "
        "attempt 1 of 4, until "
    )
    assert "then it is sent again." in run.out
    assert "No orchestrator runs on this store" in run.out
    assert filled("explain", "running-1", "-o", "json").json["orchestratorRuns"] is False


def test_explain_counts_down_to_the_deadline_and_to_the_next_attempt() -> None:
    story = running("order-1")
    assert "Z (in 5.0 s); then it is sent again." in explain(order_saga, story.saga, story.now)
    story.expect_command("payment", ChargePayment).retry("the bank is closed")
    sentence = explain(order_saga, story.saga, story.now)
    assert "Attempt 1 of 4 of 'process_payment' failed (the bank is closed); it is tried again at " in sentence
    assert "Z (in 1.0 s), or now with `saga retry " in sentence


def test_explain_of_a_parked_saga_says_that_a_person_must_act(filled: Saga) -> None:
    assert (
        "needs a person (compensation_failed): undoing 'reserve_inventory' did not work"
        in filled("explain", "stuck-1").out
    )


def test_watch_prints_one_json_object_a_look_where_no_terminal_is(filled: Saga) -> None:
    first, second = filled("watch", "--count", "2", "--interval", "50ms").rows
    expected = dict.fromkeys(("PENDING", "RUNNING", "COMPENSATING", "COMPLETED", "COMPENSATED", "PARKED"), 1)
    assert first["counts"] == second["counts"] == expected
    assert (first["finishedPerSecond"], second["finishedPerSecond"]) == (None, 0.0)
    assert first["newest"][0]["sagaId"] == "new-1"
