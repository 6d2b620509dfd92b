"""`saga pause`, `resume` and `pauses`, and how `list`, `explain` and `log` tell what stands still."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.machine.decision import Decision
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Hold
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.location import PostgresLocation, StoreLocation
from kafka_saga.orchestrator.testing import Story, given
from kafka_saga.schemas.orders import ItemsReserved, ReserveItems
from tests.cli.conftest import STORES, FillStore, Saga, completed, either_store, order, parked, running, waiting
from tests.cli.test_verbs import queued

SEND = ("--no-wait", "--actor", "ann@desk", "-o", "json")
SINCE = 1_700_000_000_000
PAYMENT = Pause(Hold("service:payment", "ann", "migration", SINCE))
ORDERS = Pause(Hold("type:order", "bob", "stock-taking", SINCE), under_way=False)


def held(story: Story) -> Story:
    assert isinstance(story.act(EventKind.PAUSE, actor="ann", reason="fraud desk"), Decision)
    return story


def held_for_payment(order_id: str) -> Story:
    story = given(order_saga, order(order_id))
    story.pauses[PAYMENT.hold.scope] = PAYMENT.hold
    story.expect_command("inventory", ReserveItems).succeed(ItemsReserved(reservation_id="r-1"))
    return story


@pytest.fixture(params=STORES)
def postgres_store(request: pytest.FixtureRequest) -> PostgresLocation | None:
    return either_store(request)


@pytest.fixture
def store(fill_store: FillStore) -> StoreLocation:
    return fill_store(
        held(running("held-1")),
        held_for_payment("waits-1"),
        held_for_payment("waits-2"),
        running("running-1"),
        waiting("new-1"),
        parked("stuck-1"),
        completed("done-1"),
        ages_s=(70, 60, 50, 40, 30, 20, 10),
        pauses=(PAYMENT, ORDERS),
    )


# --- what is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["running-1"], ("running-1", {})),
        (["running-1", "--type", "order"], ("running-1", {})),
        (["--service", "payment"], ("", {"scope": "service:payment"})),
        (["--type", "order"], ("", {"scope": "type:order"})),
    ],
)
def test_a_pause_is_an_act_on_a_saga_a_type_or_a_service_R25(
    saga: Saga, store: StoreLocation, verb: str, arguments: list[str], expected: tuple[str, dict[str, str]]
) -> None:
    run = saga(verb, *arguments, "--reason", "told to", *SEND)
    assert (run.exit_code, run.json["result"]) == (0, "waiting"), run.err
    [act] = queued(store)
    assert (act.kind, (act.ref.saga_id, act.arguments)) == (verb, expected)
    assert (act.actor, act.reason, act.expected_state) == ("ann@desk", "told to", "RUNNING" if expected[0] else None)
    assert run.json.get("scope") == expected[1].get("scope")


def test_sagas_under_way_of_a_type_are_held_too_when_asked_for(saga: Saga, store: StoreLocation) -> None:
    assert saga("pause", "--type", "order", "--running", *SEND).exit_code == 0
    assert [act.arguments for act in queued(store)] == [{"scope": "type:order", "underWay": True}]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["pause"], 2, "say which sagas"),
        (["pause", "nonesuch"], 3, "there is no saga 'nonesuch'"),
        (["pause", "running-1", "--service", "payment"], 2, "not both"),
        (["pause", "running-1", "--all"], 2, "not both"),
        (["pause", "--service", "payment", "--type", "order"], 2, "--service stands alone"),
        (["pause", "--service", "payment", "--older-than", "1h"], 2, "--service stands alone"),
        (["pause", "--service", "payment", "--if-state", "running"], 2, "for one saga"),
        (["pause", "--running"], 2, "--running goes with --type"),
        (["pause", "running-1", "--type", "order", "--running"], 2, "--running goes with --type"),
        (["resume"], 2, "say which sagas"),
        (["pause", "--service", "payment", "--reason", ""], 2, "reason must have 1 to 500"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    saga: Saga, store: StoreLocation, arguments: list[str], code: int, said: str
) -> None:
    run = saga(*arguments)
    assert (run.exit_code, run.out) == (code, "")
    assert said in run.err
    assert queued(store) == []


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        (["resume", "--all"], ["held-1"]),
        (["pause", "--state", "pending"], ["new-1"]),
        (["pause", "--type", "order", "--limit", "2"], ["held-1", "waits-1"]),
    ],
)
def test_many_are_paused_or_resumed_by_a_filter(saga: Saga, arguments: list[str], chosen: list[str]) -> None:
    run = saga(*arguments, "--dry-run", "-o", "jsonl")
    assert (run.exit_code, [row["sagaId"] for row in run.rows]) == (0, chosen)


@pytest.mark.usefixtures("store")
def test_without_an_orchestrator_a_pause_waits_and_says_so_R25(saga: Saga) -> None:
    run = saga("pause", "--service", "orders", "--timeout", "100ms")
    assert run.exit_code == 5
    assert "service orders: no orchestrator runs on this store: the act waits there" in run.err
    assert saga("acts").out.count("service orders") == 1
    assert saga("acts", "-o", "json").json[0]["arguments"] == {"scope": "service:orders"}


@pytest.mark.parametrize("verb", ["pause", "resume", "pauses"])
def test_each_has_examples(saga: Saga, verb: str) -> None:
    assert f"  saga {verb}" in saga(verb, "--help").out.partition("Examples:")[2]


# --- what is told ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("store")
def test_pauses_are_listed_with_what_they_hold(saga: Saga) -> None:
    rows = {row["scope"]: row for row in saga("pauses", "-o", "jsonl").rows}
    assert {scope: (row["paused"], row["held"]) for scope, row in rows.items()} == {
        "service:payment": (True, 2),
        "type:order": (True, 0),
        "operator": (False, 1),
    }
    assert (rows["service:payment"]["actor"], rows["service:payment"]["reason"]) == ("ann", "migration")
    table = saga("pauses").out
    assert "service payment" in table
    assert "stock-taking (those under way go on)" in table
    assert "single sagas" in table


def test_nothing_paused_is_said(saga: Saga, fill_store: FillStore) -> None:
    fill_store(running("running-1"))
    run = saga("pauses")
    assert (run.exit_code, run.out, run.err) == (0, "", "nothing is paused\n")
    assert saga("pauses", "-o", "json").json == []


@pytest.mark.usefixtures("store")
def test_held_sagas_are_listed_with_who_holds_them(saga: Saga) -> None:
    rows = saga("list", "--held", "-o", "jsonl").rows
    assert [(row["sagaId"], row["held"]["scope"]) for row in rows] == [
        ("waits-2", "service:payment"),
        ("waits-1", "service:payment"),
        ("held-1", "operator"),
    ]
    table = saga("list", "--held").out
    assert "STEP_2 IN_PROGRESS (held)" in table
    assert "held by ann: fraud desk" in table
    assert "held by ann: migration, service payment is paused" in table
    assert saga("list", "-o", "json").json[0]["held"] is None


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("saga_id", "sentence"),
    [
        ("held-1", "(fraud desk): nothing is sent and no timeout runs. The answer of payment to chargePayment still"),
        ("held-1", "It goes on with `saga resume held-1`."),
        ("waits-1", "(migration), who paused service payment: nothing is sent and no timeout runs. The next command"),
        ("waits-1", "The next command is chargePayment to payment. It goes on with `saga resume --service payment`."),
        ("running-1", "Service payment is paused by ann since 2023-11-14T22:13:20.000Z (migration): its silence does"),
        ("new-1", "It is accepted and does not begin: its type is paused by bob since 2023-11-14"),
    ],
)
def test_explain_says_why_a_saga_stands_still_and_how_it_goes_on(saga: Saga, saga_id: str, sentence: str) -> None:
    assert sentence in saga("explain", saga_id).out


@pytest.mark.usefixtures("store")
def test_show_and_log_tell_of_the_hold(saga: Saga) -> None:
    assert saga("show", "waits-1", "-o", "json").json["held"]["scope"] == "service:payment"
    assert saga("show", "running-1", "-o", "json").json["held"] is None
    assert "held by ann: migration, service payment is paused" in saga("log", "waits-1", "--all").out
    assert "pause by ann: fraud desk" in saga("log", "held-1", "--all").out
