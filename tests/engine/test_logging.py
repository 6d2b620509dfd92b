"""Users' field functions and validators log about the saga that they are called for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, field_validator

from kafka_saga import Saga, SagaData, Step
from kafka_saga.runtime.telemetry import log_subject
from tests.engine.world import World

_told: list[dict[str, Any]] = []


def note() -> None:
    about = log_subject.get()
    _told.append({} if about is None else dict(about.log_fields()))


class Asked(BaseModel):
    order_id: str


class Do(BaseModel):
    order_id: str
    note: str


class Undo(BaseModel):
    order_id: str


class Done(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def noted(cls, text: str) -> str:
        note()
        return text


def written(_data: SagaData) -> str:
    note()
    return "a word"


SAGA = Saga(
    "order",
    version=1,
    request=Asked,
    id_from="order_id",
    steps=[Step("first", service="shop", action=Do, action_fields={"note": written}, compensation=Undo, reply=Done)],
)


async def test_a_field_function_and_a_replys_validator_are_about_their_saga() -> None:
    world = await World().start(SAGA)
    _told.clear()
    world.put("order.requests", b'{"order_id": "order-1"}')
    world.put("order.requests", b'{"order_id": "order-2"}')
    await world.turn(2)
    for sent in world.sent():
        world.answer(sent, body={"text": "well"})
    await world.turn(2)
    await world.stop()
    named = [(fields["saga_type"], fields["saga_id"]) for fields in _told]
    # A reply with a validator is read back from what was written of it, so that one runs twice.
    assert sorted(named) == [("order", "order-1")] * 3 + [("order", "order-2")] * 3
    assert log_subject.get() is None
