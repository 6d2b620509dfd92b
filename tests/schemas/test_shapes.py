"""Two copies of one message: what fits, what fails, and what is only worth a note."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import UUID4, BaseModel, ConfigDict, Field, computed_field, create_model
from pydantic_core import core_schema

from kafka_saga.schemas.shapes import differences


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    sku: str
    quantity: int


class OtherItem(BaseModel):
    """The same on the wire."""

    sku: str
    quantity: int


class WrongItem(BaseModel):
    sku: str
    quantity: str


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class OtherTree(BaseModel):
    name: str
    children: list[OtherTree] = []


class WrongTree(BaseModel):
    name: int
    children: list[WrongTree] = []


class Odd:
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        raise RuntimeError("no schema of this one")


def of(kind: Any, default: Any = ...) -> type[BaseModel]:
    return create_model("Message", value=(kind, default))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (str, str),
        (int, float),
        (str, str | None),
        (int, int | str),
        (Literal["red"], Colour),
        (Colour, Literal["red", "blue"]),
        (Colour, str),
        (Decimal, Decimal),
        (Decimal, str),
        (datetime, datetime),
        (datetime, str),
        (UUID4, str),
        (set[int], list[int]),
        (list[Item], list[OtherItem]),
        (Item | None, OtherItem | None),
        (dict[str, Item], dict[str, OtherItem]),
        (tuple[int, str], tuple[int, str]),
        (Tree, OtherTree),
        (Any, int),
        (int, Any),
        (Callable[[], int], int),  # cannot be said in a schema: not compared
    ],
)
def test_copies_with_the_same_shape_fit(written: Any, read: Any) -> None:
    assert differences(of(written), of(read)) == []


@pytest.mark.parametrize(
    ("written", "read", "said"),
    [
        (int, str, "written as integer and read as string"),
        (str, int, "written as string and read as integer"),
        (str | None, str, "written as null and read as string"),
        (int | str, int, "written as string and read as integer"),
        (Colour, Literal["red"], "'blue' may be written, but is not read"),
        (UUID4, datetime, "written as string (uuid4) and read as string (date-time)"),
        (Item, str, "written as object and read as string"),
        (int, list[int], "written as integer and read as array"),
    ],
)
def test_types_that_differ_fail_and_both_are_named(written: Any, read: Any, said: str) -> None:
    [found] = differences(of(written), of(read))
    assert (found.field, found.fails) == ("value", True)
    assert said in found.what


@pytest.mark.parametrize(
    ("written", "read", "said"),
    [
        (float, int, "written as number and read as integer"),
        (str, Colour, "written as string and read as one of 'red', 'blue'"),
        (str, UUID4, "read as string (uuid4)"),
        (str, datetime, "read as string (date-time)"),
        (date, datetime, "written as string (date) and read as string (date-time)"),
        (str, Decimal, "read as number or string (decimal)"),
    ],
)
def test_types_that_fit_for_some_values_are_noted(written: Any, read: Any, said: str) -> None:
    [found] = differences(of(written), of(read))
    assert (found.field, found.fails) == ("value", False)
    assert said in found.what


@pytest.mark.parametrize(
    ("written", "read", "place"),
    [
        (Item, WrongItem, "value.quantity"),
        (list[Item], list[WrongItem], "value[].quantity"),
        (Item | None, WrongItem | None, "value.quantity"),
        (dict[str, int], dict[str, str], "value{}"),
        (tuple[int, str], tuple[int, int], "value[1]"),
        (Tree, WrongTree, "value.name"),
    ],
)
def test_a_difference_inside_is_named_by_its_path(written: Any, read: Any, place: str) -> None:
    assert [(found.field, found.fails) for found in differences(of(written), of(read))] == [(place, True)]


class Renamed(BaseModel):
    sku: str = Field(alias="Sku")


class RenamedAlike(BaseModel):
    sku: str = Field(alias="Sku")


class NotRenamed(BaseModel):
    sku: str


def test_names_are_those_on_the_wire() -> None:
    assert differences(of(Renamed), of(RenamedAlike)) == []
    assert {found.field for found in differences(of(Renamed), of(NotRenamed)) if found.fails} == {"value.sku"}


@pytest.mark.parametrize(("written", "read"), [(str, Path), (str, bytes), (Decimal, float), (Path, str)])
def test_what_every_value_of_can_be_read_fits(written: Any, read: Any) -> None:
    assert differences(of(written), of(read)) == []


def test_a_difference_that_one_union_did_not_mind_is_found_where_it_matters() -> None:
    written = create_model("Message", either=(Item, ...), one=(Item, ...))
    read = create_model("Message", either=(WrongItem | OtherItem, ...), one=(WrongItem, ...))
    assert [found.field for found in differences(written, read)] == ["one.quantity"]


def test_a_union_is_read_by_the_nearest_of_its_members() -> None:
    [found] = differences(of(Item), of(WrongItem | list[int] | None))
    assert (found.field, found.what) == ("value.quantity", "it is written as integer and read as string")


def test_a_field_that_is_needed_and_never_written_fails() -> None:
    [found] = differences(of(int), create_model("Message", value=(int, ...), note=(str, ...)))
    assert (found.field, found.what, found.fails) == ("note", "it is needed and never written", True)


def test_a_default_is_written_too_so_the_other_side_may_need_it() -> None:
    assert differences(of(str, "x"), of(str)) == []


def test_what_is_not_read_or_never_written_is_worth_a_note() -> None:
    [unread] = differences(create_model("Message", value=(int, ...), more=(str, ...)), of(int))
    assert (unread.field, unread.fails) == ("more", False)
    [unwritten] = differences(of(int), create_model("Message", value=(int, ...), more=(str, "x")))
    assert (unwritten.field, unwritten.fails) == ("more", False)


def test_what_a_reader_forbids_fails() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")

        value: int

    class Counted(BaseModel):
        value: int

        @computed_field  # type: ignore[prop-decorator]
        @property
        def double(self) -> int:
            return 2 * self.value

    assert [(found.field, found.fails) for found in differences(Counted, Strict)] == [("double", True)]


def test_bounds_that_only_the_reader_has_are_worth_a_note() -> None:
    [found] = differences(of(int), of(int, Field(gt=0)))
    assert (found.what, found.fails) == ("it is read only with exclusiveMinimum 0", False)
    assert differences(of(int, Field(gt=2)), of(int, Field(gt=0))) == []
    assert differences(of(str, Field(max_length=3)), of(str, Field(max_length=4))) == []
    assert differences(of(str, Field(pattern="^a")), of(str, Field(pattern="^b")))[0].fails is False


def test_a_model_whose_schema_function_fails_is_said_and_ends_nothing() -> None:
    [found] = differences(of(Odd), of(int))
    assert (found.what, found.fails) == ("they cannot be compared: RuntimeError: no schema of this one", False)
