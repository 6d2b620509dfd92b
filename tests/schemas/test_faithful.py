"""What a model reads it writes, and reads again alike (R58): by its structure, by samples, and by each value."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    UUID4,
    AfterValidator,
    AnyUrl,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ByteSize,
    Field,
    FiniteFloat,
    Json,
    PlainSerializer,
    Secret,
    SecretStr,
    StringConstraints,
)

from kafka_saga.runtime.errors import ContractError
from kafka_saga.schemas import orders
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.faithful import ChangedError, character_of, complaint, written
from kafka_saga.schemas.reading import read_document, read_written
from tests.schemas.odd_models import (
    Area,
    Cat,
    ClosedArea,
    Colour,
    Completing,
    Dog,
    German,
    Growing,
    GrowingField,
    Hidden,
    Named,
    NamedOneWay,
    NamedTwice,
    OpenArea,
    Options,
    Pair,
    Point,
    PostInit,
    Private,
    Rounding,
    Tree,
    Wrapped,
    WrappedAway,
    model_of,
    once_to_cents,
    to_cents,
)
from tests.shown import shown

FAITHFUL: list[Any] = [
    *(str, int, float, bool, Decimal, bytes, datetime, date, time, timedelta, UUID4, complex, Any, None),
    *(list[int], set[str], frozenset[int], tuple[int, str], tuple[int, ...], dict[str, Decimal], dict[int, str]),
    *(Path, ipaddress.IPv4Address, AnyUrl, Base64Bytes, ByteSize, Sequence[int], Mapping[str, int]),
    *(str | None, int | str, int | float | str, date | datetime, Literal["a", 1], Colour, Point, Options, Pair),
    *(Named, list[Named], NamedTwice, Cat | Dog, Annotated[Cat | Dog, Field(discriminator="kind")], Tree, Area),
    *(Wrapped, Completing, Private, Rounding),
    Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)],
    Annotated[str, AfterValidator(str.strip)],
    Annotated[int, BeforeValidator(once_to_cents)],
    Annotated[Decimal, PlainSerializer(float, return_type=float)],
    Annotated[list[int], Field(min_length=2)],
    Annotated[str, Field(pattern=r"^\d{4}$")],
]

UNFAITHFUL: list[tuple[Any, str]] = [
    (Annotated[int, BeforeValidator(to_cents)], "the field 'x' changes when it is written and read again (tried with"),
    (list[Annotated[int, BeforeValidator(to_cents)]], "the field 'x[0]' changes when it is written and read again"),
    (dict[str, Annotated[float, AfterValidator(lambda value: value / 100)]], "the field 'x.text' changes"),
    (Annotated[list[Annotated[int, AfterValidator(lambda v: -v)]], Field(min_length=2)], "the field 'x[0]' changes"),
    (Annotated[str, AfterValidator(lambda value: f"{value}!")], "the field 'x' changes"),
    (SecretStr, "the field 'x' changes"),
    (Secret[int], "the field 'x' changes"),
    (Json[list[int]], "the field 'x' is read as text and written as a value (Json): make it list[int]"),
    (Json, "the field 'x' is read as text and written as a value (Json): make it Any"),
    (NamedOneWay, "the field 'x.source' is written as 'to' and read as from: give it one alias, or none"),
    (list[NamedOneWay], "the field 'x[].source' is written as 'to' and read as from"),
    (Hidden, "the field 'x.secret' is read and never written (exclude=True): drop the exclude, or the field"),
    (ClosedArea, "the computed field 'area' is written and cannot be read again (extra='forbid')"),
    (OpenArea, "the computed field 'area' is written and cannot be read again (extra='allow')"),
    (WrappedAway, "the field 'x.side' changes"),
    (Growing, "the field 'x.side' changes"),
    (GrowingField, "the field 'x.side' changes"),
    (PostInit, "the field 'x.side' changes"),
    (German, "the field 'x.day' changes"),
    (Callable[[], int], "the field 'x' cannot be read from JSON as a whole (callable): use a type that can, as list"),
    (Iterable[int], "the field 'x' cannot be read from JSON as a whole (generator[int]): use a type that can"),
]


@pytest.mark.parametrize("kind", FAITHFUL, ids=shown)
def test_a_type_that_reads_what_it_writes_is_accepted_R58(kind: Any) -> None:
    assert complaint(model_of(kind)) is None


@pytest.mark.parametrize(("kind", "says"), UNFAITHFUL, ids=shown)
def test_a_type_that_does_not_is_refused_with_the_field_R58(kind: Any, says: str) -> None:
    assert says in str(complaint(model_of(kind)))


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        *((str | None, None), (float, 1), (Decimal, 0), (Decimal, Decimal("1.50")), (list[int], []), (set[int], {1})),
        *((Colour, Colour.RED), (Colour, "red"), (timedelta, timedelta(1)), (Cat, Cat(kind="cat")), (Any, None)),
    ],
    ids=shown,
)
def test_a_default_that_is_read_again_is_accepted_R58(kind: Any, default: Any) -> None:
    assert complaint(model_of(kind, default)) is None


@pytest.mark.parametrize(
    ("kind", "default", "says"),
    [
        (str, None, "the field 'x' is str and cannot read its own default again (None): write `str | None = None`"),
        (float, float("nan"), "the field 'x' is float and cannot read its own default again (nan)"),
        (float, float("inf"), "cannot read its own default again (inf)"),
        (
            int,
            "5",
            "is int and cannot read its own default again ('5'): make the default one of that type",
        ),
        (bytes, b"\xff", "is bytes and cannot read its own default again"),
    ],
    ids=shown,
)
def test_a_default_that_is_not_is_refused_R58(kind: Any, default: Any, says: str) -> None:
    assert says in str(complaint(model_of(kind, default)))


def test_a_model_whose_annotations_name_what_is_not_there_is_refused() -> None:
    class Wanted(BaseModel):
        x: Nowhere  # type: ignore[name-defined]  # noqa: F821

    assert "its annotations cannot be read (name 'Nowhere' is not defined)" in str(complaint(Wanted))


def test_a_computed_field_that_is_ignored_when_it_comes_back_is_fine() -> None:
    assert read_document(Area, b'{"side": 3}') == {"side": 3, "area": 9}
    assert read_document(Area, b'{"side": 3, "area": 9}') == {"side": 3, "area": 9}


def test_a_nested_alias_is_written_as_it_is_read() -> None:
    assert read_written(model_of(Named), b'{"x": {"from": "a"}}') == b'{"x":{"from":"a"}}'


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (float, b'"NaN"', "the field 'x' would change"),
        (float, b'"-inf"', "the field 'x' would change"),
        (float | None, b'"nan"', "the field 'x' would change"),
        (int, b'"123456789012345678901"', "more than 64 bits"),
        (Decimal, b"12345678901234567890.12", "a number has more digits than a JSON number keeps; send it as text"),
        (Decimal, b"1234567890123456.78", "a number has more digits"),
        (list[Decimal], b"[0.1, 12345678901234567890.12]", "a number has more digits"),
        (Rounding, b'{"price": 1.239}', "the field 'x.price' would change"),
        (Annotated[int, AfterValidator(lambda v: v * 10 if v > 1990 else v)], b"2000", "the field 'x' would change"),
    ],
    ids=shown,
)
def test_a_value_that_would_change_is_refused_before_it_is_kept_R58(kind: Any, value: bytes, says: str) -> None:
    with pytest.raises(ContractError) as caught:
        read_document(model_of(kind), b'{"x": %s}' % value)

    assert says in str(caught.value)
    assert caught.value.cause in (Cause.BAD_SCHEMA, Cause.BAD_JSON)
    assert "1234567" not in str(caught.value), "no value stands in an error (I24)"


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        (float, b"-0.0", -0.0),
        (float, b'"1.5"', 1.5),
        (int, b'"12"', 12),
        (Decimal, b"19.9", "19.9"),
        (Decimal, b"0.10000000000000000555", "0.1"),
        (Decimal, b'"12345678901234567890.12"', "12345678901234567890.12"),
        (Decimal, b"18446744073709551615", "18446744073709551615"),
        (datetime, b'"2026-01-31T10:00:00"', "2026-01-31T10:00:00"),
        (datetime, b'"2026-01-31T10:00:00+02:00"', "2026-01-31T10:00:00+02:00"),
        (timedelta, b'"P1DT2H"', "P1DT2H"),
        (Base64Bytes, b'"/w=="', "/w=="),
        (bytes, b'"text"', "text"),
        (int | float | str, b"2.0", 2.0),
        (Rounding, b'{"price": 1.25}', {"price": 1.25}),
        (Annotated[str, AfterValidator(str.strip)], b'" a "', "a"),
        (Annotated[int, BeforeValidator(once_to_cents)], b'"19.90"', 1990),
        (Private, b'{"side": 1}', {"side": 1}),
    ],
    ids=shown,
)
def test_a_value_is_kept_as_its_model_knows_it(kind: Any, value: bytes, kept: Any) -> None:
    assert read_document(model_of(kind), b'{"x": %s}' % value) == {"x": kept}


@pytest.mark.parametrize(
    ("config", "kind", "value", "kept"),
    [
        ({"ser_json_inf_nan": "strings"}, float, b'"NaN"', "NaN"),
        ({"ser_json_timedelta": "float"}, timedelta, b'"PT1.5S"', 1.5),
        ({"ser_json_bytes": "base64", "val_json_bytes": "base64"}, bytes, b'"_w=="', "_w=="),
        ({"use_enum_values": True}, Colour, b'"red"', "red"),
        ({"str_strip_whitespace": True}, str, b'" a "', "a"),
        ({"frozen": True, "strict": True}, int, b"7", 7),
        ({"extra": "allow"}, int, b'7, "more": [1.5]', 7),
    ],
    ids=shown,
)
def test_a_configuration_that_writes_as_it_reads_is_fine(
    config: dict[str, Any], kind: Any, value: bytes, kept: Any
) -> None:
    model = model_of(kind, **config)

    assert complaint(model) is None
    assert read_document(model, b'{"x": %s}' % value)["x"] == kept


@pytest.mark.parametrize(
    ("config", "kind", "value"),
    [
        ({"ser_json_bytes": "base64"}, bytes, b'"text"'),
        ({"ser_json_bytes": "hex", "val_json_bytes": "base64"}, bytes, b'"/w=="'),
        ({"ser_json_inf_nan": "constants"}, float, b'"NaN"'),
        ({"strict": True, "ser_json_timedelta": "float"}, timedelta, b'"PT1.5S"'),
    ],
    ids=shown,
)
def test_a_configuration_that_does_not_is_found_by_the_value_at_the_latest(
    config: dict[str, Any], kind: Any, value: bytes
) -> None:
    model = model_of(kind, **config)

    if complaint(model) is None:
        with pytest.raises(ContractError):
            read_document(model, b'{"x": %s}' % value)


def test_a_validator_that_raises_anything_costs_its_own_message_only_R57() -> None:
    def broken(_value: Any) -> Any:
        raise RuntimeError("the validator broke \ud800")

    with pytest.raises(ContractError, match="RuntimeError: the validator broke"):
        read_document(model_of(Annotated[str, BeforeValidator(broken)]), b'{"x": "a"}')


def test_a_serializer_that_raises_anything_costs_its_own_message_only_R57() -> None:
    def broken(value: str) -> str:
        raise RuntimeError("the serializer broke") if value == "7" else ValueError("no")

    with pytest.raises(ContractError, match="the serializer broke"):
        read_document(model_of(Annotated[str, PlainSerializer(broken)]), b'{"x": "7"}')


def test_what_was_assigned_and_does_not_fit_is_not_written() -> None:
    model = model_of(float)
    made = model.model_validate({"x": 1.0})
    object.__setattr__(made, "x", float("nan"))

    with pytest.raises(ChangedError, match="the field 'x' would change"):
        written(made)


def test_the_shipped_messages_are_plain_so_their_values_are_never_read_back() -> None:
    models = [item for item in vars(orders).values() if isinstance(item, type) and issubclass(item, BaseModel)]
    models.remove(BaseModel)

    assert [model.__name__ for model in models if not character_of(model).plain] == []


@pytest.mark.parametrize(
    "kind", [FiniteFloat, UUID4, Colour, Literal["a"], list[str], dict[str, str], Named], ids=shown
)
def test_plain_types_are_known_as_plain(kind: Any) -> None:
    assert character_of(model_of(kind)).plain
