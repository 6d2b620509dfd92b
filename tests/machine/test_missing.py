"""What a person can still do to a saga whose definition no code has (R30)."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.machine.decision import Decision
from kafka_saga.orchestrator.machine.events import Act, Park
from kafka_saga.orchestrator.machine.missing import act_without_definition
from kafka_saga.orchestrator.machine.states import EventKind, ParkReason
from kafka_saga.orchestrator.testing import Story, expect_refused
from kafka_saga.schemas.orders import ChargePayment, ReserveItems
from tests.machine.worlds import RESERVED, order_story, plain_saga, story_of


def parked_for_want_of_code() -> Story:
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.expect_command("payment", ChargePayment)
    story.apply(Park(ParkReason.DEFINITION_MISSING, "version 1 of saga 'order' is not registered"))
    return story


@pytest.mark.parametrize("target", ["completed", "compensated"])
def test_a_resolve_needs_no_definition_and_does_what_the_table_does_R28_R30(target: str) -> None:
    story = parked_for_want_of_code()
    act = Act("act-1", EventKind.RESOLVE, "ops", "settled by phone", "PARKED", None, {"as": target})

    without = act_without_definition(story.saga, act, story.now)

    with_definition = story.apply(act)
    assert isinstance(without, Decision)
    assert isinstance(with_definition, Decision)
    assert (without.saga, without.effects) == (with_definition.saga, with_definition.effects)
    assert [(row.seq, row.status, row.detail["event"]) for row in without.log] == [
        (row.seq, row.status, row.detail["event"]) for row in with_definition.log
    ]


@pytest.mark.parametrize("verb", [EventKind.RETRY_NOW, EventKind.CANCEL, EventKind.SKIP])
def test_no_other_act_is_done_without_a_definition(verb: EventKind) -> None:
    story = parked_for_want_of_code()

    message = expect_refused(act_without_definition(story.saga, Act("act-1", verb, "ops", "told to"), story.now))

    assert "version 1 of saga 'order'" in message
    assert "--app" in message


@pytest.mark.parametrize(
    ("state", "arguments", "said"),
    [
        ("RUNNING", {"as": "completed"}, "look again"),
        ("PARKED", {"as": "nonsense"}, "no code has"),
        (None, {}, "no code"),
    ],
)
def test_a_resolve_without_a_definition_is_checked_like_any_other_R25(
    state: str | None, arguments: dict[str, str], said: str
) -> None:
    story = parked_for_want_of_code()
    act = Act("act-1", EventKind.RESOLVE, "ops", "settled by phone", state, None, arguments)

    assert said in expect_refused(act_without_definition(story.saga, act, story.now))


def test_an_ended_saga_stays_ended_without_a_definition() -> None:
    story = story_of(plain_saga, admitted=False)
    story.cancel()
    act = Act("act-1", EventKind.RESOLVE, "ops", "settled by phone", None, None, {"as": "completed"})

    assert "has ended" in expect_refused(act_without_definition(story.saga, act, story.now))
