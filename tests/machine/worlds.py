"""The sagas that the machine's tests are about: the shipped one, and one for every shape that differs from it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from kafka_saga.orchestrator.definition import NoReply, Retry, Saga, SagaData, Step
from kafka_saga.orchestrator.machine.saga import Saga as SagaInstance
from kafka_saga.orchestrator.machine.saga import accepted
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.testing import Story, given
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.orders import ItemsReserved, OrderCreated, OrderItem, OrderRequested, PaymentCharged

ORDER = OrderRequested(
    order_id="order-123", customer_id="c-1", items=[OrderItem(sku="lamp", quantity=2)], amount=4_990, currency="EUR"
)
RESERVED = ItemsReserved(reservation_id="r-1")
CHARGED = PaymentCharged(charge_id="ch-1")
CREATED = OrderCreated(order_number="A-17")


class Asked(BaseModel):
    """The request of the made-up sagas."""

    id: str
    poison: list[str] = []
    """Names of commands that cannot be built."""


class Do(BaseModel):
    id: str


class Undo(BaseModel):
    id: str


class Done(BaseModel):
    receipt: str | None = None


def _unless_poisoned(command: str) -> Any:
    def field(data: SagaData) -> Any:
        if command in data.request.get("poison", ()):
            raise ValueError(f"{command} is poisoned")
        return data.request["id"]

    return field


def step(name: str, **options: Any) -> Step:
    """A step with a compensation, one retry either way but for pivots, and commands that a request can poison."""
    if not (options.get("pivot") or options.get("nothing_to_undo") or "compensation" in options):
        options["compensation"] = Undo
    if options.get("compensation") is not None:
        options["compensation_fields"] = {"id": _unless_poisoned(f"undo {name}")}
        options.setdefault("compensation_retry", Retry(retries_max=1))
    if options.get("compensation") is not None or options.get("nothing_to_undo"):
        options.setdefault("retry", Retry(retries_max=1))
    return Step(
        name, f"service-{name}", Do, reply=Done, action_fields={"id": _unless_poisoned(f"do {name}")}, **options
    )


def saga(saga_type: str, *steps: Step) -> Saga:
    return Saga(saga_type, version=1, request=Asked, id_from="id", steps=steps)


plain_saga = saga("plain", step("one"), step("two"), step("three"))
pivot_saga = saga("pivot", step("hold"), step("capture", pivot=True), step("tell", compensation=None))
reading_saga = saga("reading", step("look", nothing_to_undo=True), step("book"), step("check", nothing_to_undo=True))
single_saga = saga("single", step("only"))
irreversible_saga = saga("irreversible", step("only", compensation=None))

MADE_UP = (plain_saga, pivot_saga, reading_saga, single_saga, irreversible_saga)
ALL = (order_saga, *MADE_UP)


def request_of(definition: Saga, **fields: Any) -> BaseModel:
    return ORDER if definition is order_saga else Asked(id=f"{definition.saga_type}-1", **fields)


def story_of(definition: Saga, *, admitted: bool = True, **fields: Any) -> Story:
    return given(definition, request_of(definition, **fields), admitted=admitted)


def order_story() -> Story:
    return given(order_saga, ORDER)


def accepted_saga(definition: Saga, **fields: Any) -> SagaInstance:
    document = request_of(definition, **fields).model_dump(mode="json")
    identity = document[definition.id_from or "id"]
    return accepted(definition, SagaRef(definition.saga_type, identity), document, len(encode(document)), 1_000_000)


def reply_of(definition: Saga, name: str) -> dict[str, Any]:
    """A reply that the step `name` succeeds with."""
    index = definition.index(name)
    assert index is not None
    samples: dict[type[BaseModel], BaseModel] = {
        ItemsReserved: RESERVED,
        PaymentCharged: CHARGED,
        OrderCreated: CREATED,
        Done: Done(receipt=f"receipt of {name}"),
        NoReply: NoReply(),
    }
    return samples[definition.steps[index].reply_model].model_dump(mode="json")
