"""Which types of a provider and of a command's field go together: kinds are compared, values are not (0015)."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import pytest
from pydantic import (
    UUID4 as UUID,
)
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PositiveInt,
    RootModel,
    create_model,
    model_validator,
)
from typing_extensions import TypedDict

from kafka_saga import Saga, Step, from_request
from kafka_saga.errors import DefinitionError
from tests.shown import shown


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1


class Lenient(Enum):
    X = "x"

    @classmethod
    def _missing_(cls, _value: object) -> Lenient:
        return cls.X


class Line(BaseModel):
    sku: str
    count: int


class LineToo(BaseModel):
    sku: str
    count: int | None = None
    note: str = ""


class LineOfText(BaseModel):
    sku: str
    count: str


class LineWithPrice(Line):
    price: Decimal


class Closed(BaseModel, extra="forbid"):
    sku: str


class Named(BaseModel):
    from_: str = Field(alias="from")


class NamedToo(BaseModel):
    source: str = Field(alias="from")


class NamedOtherwise(BaseModel):
    from_: str


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class TreeOfNumbers(BaseModel):
    name: int
    children: list[TreeOfNumbers] = []


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Ids(RootModel[list[int]]):
    pass


class Options(TypedDict):
    sku: str
    count: NotRequired[int]


@dataclasses.dataclass
class Point:
    x: int
    y: int


class FromText(BaseModel):
    sku: str

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return {"sku": value} if isinstance(value, str) else value


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
Cents = Annotated[int, BeforeValidator(lambda value: round(float(value) * 100) if isinstance(value, str) else value)]
AsNumber = Annotated[Decimal, PlainSerializer(float, return_type=float)]
AsSomething = Annotated[Decimal, PlainSerializer(lambda value: value)]
Trimmed = Annotated[str, AfterValidator(str.strip)]
Coerced = Annotated[str, Field(coerce_numbers_to_str=True)]


class Sparse(TypedDict):
    sku: str
    quantity: NotRequired[int]


class Full(BaseModel):
    sku: str
    quantity: int


class Half(BaseModel):
    sku: str
    quantity: int = 1


FITS: list[tuple[Any, Any]] = [
    (Sparse, Half),
    (dict[int, int], dict[str, int]),
    (dict[str, int], dict[UUID, int]),
    (dict[int, int], dict[Decimal, int]),
    (tuple[int, int], list[int]),
    (list[int], tuple[int, int]),
    (tuple[int, ...], list[float]),
    (str, str),
    (int, int),
    (int, float),
    (int, Decimal),
    (float, Decimal),
    (Decimal, Decimal),
    (Decimal, str),
    (Decimal, float),
    (bool, int),
    (Any, int),
    (int, Any),
    (object, int),
    # what is a matter of values
    (float, int),
    (str, UUID),
    (str, datetime),
    (str, date),
    (str, time),
    (str, timedelta),
    (str, Decimal),
    (str, bytes),
    (str, AnyUrl),
    (str, Path),
    (str, ipaddress.IPv4Address),
    (str, Colour),
    (str, Literal["a", "b"]),
    (str, Annotated[str, Field(pattern=r"^\d+$")]),
    (int, Literal[1, 2]),
    (int, Size),
    (int, PositiveInt),
    (int, datetime),
    (int, timedelta),
    (Literal["a", "b"], Literal["b", "c"]),
    # forms in JSON
    (UUID, str),
    (datetime, str),
    (timedelta, str),
    (bytes, str),
    (AnyUrl, str),
    (Colour, str),
    (Colour, Colour),
    (Colour, Literal["red"]),
    (Size, int),
    (Size, float),
    (Literal["a"], str),
    (Literal["a", 1], str | int),
    (Lenient, str),
    (int, Lenient),
    # unions and None
    (str, str | None),
    (str | None, str | None),
    (str | None, Any),
    (int, str | int),
    (Cat, Cat | Dog),
    (Pet, Cat | Dog),
    (Cat, Pet),
    (Pet, dict[str, str]),
    # collections
    (list[int], list[float]),
    (list[int], set[int]),
    (set[str], list[str]),
    (tuple[int, ...], list[int]),
    (list[int], tuple[int, int]),
    (tuple[int, str], tuple[float, str]),
    (list[int], Sequence[int]),
    (list[Any], list[int]),
    (Ids, list[int]),
    (list[int], Ids),
    (dict[str, int], Mapping[str, float]),
    (dict[int, str], dict[int, str]),
    # models, field by field
    (Line, Line),
    (Line, LineToo),
    (LineWithPrice, Line),
    (list[Line], list[LineToo]),
    (Line, dict[str, Any]),
    (dict[str, Any], Line),
    (dict[str, str], Line),
    (Line, Options),
    (Point, dict[str, int]),
    (Named, NamedToo),
    (Named, dict[str, str]),
    (Tree, Tree),
    # where a function decides, nobody knows
    (str, Cents),
    (list[int], Cents),
    (Trimmed, str),
    (str, Trimmed),
    (AsNumber, float),
    (AsSomething, int),
    (str, FromText),
    (int, Coerced),
]

MISFITS: list[tuple[Any, Any, str]] = [
    (Sparse, Full, "at 'quantity' it is required, and not always written"),
    (dict[str, int], dict[int, int], "at '{}' keys of the one are no keys of the other"),
    (dict[UUID, int], dict[int, int], "at '{}' keys of the one are no keys of the other"),
    (dict[int, int], dict[UUID, int], "at '{}' keys of the one are no keys of the other"),
    (tuple[int, int], tuple[int, int, int], "at '[]' 2 are written where 3 are read"),
    (tuple[int, str], list[int], "at '[]' str is written where int is read"),
    (str, int, "is int, but the request (Wanted) gives str"),
    (str, float, "is float, but the request (Wanted) gives str"),
    (str, bool, "is bool, but the request (Wanted) gives str"),
    (int, str, "is str, but the request (Wanted) gives int"),
    (int, bool, "is bool, but the request (Wanted) gives int"),
    (bool, str, "is str, but the request (Wanted) gives bool"),
    (Decimal, int, "is int, but the request (Wanted) gives Decimal"),
    (UUID, int, "is int, but the request (Wanted) gives UUID"),
    (datetime, int, "is int, but the request (Wanted) gives datetime"),
    (Colour, int, "is int, but the request (Wanted) gives Colour"),
    (Size, str, "is str, but the request (Wanted) gives Size"),
    (int, Colour, "is Colour, but the request (Wanted) gives int"),
    (int, Literal["a"], "is Literal['a'], but the request (Wanted) gives int"),
    (Literal["a"], Literal["b"], "gives Literal['a'], and they have no value in common"),
    (Colour, Literal["green"], "gives Colour, and they have no value in common"),
    (AsNumber, str, "is str, but the request (Wanted) gives Decimal"),
    (Trimmed, int, "is int, but the request (Wanted) gives str"),
    (str | None, str, "is str, but the request (Wanted) gives str | None: accept None (`x: str | None`)"),
    (str | int, str, "is str, but the request (Wanted) gives str | int"),
    (int | None, str | None, "is str | None, but the request (Wanted) gives int | None"),
    (str, list[str], "is list[str], but the request (Wanted) gives str"),
    (list[str], str, "is str, but the request (Wanted) gives list[str]"),
    (list[str], list[int], "gives list[str]: at '[]' str is written where int is read"),
    (list[str | None], list[str], "gives list[str | None]: at '[]' str | None is written where str is read"),
    (set[str], list[int], "at '[]' str is written where int is read"),
    (tuple[str, int], tuple[str, str], "at '[]' int is written where str is read"),
    (
        dict[str, str],
        dict[str, int],
        "is dict[str, int], but the request (Wanted) gives dict[str, str]: at '[]' str is",
    ),
    (dict[str, int], list[int], "is list[int], but the request (Wanted) gives dict[str, int]"),
    (Ids, list[str], "at '[]' int is written where str is read"),
    (Line, str, "is str, but the request (Wanted) gives Line"),
    (Line, LineOfText, "gives Line: at 'count' int is written where str is read"),
    (list[Line], list[LineOfText], "gives list[Line]: at '[].count' int is written where str is read"),
    (Line, LineWithPrice, "at 'price' it is required, and never written"),
    (Line, Closed, "at 'count' the reader forbids it"),
    (Options, Closed, "at 'count' the reader forbids it"),
    (Line, dict[str, str], "at '[]' int is written where str is read"),
    (LineToo, Line, "at 'count' int | None is written where int is read"),
    (Named, NamedOtherwise, "at 'from_' it is required, and never written"),
    (Tree, TreeOfNumbers, "at 'name' str is written where int is read"),
    (Pet, Cat, "at 'kind' "),
    (Point, dict[str, str], "at '[]' int is written where str is read"),
]


def saga(provided: Any, wanted: Any, *, strict: bool = False) -> Saga:
    request = create_model("Wanted", id=(str, ...), x=(provided, ...))
    command = create_model("Take", __config__=ConfigDict(strict=strict), x=(wanted, ...))
    return Saga(
        "shop", version=1, request=request, steps=[Step("one", service="stock", action=command, nothing_to_undo=True)]
    )


@pytest.mark.parametrize(("provided", "wanted"), FITS, ids=shown)
def test_types_that_can_work_are_accepted(provided: Any, wanted: Any) -> None:
    saga(provided, wanted)


@pytest.mark.parametrize(("provided", "wanted", "says"), MISFITS, ids=shown)
def test_types_that_fail_for_what_the_provider_may_give_are_refused_by_both_names(
    provided: Any, wanted: Any, says: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        saga(provided, wanted)

    assert str(caught.value).startswith("saga 'shop', step 'one', action Take: the field 'x' is ")
    assert says in str(caught.value)
    assert "action_fields={'x': lambda data: …data.request['x']…}" in str(caught.value)


@pytest.mark.parametrize(
    ("provided", "wanted"),
    [(int, float), (str, datetime), (str, UUID), (list[int], set[int]), (Colour, Colour), (Decimal, Decimal)],
    ids=shown,
)
def test_a_strict_command_reads_the_forms_that_json_has(provided: Any, wanted: Any) -> None:
    saga(provided, wanted, strict=True)


@pytest.mark.parametrize(
    ("provided", "wanted"), [(float, int), (bool, int), (Decimal, float), (int, datetime), (int, timedelta)], ids=shown
)
def test_a_strict_command_converts_nothing(provided: Any, wanted: Any) -> None:
    with pytest.raises(DefinitionError, match="make them one type"):
        saga(provided, wanted, strict=True)


def test_a_field_with_a_default_keeps_it_where_none_is_given_that_it_does_not_accept() -> None:
    request = create_model("Wanted", id=(str, ...), x=(str | None, None))
    command = create_model("Take", x=(str, "nothing said"))

    Saga("shop", version=1, request=request, steps=[Step("one", service="s", action=command, nothing_to_undo=True)])


def test_a_source_that_is_chosen_is_compared_like_one_by_name() -> None:
    request = create_model("Wanted", id=(str, ...), note=(str, ...))
    command = create_model("Take", x=(int, ...))
    step = Step("one", service="s", action=command, nothing_to_undo=True, action_fields={"x": from_request("note")})

    with pytest.raises(
        DefinitionError, match=r"'x' is int, but the request \(Wanted\) gives str.*data.request\['note'\]"
    ):
        Saga("shop", version=1, request=request, steps=[step])


def test_a_command_that_reads_its_own_way_is_not_judged() -> None:
    class Take(BaseModel):
        total: int

        @model_validator(mode="before")
        @classmethod
        def _sum(cls, value: Any) -> Any:
            return {"total": len(value["total"])} if isinstance(value.get("total"), str) else value

    request = create_model("Wanted", id=(str, ...), total=(str, ...))

    Saga("shop", version=1, request=request, steps=[Step("one", service="s", action=Take, nothing_to_undo=True)])


def test_a_reply_that_does_not_fit_a_later_command_names_the_step() -> None:
    request = create_model("Wanted", id=(str, ...))
    first = Step("a", service="s", action=create_model("A", id=(str, ...)), nothing_to_undo=True, reply=Line)
    second = Step("b", service="s", action=create_model("B", count=(str, ...)), nothing_to_undo=True)

    with pytest.raises(
        DefinitionError, match=r"'count' is str, but the reply of step 'a' gives int.*data.replies\['a'\]"
    ):
        Saga("shop", version=1, request=request, steps=[first, second])
