"""Forms made of JSON Schemas: what is filled in becomes the document, and complaints stand at their fields."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import BaseModel, Field

from kafka_saga.orchestrator.dashboard.schema_form import Form, Mistakes, names, place, with_item, without_item


class Speed(Enum):
    SLOW = "slow"
    FAST = "fast"


class Address(BaseModel):
    street: str
    floor: int | None = None


class Line(BaseModel):
    sku: str = Field(min_length=1)
    quantity: int = 1


class Trip(BaseModel):
    trip_id: str
    speed: Speed = Speed.SLOW
    stars: Literal[3, 4, 5]
    to: Address
    back: Address | None = None
    lines: list[Line] = Field(min_length=1)
    tags: dict[str, str] = {}
    price: float
    insured: bool


FORM = Form(Trip.model_json_schema(mode="validation"))
FILLED = {
    "trip_id": "t-1",
    "speed": "fast",
    "stars": "4",
    "to.street": "Main St",
    "to.floor": "",
    "back.street": "",
    "lines.#": "2",
    "lines.0.sku": "lamp",
    "lines.0.quantity": "2",
    "lines.1.sku": "book",
    "tags": '{"a": "b"}',
    "price": "9.5",
    "insured": "true",
}


def test_what_is_filled_in_is_a_document_that_the_model_takes() -> None:
    trip = Trip.model_validate(FORM.document(FILLED, Mistakes()))
    assert trip == Trip(
        trip_id="t-1",
        speed=Speed.FAST,
        stars=4,
        to=Address(street="Main St"),
        lines=[Line(sku="lamp", quantity=2), Line(sku="book")],
        tags={"a": "b"},
        price=9.5,
        insured=True,
    )


def test_defaults_and_the_first_item_of_a_list_are_there_from_the_start() -> None:
    fields = {one.name: one for one in FORM.fields()}
    assert fields["speed"].text == "slow"
    assert fields["speed"].options == ("slow", "fast")
    assert names(fields["lines"].inner) == {"lines.0", "lines.0.sku", "lines.0.quantity"}
    assert fields["lines"].inner[0].inner[1].text == "1"
    assert not fields["back"].required


def test_a_limit_is_said_in_words() -> None:
    name = {"type": "string", "description": "what it is called", "minLength": 1, "maxLength": 10_000}
    [field] = Form({"type": "object", "properties": {"name": name}}).fields()
    assert field.hint == "what it is called; at least 1 character; at most 10\u202f000 characters"


def test_items_come_and_go_at_the_end() -> None:
    more = with_item(FILLED, "lines")
    assert "lines.2.sku" in names(FORM.fields(more))
    less = without_item(FILLED, "lines")
    assert FORM.document(less, Mistakes())["lines"] == [{"sku": "lamp", "quantity": 2}]


def test_a_complaint_stands_at_the_nearest_field_that_is_asked_for() -> None:
    mistakes = Mistakes()
    known = names(FORM.fields(FILLED))
    place(mistakes, known, ("lines", 1, "sku"), "too short")
    place(mistakes, known, ("to", "floor", "int"), "not a number")
    place(mistakes, known, (), "all of it")
    assert mistakes.at == {"lines.1.sku": "too short", "to.floor": "not a number"}
    assert mistakes.whole == ["all of it"]


def test_a_number_that_is_none_is_left_to_the_model() -> None:
    assert FORM.document({**FILLED, "price": "much"}, Mistakes())["price"] == "much"


def test_what_must_be_json_and_is_not_is_said_at_its_field() -> None:
    mistakes = Mistakes()
    assert "tags" not in FORM.document({**FILLED, "tags": "{"}, mistakes)
    assert mistakes.at["tags"].startswith("it is not JSON")


class Tree(BaseModel):
    name: str
    inner: list[Tree] = []


def test_a_schema_that_holds_itself_ends_in_json() -> None:
    form = Form(Tree.model_json_schema(mode="validation"))
    root = form.schema
    filled: dict[str, str] = {"name": "a", "inner.#": "1", "inner.0.name": "b"}
    assert form.document(filled, Mistakes())["inner"][0]["name"] == "b", root


def test_a_list_is_never_longer_than_a_form_can_be() -> None:
    assert len(FORM.fields({"lines.#": "999"})) == len(FORM.fields())
    assert len(names(FORM.fields({"lines.#": "999"}))) < 500
