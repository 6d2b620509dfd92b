"""What people are shown of a saga whose models mark fields as sensitive, and of its messages; Kafka's stay whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, Field

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.definition import SagaData, Step, from_request
from kafka_saga.orchestrator.engine.messages import MessageWriter
from kafka_saga.orchestrator.machine.decision import EmitEvent, LogEntry
from kafka_saga.orchestrator.machine.saga import Parked, Saga, StepState, accepted
from kafka_saga.orchestrator.machine.states import LogStatus, ParkReason, SagaState, StepStatus
from kafka_saga.orchestrator.masking import Masks, command_mask, mask_of
from kafka_saga.orchestrator.operations.kafka.messages import describe, id_fields
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.act_rows import ActRow
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.events import LifecycleEvent
from kafka_saga.schemas.ids import Phase, SagaRef
from kafka_saga.schemas.sensitive import MASK, Sensitive
from kafka_saga.schemas.topics import TopicNames
from tests.engine.world import Kept

CARD, TOKEN = "4111111111111111", "tok-83f1"


class Bought(BaseModel):
    order_id: str
    card: Sensitive[str]
    amount: int


class Charge(BaseModel):
    pan: str
    amount: int
    text: str


class Charged(BaseModel):
    charge_id: str
    token: str = Field(json_schema_extra={"saga": "sensitive"})


class Refund(BaseModel):
    charge_id: str | None = None


class Ship(BaseModel):
    order_id: str
    token: str


def _text(data: SagaData) -> str:
    return f"order {data.request['order_id']}"


def shop(version: int = 1) -> Definition:
    return Definition(
        "shop",
        version=version,
        request=Bought,
        id_from="order_id",
        steps=[
            Step(
                "pay", service="bank", action=Charge, compensation=Refund, reply=Charged,
                action_fields={"pan": from_request("card"), "text": _text},
            ),
            Step("ship", service="post", action=Ship, pivot=True),
        ],
    )  # fmt: skip


SHOP = shop()
REQUEST = {"order_id": "order-1", "card": CARD, "amount": 2500}


def declined() -> Saga:
    """Paid for once, and parked with a sentence of the bank's that quotes the card."""
    saga = accepted(SHOP, SagaRef("shop", "order-1"), REQUEST, 60, 1_000)
    paid = StepState(StepStatus.SUCCESS, executed=True, reply={"charge_id": "c-1", "token": TOKEN}, error=f"{CARD}!")
    return replace(
        saga,
        steps=(paid, StepState()),
        state=SagaState.PARKED,
        error=f"card {CARD} declined",
        parked=Parked(ParkReason.PIVOT_UNRESOLVED, SagaState.RUNNING, f"no such token {TOKEN}"),
    )


def test_a_saga_is_shown_without_what_is_sensitive_in_its_request_replies_and_sentences() -> None:
    shown = Masks([SHOP]).saga(declined())

    assert shown.request == {"order_id": "order-1", "card": MASK, "amount": 2500}
    assert shown.steps[0].reply == {"charge_id": "c-1", "token": MASK}
    assert shown.steps[0].error == f"{MASK}!"
    assert shown.error == f"card {MASK} declined"
    assert shown.parked is not None
    assert shown.parked.detail == f"no such token {MASK}"


def test_a_saga_without_sensitive_fields_is_shown_as_it_is() -> None:
    class Plain(BaseModel):
        order_id: str

    plain = Definition(
        "plain", version=1, request=Plain, steps=[Step("ship", service="post", action=Plain, pivot=True)]
    )
    saga = accepted(plain, SagaRef("plain", "order-1"), {"order_id": "order-1"}, 20, 1_000)

    assert Masks([plain]).saga(saga) is saga


def test_of_a_version_that_no_code_has_all_data_is_masked_but_its_names() -> None:
    shown = Masks([shop(2)]).saga(declined())

    assert shown.request == {"order_id": MASK, "card": MASK, "amount": MASK}
    assert shown.steps[0].reply == {"charge_id": MASK, "token": MASK}
    assert CARD not in str(shown)
    assert TOKEN not in str(shown)


@pytest.mark.parametrize(
    ("step", "phase", "body", "shown"),
    [
        ("pay", Phase.FORWARD, {"pan": CARD, "amount": 1, "text": "t"}, {"pan": MASK, "amount": 1, "text": MASK}),
        ("pay", Phase.COMPENSATE, {"charge_id": "c-1"}, {"charge_id": "c-1"}),
        ("ship", Phase.FORWARD, {"order_id": "order-1", "token": TOKEN}, {"order_id": "order-1", "token": MASK}),
    ],
)
def test_a_command_hides_what_was_taken_from_sensitive_fields_and_what_functions_made(
    step: str, phase: Phase, body: dict[str, Any], shown: dict[str, Any]
) -> None:
    assert command_mask(SHOP, step, phase).mask(body) == shown


def test_commands_carry_everything_and_events_for_others_do_not() -> None:
    body = SHOP.command_body("pay", Phase.FORWARD, SagaData(REQUEST, {}))
    event = MessageWriter(TopicNames()).message(SHOP, declined(), EmitEvent(LifecycleEvent.PARKED))

    assert decode_trusted(body)["pan"] == CARD
    assert event.value is not None
    told = decode_trusted(event.value)
    assert told["data"] == {
        "request": {"order_id": "order-1", "card": MASK, "amount": 2500},
        "replies": {"pay": {"charge_id": "c-1", "token": MASK}},
    }
    assert told["error"] == f"card {MASK} declined"


def test_log_rows_are_shown_without_it() -> None:
    reply = {
        "event": "Replied", "step": "pay", "phase": "forward", "outcome": "success",
        "body": {"charge_id": "c-1", "token": TOKEN},
    }  # fmt: skip
    failure = {"event": "Replied", "step": "pay", "outcome": "failure", "body": {"error": f"card {CARD} declined"}}
    skip = {"event": "Act", "verb": "skip", "arguments": {"step": "pay", "data": {"charge_id": "x", "token": "t"}}}
    entries = [
        LogEntry(number, "pay", LogStatus.SUCCESS, 1, 1_000, detail)
        for number, detail in enumerate((reply, failure, skip), 1)
    ]

    shown = [entry.detail for entry in Masks([SHOP]).log(declined(), entries)]

    assert shown == [
        {**reply, "body": {"charge_id": "c-1", "token": MASK}},
        {**failure, "body": {"error": f"card {MASK} declined"}},
        {**skip, "arguments": {"step": "pay", "data": {"charge_id": "x", "token": MASK}}},
    ]


def test_what_an_operator_gave_as_a_reply_is_as_sensitive_as_the_reply() -> None:
    arguments = {"step": "pay", "data": {"charge_id": "x", "token": TOKEN}}
    row = ActRow("a", SagaRef("shop", "order-1"), "skip", arguments, "bob", "why", None, None, 1, None, None, None)

    assert Masks([SHOP]).act(row).arguments == {"step": "pay", "data": {"charge_id": "x", "token": MASK}}
    assert Masks([]).act(row).arguments == {"step": "pay", "data": {"charge_id": MASK, "token": MASK}}


def test_the_saga_id_cannot_be_sensitive_for_it_stands_everywhere() -> None:
    class Secretive(BaseModel):
        order_id: Sensitive[str]

    with pytest.raises(DefinitionError, match="id_from='order_id' is marked as sensitive"):
        Definition(
            "shop",
            version=1,
            request=Secretive,
            id_from="order_id",
            steps=[Step("ship", service="post", action=Refund, pivot=True)],
        )


PAY = "shop/order-1/pay/forward/1"
COMMAND = [("ce_id", PAY.encode()), ("ce_replyto", b"bank.replies")]
REPLY = [("ce_causationid", PAY.encode()), ("ce_sagaoutcome", b"success")]
FAILURE = [*REPLY[:1], ("ce_sagaoutcome", b"failure")]
SHIPPED = [("ce_causationid", b"shop/order-1/ship/forward/1"), FAILURE[1]]
REFUNDED = [("ce_causationid", b"shop/order-1/pay/compensate/1"), FAILURE[1]]
HIDDEN_REQUEST = {"order_id": "order-1", "card": MASK, "amount": 2500}
STRUCTURED = [("content-type", b"application/cloudevents+json")]


@pytest.mark.parametrize(
    ("topic", "headers", "value", "shown"),
    [
        ("shop.requests", [], REQUEST, HIDDEN_REQUEST),
        ("dlq.shop.requests", [], {**REQUEST, "cardd": CARD}, {**HIDDEN_REQUEST, "cardd": MASK}),
        ("dlq.shop.requests", [], CARD, MASK),
        ("shop.requests", STRUCTURED, {"id": "1", "data": REQUEST}, {"id": "1", "data": HIDDEN_REQUEST}),
        ("bank.commands", COMMAND, {"pan": CARD, "amount": 1}, {"pan": MASK, "amount": 1}),
        ("bank.commands", [], {"pan": CARD, "amount": 1}, MASK),
        ("bank.replies", REPLY, {"charge_id": "c", "token": TOKEN}, {"charge_id": "c", "token": MASK}),
        ("bank.replies", FAILURE, {"error": f"no {CARD}", "x": 1}, {"error": MASK, "x": MASK}),
        ("post.replies", SHIPPED, {"error": f"no {CARD}"}, {"error": MASK}),
        ("bank.replies", REFUNDED, {"error": f"no {CARD}"}, {"error": MASK}),
        ("dlq.bank.replies", [("ce_sagaoutcome", b"retry")], {"error": f"no {CARD}"}, {"error": MASK}),
        ("bank.replies", [*FAILURE, *STRUCTURED], {"data": {"error": CARD}}, {"data": {"error": MASK}}),
        ("shop.requests", FAILURE, {**REQUEST, "error": CARD}, {**HIDDEN_REQUEST, "error": MASK}),
        (
            "shop.events", [], {"sagaId": "order-1", "error": None, "data": {"request": REQUEST, "replies": {}}},
            {"sagaId": "order-1", "error": None, "data": {"request": HIDDEN_REQUEST, "replies": {}}},
        ),
        ("elsewhere", [], {"card": CARD}, {"card": CARD}),
    ],
)  # fmt: skip
def test_messages_are_shown_without_it(
    topic: str, headers: list[tuple[str, bytes | None]], value: Any, shown: Any
) -> None:
    record = Kept(topic, 0, 7, b"order-1", encode(value) if value != CARD else b"{not json", headers)
    registry, topics = Registry([SHOP]), TopicNames()

    assert describe(record, id_fields(registry, topics))["value"] == shown
    revealed = describe(record, id_fields(registry, topics, reveals=True))["value"]
    assert revealed == (value if value != CARD else "{not json")


@pytest.mark.parametrize("headers", [FAILURE, SHIPPED, REFUNDED])
def test_of_a_saga_that_is_known_an_error_is_shown_without_what_it_quotes(headers: list[tuple[str, bytes]]) -> None:
    fields = id_fields(Registry([SHOP]), TopicNames())
    fields.secrets[SagaRef("shop", "order-1")] = frozenset({CARD})
    topic = "post.replies" if headers is SHIPPED else "bank.replies"
    record = Kept(topic, 0, 7, b"order-1", encode({"error": f"no room for card {CARD}"}), headers)

    assert describe(record, fields)["value"] == {"error": f"no room for card {MASK}"}

    fields.secrets = {SagaRef("another", "order-1"): frozenset()}
    assert describe(record, fields)["value"] == {"error": MASK}, "another type's saga of that id knows nothing of it"


def test_a_definition_means_the_same_with_and_without_marks() -> None:
    """A mark may be added while sagas run: it is no change of the definition."""

    class Charged(BaseModel):
        charge_id: str
        token: str

    unmarked = shop()
    steps = [unmarked.steps[0], unmarked.steps[1]]
    steps[0] = Step(
        "pay", service="bank", action=Charge, compensation=Refund, reply=Charged,
        action_fields=unmarked.steps[0].action_fields,
    )  # fmt: skip

    again = Definition("shop", version=1, request=Bought, id_from="order_id", steps=steps)

    assert again.fingerprint == SHOP.fingerprint
    assert mask_of(again).reply("pay").mask({"token": TOKEN}) == {"token": TOKEN}
