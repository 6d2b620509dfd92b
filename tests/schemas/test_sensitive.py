"""Sensitive parts of messages are masked wherever they stand; the published schema says which they are."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, field_validator
from pydantic_core import CoreSchema, core_schema

from kafka_saga.runtime.errors import ContractError
from kafka_saga.schemas.codec import decode_model, encode, to_document
from kafka_saga.schemas.sensitive import EVERYTHING, MASK, Sensitive, member, redact, redacted, sensitivity_of

CARD = "4111111111111111"


class Card(BaseModel):
    number: Sensitive[str]
    month: int


class Iban(BaseModel):
    kind: Literal["iban"] = "iban"
    iban: str = Field(json_schema_extra={"saga": "sensitive"})


class Invoice(BaseModel):
    kind: Literal["invoice"] = "invoice"
    days: int


class Hidden(BaseModel):
    model_config = ConfigDict(json_schema_extra={"saga": "sensitive"})
    anything: int


class Tree(BaseModel):
    secret: Sensitive[str] = "s3cret"
    children: list[Tree] = []


class Request(BaseModel):
    order_id: str
    card: Card
    spare: Card | None = None
    cards: list[Card] = []
    by_name: dict[str, Card] = {}
    pair: tuple[str, Sensitive[str]] = ("open", "closed")
    pay: Annotated[Iban | Invoice, Field(discriminator="kind")] = Invoice(days=3)
    pins: dict[str, Sensitive[int]] = {}
    words: list[Sensitive[str]] = []
    hidden: Hidden | None = None
    tree: Tree | None = None
    renamed: Sensitive[str] = Field(default="none", alias="cvc", description="kept beside the mark")
    extra: Sensitive[str] = Field(default="x", json_schema_extra={"examples": ["123"]})
    amount: Decimal = Decimal("1.50")
    free: dict[str, Any] = {}


def test_what_is_marked_is_masked_wherever_it_stands_and_nothing_else_is() -> None:
    card = {"number": CARD, "month": 7}
    document = {
        "order_id": "order-1",
        "card": card,
        "spare": None,
        "cards": [card, card],
        "by_name": {"mine": card},
        "pair": ["open", "closed"],
        "pay": {"kind": "iban", "iban": "DE02120300000000202051"},
        "pins": {"a": 4711},
        "words": ["hush"],
        "hidden": {"anything": 1},
        "tree": {"secret": "a", "children": [{"secret": "b", "children": []}]},
        "cvc": "123",
        "extra": "y",
        "amount": "12.30",
        "free": {"any": ["thing", {"else": 1}]},
    }
    hidden = {"number": MASK, "month": 7}

    assert sensitivity_of(Request).mask(document) == {
        **document,
        "card": hidden,
        "cards": [hidden, hidden],
        "by_name": {"mine": hidden},
        "pair": ["open", MASK],
        "pay": {"kind": "iban", "iban": MASK},
        "pins": {"a": MASK},
        "words": [MASK],
        "hidden": MASK,
        "tree": {"secret": MASK, "children": [{"secret": MASK, "children": []}]},
        "cvc": MASK,
        "extra": MASK,
    }


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ({"number": CARD, "cardnumber": CARD}, {"number": MASK, "cardnumber": MASK}),
        ({"Number": CARD, "month": 7}, {"Number": MASK, "month": 7}),
        ({"month": {"number": CARD}}, {"month": MASK}),
        ({"month": [CARD]}, {"month": MASK}),
        ([CARD], MASK),
        (CARD, MASK),
    ],
)
def test_what_a_model_with_sensitive_parts_does_not_explain_is_masked(document: Any, shown: Any) -> None:
    assert sensitivity_of(Card).mask(document) == shown


def test_a_model_without_sensitive_parts_shows_everything_as_it_is() -> None:
    document = {"kind": "invoice", "days": 3, "unknown": CARD}

    assert sensitivity_of(Invoice).mask(document) is document
    assert not sensitivity_of(Invoice).any


def test_where_nobody_knows_everything_but_the_names_is_masked() -> None:
    assert EVERYTHING.mask({"a": 1}) == MASK


def test_the_published_schema_keeps_the_marks() -> None:
    schema = Request.model_json_schema(mode="serialization")

    assert schema["$defs"]["Card"]["properties"]["number"]["saga"] == "sensitive"
    assert schema["$defs"]["Iban"]["properties"]["iban"]["saga"] == "sensitive"
    assert schema["properties"]["extra"] == {
        "default": "x", "examples": ["123"], "saga": "sensitive", "title": "Extra", "type": "string",
    }  # fmt: skip


def test_a_mark_changes_nothing_of_what_is_read_or_written() -> None:
    card = Card.model_validate({"number": CARD, "month": 7})

    assert to_document(card) == {"number": CARD, "month": 7}


def test_secrets_are_found_again_in_sentences_and_documents() -> None:
    sensitivity = sensitivity_of(Request)
    secrets = sensitivity.secrets({"card": {"number": CARD, "month": 7}, "pins": {"a": 4711, "b": 12}})

    assert secrets == {CARD, "4711"}
    assert redacted(f"card {CARD} with 4711 was declined", secrets) == f"card {MASK} with {MASK} was declined"
    assert redact({"why": [f"no {CARD}"], "pin": 4711, "n": 12, "ok": True}, secrets) == {
        "why": [f"no {MASK}"], "pin": MASK, "n": 12, "ok": True,
    }  # fmt: skip


class Checked(BaseModel):
    card: Sensitive[str]
    amount: int

    @field_validator("card")
    @classmethod
    def known(cls, card: str) -> str:
        if card.startswith("5"):
            raise ValueError(f"card {card} is not known")
        if card.startswith("6"):
            raise KeyError(card)
        return card


@pytest.mark.parametrize("card", ["5999888877776666", "6000111122223333"])
def test_what_does_not_fit_is_told_without_what_is_sensitive_of_it(card: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode_model(Checked, encode({"card": card, "amount": 4711}))
    assert card not in str(caught.value)
    assert MASK in str(caught.value)
    assert "does not fit Checked" in str(caught.value)


def test_a_field_taken_from_a_sensitive_one_is_sensitive_under_its_new_name() -> None:
    taken = member("pan", sensitivity_of(Card).field("number")).joined(sensitivity_of(Invoice))

    assert taken.mask({"pan": CARD, "kind": "invoice", "days": 3}) == {"pan": MASK, "kind": "invoice", "days": 3}
    assert not member("when", sensitivity_of(Card).field("month")).any


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("order_id", False), ("card.number", True), ("card.month", False), ("card", True), ("spare.number", True),
        ("unknown", True), ("card.number.more", True), ("pay.iban", True), ("pay.days", False), ("free.any", False),
        ("amount", False), ("hidden.anything", True), ("by_name.mine.number", True),
    ],
)  # fmt: skip
def test_a_field_is_hidden_that_is_sensitive_has_such_a_part_or_is_not_declared(path: str, hidden: bool) -> None:
    assert sensitivity_of(Request).hides(path.split(".")) is hidden


class Odd:
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        raise RuntimeError("no schema of mine")


def test_a_model_whose_schema_cannot_be_made_is_masked_whole_if_a_field_of_it_is_marked() -> None:
    class Marked(BaseModel):
        odd: Odd
        number: Sensitive[str]

    class Unmarked(BaseModel):
        odd: Odd
        number: str

    assert sensitivity_of(Marked).mask({"odd": 1, "number": CARD}) == MASK
    assert not sensitivity_of(Unmarked).any
