"""How commands are filled, and that a user's function can only ever harm its own saga (R15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from kafka_saga.orchestrator.definition import Saga, SagaData, Step, from_reply
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.runtime.errors import ContractError, DefinitionError
from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.ids import Phase

REQUEST = {
    "order_id": "order-123",
    "customer_id": "c-1",
    "items": [{"sku": "lamp", "quantity": 2}],
    "amount": 4_990,
    "currency": "EUR",
}
REPLIES = {"reserve_inventory": {"reservation_id": "r-1"}, "process_payment": {"charge_id": "ch-1"}}


class Wanted(BaseModel):
    order_id: str


class Take(BaseModel):
    model_config = ConfigDict(strict=True)

    order_id: str
    note: str = "none"

    @field_validator("note")
    @classmethod
    def _without_curses(cls, note: str) -> str:
        if note == "curse":
            raise RuntimeError("the validator broke")
        return note


class GiveBack(BaseModel):
    order_id: str
    receipt: str | None


class Taken(BaseModel):
    receipt: str


def saga(**fields: Any) -> Saga:
    step = Step("one", service="stock", action=Take, compensation=GiveBack, reply=Taken, **fields)
    return Saga("shop", version=1, request=Wanted, steps=[step])


def body(definition: Saga, phase: Phase = Phase.FORWARD, replies: dict[str, Any] | None = None) -> Any:
    data = SagaData({"order_id": "7"}, replies or {})
    return decode_trusted(definition.command_body("one", phase, data))


@pytest.mark.parametrize(
    ("step", "phase", "expected"),
    [
        ("reserve_inventory", Phase.FORWARD, {"order_id": "order-123", "items": [{"sku": "lamp", "quantity": 2}]}),
        ("reserve_inventory", Phase.COMPENSATE, {"order_id": "order-123", "reservation_id": "r-1"}),
        ("process_payment", Phase.COMPENSATE, {"order_id": "order-123", "charge_id": "ch-1"}),
        ("create_order", Phase.FORWARD, {**REQUEST, "reservation_id": "r-1", "charge_id": "ch-1"}),
        ("create_order", Phase.COMPENSATE, {"order_id": "order-123"}),
    ],
)
def test_fields_come_from_the_request_and_from_earlier_replies_by_name(
    step: str, phase: Phase, expected: dict[str, Any]
) -> None:
    assert decode_trusted(order_saga.command_body(step, phase, SagaData(REQUEST, REPLIES))) == expected


def test_the_same_data_gives_the_same_bytes_I13() -> None:
    data = SagaData(REQUEST, REPLIES)
    shuffled = SagaData(dict(reversed(REQUEST.items())), dict(reversed(REPLIES.items())))

    for step in order_saga.steps:
        for phase in Phase:
            assert order_saga.command_body(step.name, phase, data) == order_saga.command_body(
                step.name, phase, shuffled
            )


def test_a_step_in_doubt_is_undone_without_its_reply_R15() -> None:
    told = order_saga.command_body("process_payment", Phase.COMPENSATE, SagaData(REQUEST, {}))

    assert decode_trusted(told) == {"order_id": "order-123", "charge_id": None}


def test_a_field_without_a_default_is_told_that_there_is_no_reply_R15() -> None:
    assert body(saga(), Phase.COMPENSATE) == {"order_id": "7", "receipt": None}
    assert body(saga(), Phase.COMPENSATE, {"one": {"receipt": "r-1"}}) == {"order_id": "7", "receipt": "r-1"}


def test_an_explicit_source_of_its_own_reply_may_be_absent_too_R15() -> None:
    definition = saga(compensation_fields={"receipt": from_reply("one", "receipt")})

    assert body(definition, Phase.COMPENSATE) == {"order_id": "7", "receipt": None}


def test_a_function_fills_a_field_from_all_that_the_saga_knows() -> None:
    definition = saga(action_fields={"note": lambda data: f"for {data.request['order_id']}"})

    assert body(definition) == {"order_id": "7", "note": "for 7"}


def test_a_function_that_gives_nothing_leaves_an_optional_field_at_its_default() -> None:
    assert body(saga(action_fields={"note": lambda _data: None})) == {"order_id": "7", "note": "none"}


async def a_coroutine() -> str:
    return "7"


def raising(error: BaseException) -> Callable[[SagaData], Any]:
    def field(_data: SagaData) -> Any:
        raise error

    return field


@pytest.mark.parametrize(
    ("field", "says"),
    [
        (raising(KeyError("colour")), "Take cannot be filled: KeyError: 'colour'"),
        (raising(ValueError("\ud800")), "Take cannot be filled: ValueError: ?"),
        (raising(RecursionError("deep")), "Take cannot be filled: RecursionError: deep"),
        (lambda _data: None, "Take cannot be filled: order_id: Input should be a valid string"),
        (lambda _data: 7, "Take cannot be filled: order_id: Input should be a valid string"),
        (lambda _data: object(), "Take cannot be filled: PydanticSerializationError: Unable to serialize unknown type"),
        (lambda _data: 2**70, "Take cannot be filled: a number in the value has more than 64 bits"),
        (lambda _data: "\ud800", "Take cannot be filled: PydanticSerializationError"),
        (lambda _data: float("nan"), "Take cannot be filled: a number in the value is infinite or none at all"),
        (
            lambda _data: SecretStr("x"),
            "Take cannot be filled: TypeError: the function of 'order_id' returned a secret",
        ),
        (
            lambda _data: a_coroutine(),
            "Take cannot be filled: TypeError: the function of 'order_id' returned a coroutine",
        ),
    ],
    ids=[
        *("raises", "raises nonsense", "recurses", "none", "number", "object", "huge", "surrogate", "not a number"),
        *("secret", "coroutine"),
    ],
)
def test_a_function_that_fails_is_a_definition_error_that_parks_its_own_saga(
    field: Callable[[SagaData], Any], says: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        body(saga(action_fields={"order_id": field}))

    assert str(caught.value).startswith(says)


def test_a_validator_that_breaks_is_a_definition_error_too() -> None:
    with pytest.raises(DefinitionError, match="Take cannot be filled: RuntimeError: the validator broke"):
        body(saga(action_fields={"note": lambda _data: "curse"}))


def test_a_definition_error_holds_no_value_of_the_request_I24() -> None:
    with pytest.raises(DefinitionError) as caught:
        body(saga(action_fields={"order_id": lambda _data: {"card": "4111-1111"}}))

    assert "4111" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (b"{}", "the value does not fit Taken: receipt: Field required"),
        (b'{"receipt": 7}', "the value does not fit Taken: receipt: Input should be a valid string"),
        (b'"text"', "the value is a JSON string; send one JSON object"),
    ],
    ids=["less", "type", "text"],
)
def test_a_reply_that_does_not_fit_is_refused_before_it_counts(reply: bytes, complaint: str) -> None:
    with pytest.raises(ContractError) as caught:
        saga().reply_document(0, reply)

    assert str(caught.value) == complaint


def test_a_reply_is_kept_as_its_model_knows_it() -> None:
    assert saga().reply_document(0, b'{"receipt": "r-1", "more": 1}') == {"receipt": "r-1"}
