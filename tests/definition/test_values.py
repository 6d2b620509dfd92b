"""A value on its whole way: request, command, handler, reply, later command. It changes at most once, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import UUID4, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, computed_field

from kafka_saga import Participant, Saga, SagaData, Step, Transaction
from kafka_saga.errors import ContractError, DefinitionError
from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.reading import read_document
from kafka_saga.testing import Harness, given

ID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"


class Colour(Enum):
    RED = "red"


class Item(BaseModel):
    sku: str
    price: Decimal


class Everything(BaseModel):
    decimal: Decimal
    item: Item
    items: list[Item]
    tags: set[str]
    span: timedelta
    at: datetime
    day: date
    key: UUID4
    colour: Colour
    raw: bytes
    pair: tuple[int, str]
    scores: dict[str, float]


VALUES: dict[str, Any] = {
    "decimal": Decimal("19.90"),
    "item": Item(sku="lamp", price=Decimal("12345678901234567890.12")),
    "items": [Item(sku="lamp", price=Decimal(1)), Item(sku="book", price=Decimal("0.10"))],
    "tags": {"a"},
    "span": timedelta(days=1, hours=2),
    "at": datetime(2026, 1, 31, 10, tzinfo=UTC),
    "day": date(2026, 1, 31),
    "key": TypeAdapter(UUID4).validate_python(ID),
    "colour": Colour.RED,
    "raw": b"bytes",
    "pair": (1, "a"),
    "scores": {"a": 0.5},
}


class Wanted(BaseModel):
    id: str
    price: str = "1"


def saga(action: type[BaseModel], **options: Any) -> Saga:
    step = Step("one", service="stock", action=action, nothing_to_undo=True, **options)
    return Saga("shop", version=1, request=Wanted, id_from="id", steps=[step])


def filled(definition: Saga, **request: Any) -> dict[str, Any]:
    body: dict[str, Any] = decode_trusted(
        definition.command_body("one", Phase.FORWARD, SagaData({"id": "7", "price": "1", **request}, {}))
    )
    return body


def constant(value: Any) -> Callable[[SagaData], Any]:
    return lambda _data: value


def test_a_function_may_return_whatever_its_field_accepts() -> None:
    definition = saga(Everything, action_fields={name: constant(value) for name, value in VALUES.items()})

    read = Everything.model_validate(filled(definition))

    assert read == Everything(**VALUES)


def test_a_function_may_return_the_same_in_the_forms_of_json() -> None:
    forms = Everything(**VALUES).model_dump(mode="json")
    definition = saga(Everything, action_fields={name: constant(value) for name, value in forms.items()})

    assert Everything.model_validate(filled(definition)) == Everything(**VALUES)


def test_bytes_come_from_a_function_in_the_form_that_the_command_reads() -> None:
    class Take(BaseModel):
        model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

        raw: bytes

    assert filled(saga(Take, action_fields={"raw": constant(b"\xff\x00")})) == {"raw": "_wA="}


def test_a_function_may_return_a_model_of_aliases() -> None:
    class Route(BaseModel):
        start: str = Field(alias="from")

    class Take(BaseModel):
        route: Route

    definition = saga(Take, action_fields={"route": constant(Route(**{"from": "a"}))})

    assert filled(definition) == {"route": {"from": "a"}}


def test_none_is_told_to_a_field_that_accepts_it_and_leaves_others_at_their_default() -> None:
    class Take(BaseModel):
        one: str | None = "said"
        two: str = "said"

    fields = {"one": constant(None), "two": constant(None)}

    assert filled(saga(Take, action_fields=fields)) == {"one": None, "two": "said"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("nan")], {"a": float("-inf")}], ids=str)
def test_a_function_that_returns_no_number_parks_the_saga_and_takes_no_default_R58(value: Any) -> None:
    class Take(BaseModel):
        scores: Any = None

    with pytest.raises(DefinitionError, match="a number in the value is infinite or none at all"):
        filled(saga(Take, action_fields={"scores": constant(value)}))


def test_a_price_that_every_reading_would_multiply_is_refused_with_its_definition_R58() -> None:
    cents = Annotated[int, BeforeValidator(lambda value: round(float(value) * 100))]

    class Charge(BaseModel):
        price: cents  # type: ignore[valid-type]

    with pytest.raises(DefinitionError, match=r"step 'one', action Charge: the field 'price' changes when "):
        saga(Charge)


def test_a_command_that_would_be_read_otherwise_than_it_was_made_is_not_sent_R58() -> None:
    class Charge(BaseModel):
        price: Annotated[str, BeforeValidator(lambda value: value.removeprefix("#"))]

    definition = saga(Charge)

    assert filled(definition, price="#1") == {"price": "1"}
    with pytest.raises(DefinitionError, match="Charge cannot be filled: the field 'price' would change"):
        filled(definition, price="##1")


def test_a_request_that_would_change_on_its_way_is_refused_before_it_is_stored_R58() -> None:
    class Asked(BaseModel):
        id: str
        weight: float = 1.0

    take = Step("one", service="stock", action=Asked, nothing_to_undo=True)
    definition = Saga("shop", version=1, request=Asked, id_from="id", steps=[take])

    with pytest.raises(ContractError, match=r"the value does not fit Asked: the field 'weight' would change"):
        given(definition, {"id": "1", "weight": "NaN"})


def test_a_value_reaches_handler_and_later_command_as_it_was_asked_for() -> None:
    class Asked(BaseModel):
        id: str
        price: Decimal
        route: Route

    class Route(BaseModel):
        start: str = Field(alias="from")

    class Charge(BaseModel):
        id: str
        price: Decimal
        route: Route

    class Charged(BaseModel):
        paid: Decimal

        @computed_field  # type: ignore[prop-decorator]
        @property
        def shown(self) -> str:
            return f"{self.paid} EUR"

    class Tell(BaseModel):
        price: Decimal
        paid: str

    Asked.model_rebuild(_types_namespace={"Route": Route})
    definition = Saga(
        "shop",
        version=1,
        request=Asked,
        id_from="id",
        steps=[
            Step("charge", service="pay", action=Charge, reply=Charged, nothing_to_undo=True),
            Step("tell", service="mail", action=Tell),
        ],
    )
    price = Decimal("12345678901234567890.12")

    story = given(definition, {"id": "1", "price": str(price), "route": {"from": "here"}})
    command = story.expect_command("pay", Charge)
    assert command.body == {"id": "1", "price": str(price), "route": {"from": "here"}}
    command.succeed(Charged(paid=price))
    story.expect_command("mail", Tell(price=price, paid=str(price))).succeed()

    story.expect_completed()


class Weigh(BaseModel):
    id: str


class Weighed(BaseModel):
    weight: float | None


async def test_a_reply_that_would_change_on_its_way_undoes_what_its_handler_did_R58() -> None:
    scales = Participant("scales")

    @scales.action(Weigh)
    async def weigh(command: Weigh, tx: Transaction) -> Weighed:
        await tx.execute("INSERT INTO weighed VALUES (?)", command.id)
        return Weighed(weight=float("nan") if command.id == "1" else 2.5)

    async with await Harness.open(scales, schema="CREATE TABLE weighed (id)") as harness:
        refused = await harness.send(Weigh(id="1"), saga_id="1", step="weigh")
        fine = await harness.send(Weigh(id="2"), saga_id="2", step="weigh")
        rows = await harness.fetch_all("SELECT id FROM weighed")

    assert refused.outcome == "retry"
    assert "weigh: the field 'weight' would change when it is written and read again" in str(refused.error)
    assert (fine.outcome, fine.body) == ("success", b'{"weight":2.5}')
    assert rows == [("2",)]


def test_a_handler_whose_reply_could_not_be_read_again_is_refused_when_it_is_registered_R58() -> None:
    class Told(BaseModel):
        hidden: str = Field("", exclude=True)

    scales = Participant("scales")

    async def weigh(command: Weigh, tx: Transaction) -> Told: ...

    weigh.__annotations__ = {"command": Weigh, "tx": Transaction, "return": Told}
    with pytest.raises(DefinitionError, match=r"weigh returns Told: the field 'hidden' is read and never written"):
        scales.action(Weigh)(weigh)


async def test_a_call_that_is_made_again_is_made_with_the_command_as_it_came_R58() -> None:
    """Reading is not repeatable for every model; so what is kept is what came, not what was read from it."""

    class Call(BaseModel):
        price: Annotated[int, BeforeValidator(lambda value: round(float(value) * 100))]

    outside = Participant("outside")
    seen: list[int] = []

    async def call(command: Call, idempotency_key: str) -> None:  # noqa: ARG001
        seen.append(command.price)
        if len(seen) == 1:
            raise ConnectionError("no answer")

    call.__annotations__ = {"command": Call, "idempotency_key": str, "return": None}
    outside.external_action(Call)(call)

    async with await Harness.open(outside) as harness:
        for attempt in (1, 2):
            await harness.send(Call(price=1), saga_id="1", step="call", attempt=attempt)

    assert seen == [10_000, 10_000]


def test_a_reply_typed_in_by_a_person_is_kept_as_a_participants_would_be() -> None:
    assert read_document(Item, b'{"sku": "lamp", "price": 19.9, "more": 1}') == {"sku": "lamp", "price": "19.9"}
