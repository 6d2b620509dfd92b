"""A definition that is wrong says so when it is built: which saga, step and field, and how to mend it (design §5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from kafka_saga.orchestrator.definition import NoReply, Retry, Saga, SagaData, Step, from_reply, from_request
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas.ids import Phase


class Wanted(BaseModel):
    order_id: str
    amount: int


class Take(BaseModel):
    order_id: str


class GiveBack(BaseModel):
    order_id: str
    receipt: str | None = None


class PutBack(BaseModel):
    order_id: str


class Taken(BaseModel):
    receipt: str


class TakenToo(BaseModel):
    receipt: str


class WithReceipt(BaseModel):
    order_id: str
    receipt: str


class NeedsReceipt(BaseModel):
    receipt: str


class NeedsColour(BaseModel):
    colour: str


class Aliased(BaseModel):
    order_id: str = Field(alias="orderId")


class AliasedThroughout(BaseModel):
    model_config = ConfigDict(alias_generator=str.upper)

    order_id: str


class Listed(RootModel[list[int]]):
    pass


def another_take() -> type[BaseModel]:
    class Take(BaseModel):
        order_id: str

    return Take


def step(name: str = "one", **options: Any) -> Step:
    fields: dict[str, Any] = {"service": "stock", "action": Take, "compensation": GiveBack, "reply": Taken}
    return Step(name, **{**fields, **options})


def bare(name: str, **options: Any) -> Step:
    """A step whose compensation wants no receipt."""
    return step(name, compensation=PutBack, **options)


def build(*steps: Step, **options: Any) -> Saga:
    return Saga(**{"saga_type": "shop", "version": 1, "request": Wanted, "steps": steps, **options})


WRONG: list[tuple[str, Callable[[], Saga], list[str]]] = [
    # name, how it is built, what its error says: where, what, and the remedy
    ("saga type", lambda: build(step(), saga_type="Shop"), ["saga 'Shop'", "the type must match ^[a-z]"]),
    ("version", lambda: build(step(), version=0), ["saga 'shop'", "version is 0", "counted from 1"]),
    ("no steps", build, ["saga 'shop'", "0 steps", "1 to 64"]),
    ("many steps", lambda: build(*(step(f"s{n}") for n in range(65))), ["saga 'shop'", "65 steps", "1 to 64"]),
    ("id_from", lambda: build(step(), id_from="id"), ["id_from='id'", "not a field of Wanted", "order_id, amount"]),
    ("step name", lambda: build(step("Step One")), ["step 'Step One'", "the name must match ^[a-z]"]),
    ("same name", lambda: build(step("a"), step("a")), ["step 'a'", "two steps have this name", "rename one"]),
    ("service", lambda: build(step(service="My Stock")), ["step 'one'", "service='My Stock' must match"]),
    ("timeout", lambda: build(step(timeout_ms=0)), ["step 'one'", "timeout_ms is 0", "must be 1 to 2592000000"]),
    (
        "compensation timeout",
        lambda: build(step(compensation_timeout_ms=31 * 24 * 3_600_000)),
        ["step 'one'", "compensation_timeout_ms is 2678400000", "must be 1 to"],
    ),
    (
        "retries",
        lambda: build(step(retry=Retry(retries_max=20))),
        ["step 'one': retry", "retries_max is 20", "0 to 19"],
    ),
    ("negative retries", lambda: build(step(retry=Retry(retries_max=-1))), ["retries_max is -1", "0 to 19"]),
    (
        "backoff",
        lambda: build(step(compensation_retry=Retry(backoff_ms=70_000))),
        ["step 'one': compensation_retry", "backoff_ms is 70000", "0 to backoff_ms_max (60000)"],
    ),
    ("factor", lambda: build(step(retry=Retry(factor=0.5))), ["step 'one': retry", "factor is 0.5", "1 to 100"]),
    ("no factor", lambda: build(step(retry=Retry(factor=float("nan")))), ["factor is nan", "1 to 100"]),
    (
        "backoff ceiling",
        lambda: build(step(retry=Retry(backoff_ms_max=60_001))),
        ["step 'one': retry", "backoff_ms_max is 60001", "0 to 60000"],
    ),
    (
        "pivot with a compensation",
        lambda: build(step(pivot=True)),
        ["step 'one'", "a pivot is never undone", "drop its compensation, or pivot=True"],
    ),
    (
        "pivot with nothing to undo",
        lambda: build(step(compensation=None, pivot=True, nothing_to_undo=True)),
        ["step 'one'", "a pivot is never undone"],
    ),
    (
        "nothing to undo with a compensation",
        lambda: build(step(nothing_to_undo=True)),
        ["step 'one'", "has a compensation and says nothing_to_undo", "keep one of the two"],
    ),
    (
        "fields for no compensation",
        lambda: build(step(compensation=None, nothing_to_undo=True, compensation_fields={"order_id": str})),
        ["step 'one'", "compensation_fields without a compensation"],
    ),
    (
        "two pivots",
        lambda: build(step("a", compensation=None, pivot=True), step("b", compensation=None, pivot=True)),
        ["saga 'shop'", "'a' and 'b' are both pivots", "at most one"],
    ),
    (
        "no compensation in the middle",
        lambda: build(step("a", compensation=None), step("b")),
        ["step 'a'", "it has no compensation", "nothing_to_undo=True, or pivot=True"],
    ),
    (
        "compensation after the pivot",
        lambda: build(step("a", compensation=None, pivot=True), step("b")),
        ["step 'b'", "after the pivot 'a'", "would never run: drop it"],
    ),
    (
        "nothing provides a field",
        lambda: build(step(action=NeedsColour)),
        [
            "saga 'shop', step 'one', action NeedsColour",
            "nothing provides the field 'colour'",
            "action_fields={'colour'",
        ],
    ),
    (
        "a later step's reply is no provider",
        lambda: build(step("a", action=NeedsReceipt), step("b")),
        ["step 'a', action NeedsReceipt", "nothing provides the field 'receipt'"],
    ),
    (
        "two things provide a field",
        lambda: build(bare("a"), step("b", action=NeedsReceipt, reply=NoReply), request=WithReceipt),
        [
            "step 'b', action NeedsReceipt",
            "'receipt' is provided by the request (WithReceipt) and by the reply of step 'a'",
            "action_fields={'receipt': from_request('receipt') or from_reply('a', 'receipt')}",
        ],
    ),
    (
        "two replies provide a field",
        lambda: build(bare("a"), bare("b", reply=TakenToo), step("c", action=NeedsReceipt, reply=NoReply)),
        ["step 'c'", "the reply of step 'a' and by the reply of step 'b'", "from_reply('b', 'receipt')"],
    ),
    (
        "a compensation's field is provided twice",
        lambda: build(step("a", reply=TakenToo), step("b")),
        ["step 'b', compensation GiveBack", "compensation_fields={'receipt': from_reply('a', 'receipt') or"],
    ),
    (
        "unknown explicit field",
        lambda: build(step(action_fields={"colour": from_request("order_id")})),
        ["step 'one', action Take", "action_fields names 'colour'", "no such field (order_id)"],
    ),
    (
        "unknown explicit field of a compensation",
        lambda: build(step(compensation_fields={"colour": from_request("order_id")})),
        ["step 'one', compensation GiveBack", "compensation_fields names 'colour'", "(order_id, receipt)"],
    ),
    (
        "unknown field of the request",
        lambda: build(step(action_fields={"order_id": from_request("colour")})),
        ["the field 'order_id' is taken from 'request.colour'", "the request (Wanted) has no such field"],
    ),
    (
        "unknown field of a reply",
        lambda: build(step("a"), step("b", reply=NoReply, action_fields={"order_id": from_reply("a", "colour")})),
        ["step 'b'", "is taken from 'a.colour'", "the reply of step 'a' has no such field"],
    ),
    (
        "a step that does not come before",
        lambda: build(step("a", action_fields={"order_id": from_reply("b", "receipt")}), step("b", reply=NoReply)),
        ["step 'a'", "taken from step 'b', which does not come before it"],
    ),
    (
        "an action from its own reply",
        lambda: build(step(action_fields={"order_id": from_reply("one", "receipt")})),
        ["taken from step 'one', which does not come before it"],
    ),
    (
        "a compensation that needs its own action's reply",
        lambda: build(step(compensation=NeedsReceipt)),
        [
            "step 'one', compensation NeedsReceipt",
            "'receipt'",
            "an in-doubt step does not have",
            "| None = None",
        ],
    ),
    (
        "an explicit need of its own action's reply",
        lambda: build(step(compensation_fields={"order_id": from_reply("one", "receipt")})),
        ["'order_id' comes from the reply of its own action", "find what to undo by the saga id"],
    ),
    (
        "an alias in a command",
        lambda: build(step(action=Aliased)),
        ["saga 'shop', step 'one', action Aliased", "'order_id' has an alias", "name it as it stands on the wire"],
    ),
    (
        "aliases in the request",
        lambda: build(step(), request=AliasedThroughout),
        ["saga 'shop', request AliasedThroughout", "'order_id' has an alias"],
    ),
    ("a list for a reply", lambda: build(step(reply=Listed)), ["step 'one', reply Listed", "one JSON object"]),
    ("no model", lambda: build(step(action=dict)), ["step 'one', action dict", "a pydantic model"]),
    (
        "two commands of one name",
        lambda: build(step("a"), step("b", action=another_take(), reply=NoReply)),
        ["step 'b'", "'take'", "step 'a'", "service 'stock'", "rename one"],
    ),
    (
        "one command for both ways",
        lambda: build(step(compensation=Take)),
        ["step 'one'", "'take'", "both an action and a compensation", "service 'stock'", "write two classes"],
    ),
]


@pytest.mark.parametrize(("make", "says"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_definition_names_the_place_and_the_remedy(make: Callable[[], Saga], says: list[str]) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()

    missing = [part for part in says if part not in str(caught.value)]
    assert missing == [], str(caught.value)
    assert re.match(r"saga '[^']*'", str(caught.value)), "it begins with the saga's name"


def test_the_shipped_saga_is_right_and_has_no_pivot() -> None:
    assert order_saga.key == ("order", 1)
    assert order_saga.pivot_index is None
    assert [order_saga.undoable(index) for index in range(3)] == [True, True, True]


def test_an_uncompensated_last_step_is_the_pivot_R19() -> None:
    saga = build(step("a"), step("b", compensation=None, reply=NoReply))

    assert saga.pivot_index == 1
    assert [saga.forward_only(index) for index in range(2)] == [False, True]


def test_an_uncompensated_last_step_after_a_pivot_is_no_second_one_R19() -> None:
    saga = build(step("a", compensation=None, pivot=True), step("b", compensation=None, reply=NoReply))

    assert saga.pivot_index == 0
    assert [saga.forward_only(index) for index in range(2)] == [True, True]


def test_a_last_step_with_nothing_to_undo_is_no_pivot_R19() -> None:
    saga = build(step("a"), step("b", compensation=None, nothing_to_undo=True, reply=NoReply))

    assert saga.pivot_index is None


def test_the_largest_numbers_are_allowed() -> None:
    patient = Retry(retries_max=19, backoff_ms=60_000, factor=100, backoff_ms_max=60_000)

    saga = build(step(timeout_ms=30 * 24 * 3_600_000, retry=patient, compensation_retry=patient))

    assert saga.steps[0].retry == patient


def test_the_same_command_may_be_sent_to_one_service_in_several_steps() -> None:
    saga = build(step("a"), step("b", reply=NoReply, compensation_fields={"receipt": from_reply("a", "receipt")}))

    assert {saga.command_type(name, phase) for name, phase in saga._types} == {"take", "giveBack"}


def test_a_choice_settles_what_several_things_provide() -> None:
    saga = build(
        step("a"),
        step("b", reply=TakenToo, compensation_fields={"receipt": from_reply("a", "receipt")}),
        step(
            "c",
            action=NeedsReceipt,
            reply=NoReply,
            action_fields={"receipt": from_reply("b", "receipt")},
            compensation_fields={"receipt": lambda data: data.replies["a"]["receipt"]},
        ),
    )

    data = SagaData({"order_id": "7", "amount": 1}, {"a": {"receipt": "r-a"}, "b": {"receipt": "r-b"}})
    assert saga.command_body("c", Phase.FORWARD, data) == b'{"receipt":"r-b"}'
    assert saga.command_body("c", Phase.COMPENSATE, data) == b'{"order_id":"7","receipt":"r-a"}'
