"""What a field's function may be and says that it returns, and which fields may be a saga's id."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import uuid4  # noqa: TID251 -- what a definition must not have

import pytest
from pydantic import UUID4 as UUID
from pydantic import BaseModel, Field, create_model

from kafka_saga import Saga, SagaData, Step
from kafka_saga.errors import DefinitionError
from tests.shown import shown


class Wanted(BaseModel):
    id: str


class Line(BaseModel):
    sku: str = ""


class LineToo(BaseModel):
    sku: str | None = None


class Colour(Enum):
    RED = "red"


async def later(_data: SagaData) -> str:
    return "12"


def one_by_one(_data: SagaData) -> Iterator[str]:
    yield "12"


class Later:
    async def __call__(self, _data: SagaData) -> str:
        return "12"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("id", "is taken from the text 'id': name its source, from_request('id')"),
        (7, "is taken from 7, which is no source: write action_fields={'x': lambda data: …}"),
        (None, "is taken from None, which is no source"),
        (str, "is taken from the class str, which is no source"),
        (Line, "is taken from the class Line, which is no source"),
        (Line(), "is taken from Line(sku=''), which is no source"),
        (later, "is taken from an async function, and is needed at once"),
        (functools.partial(later), "is taken from an async function"),
        (Later(), "is taken from an async function"),
        (one_by_one, "is taken from a generator, and is needed at once"),
        (lambda: "12", "is taken from a function that cannot be called with one argument"),
        (lambda _one, _two: "12", "is taken from a function that cannot be called with one argument"),
        (lambda *, _data: "12", "is taken from a function that cannot be called with one argument"),
    ],
    ids=shown,
)
def test_what_is_no_function_of_one_argument_is_no_source(source: Any, says: str) -> None:
    take = create_model("Take", x=(Any, ...))
    step = Step("one", service="s", action=take, nothing_to_undo=True, action_fields={"x": source})

    with pytest.raises(DefinitionError) as caught:
        Saga("shop", version=1, request=Wanted, steps=[step])

    assert f"saga 'shop', step 'one', action Take: the field 'x' {says}" in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [lambda _data: 1, lambda _data, more=1: more, lambda *all_of_it: all_of_it, functools.partial(max, 1)],
)
def test_whatever_can_be_called_with_one_argument_is_a_source(source: Any) -> None:
    take = create_model("Take", x=(Any, ...))
    step = Step("one", service="s", action=take, nothing_to_undo=True, action_fields={"x": source})

    Saga("shop", version=1, request=Wanted, steps=[step])


def as_text(_data: SagaData) -> str:
    return "12"


def as_line(_data: SagaData) -> Line | None:
    return None


def as_it_likes(_data: SagaData):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return 12


class AsText:
    def __call__(self, _data: SagaData) -> str:
        return "12"


@pytest.mark.parametrize("function", [as_text, AsText(), functools.partial(as_text)], ids=shown)
def test_a_function_that_says_it_returns_another_type_is_refused(function: Any) -> None:
    command = create_model("Take", x=(int, ...))
    step = Step("one", service="s", action=command, nothing_to_undo=True, action_fields={"x": function})

    with pytest.raises(DefinitionError, match="'x' is int, but its function says that it returns str"):
        Saga("shop", version=1, request=Wanted, steps=[step])


@pytest.mark.parametrize(
    ("function", "field"),
    [
        *((as_text, (str, ...)), (as_text, (UUID, ...)), (as_it_likes, (int, ...)), (lambda _data: 1, (int, ...))),
        *((as_line, (Line, Line())), (as_line, (LineToo | None, ...)), (str.maketrans, (Any, ...))),
    ],
    ids=shown,
)
def test_a_function_that_may_return_what_its_field_reads_is_accepted(function: Any, field: Any) -> None:
    step = Step(
        "one",
        service="s",
        action=create_model("Take", x=field),
        nothing_to_undo=True,
        action_fields={"x": function},
    )

    Saga("shop", version=1, request=Wanted, steps=[step])


@pytest.mark.parametrize(
    "wanted", [UUID, Annotated[str, Field(min_length=3)], str | None, Literal["a", "b"], Any, Colour]
)
def test_an_id_may_be_any_text(wanted: Any) -> None:
    request = create_model("Wanted", key=(wanted, ...))
    take = create_model("Take")

    Saga(
        "shop",
        version=1,
        request=request,
        id_from="key",
        steps=[Step("one", service="s", action=take, nothing_to_undo=True)],
    )


@pytest.mark.parametrize("wanted", [int, float, bool, list[str], Line, dict[str, str], int | None], ids=shown)
def test_an_id_that_is_never_text_is_refused(wanted: Any) -> None:
    request = create_model("Wanted", key=(wanted, ...))
    take = create_model("Take")
    build: Callable[[], Saga] = lambda: Saga(  # noqa: E731
        "shop",
        version=1,
        request=request,
        id_from="key",
        steps=[Step("one", service="s", action=take, nothing_to_undo=True)],
    )

    with pytest.raises(DefinitionError, match="a saga's id is text"):
        build()


class Asked(BaseModel):
    order_id: str


class Noted(BaseModel):
    order_id: str
    ref: UUID = Field(default_factory=uuid4)


class Listed(BaseModel):
    order_id: str
    tags: list[str] = Field(default_factory=list)
    more: dict[str, int] = {}


def test_a_default_that_is_another_one_each_time_is_refused_since_a_command_is_sent_again_as_it_was_R2() -> None:
    with pytest.raises(DefinitionError, match="the field 'ref' is filled by a default_factory that gives another"):
        Saga("order", version=1, request=Asked, id_from="order_id", steps=[Step("a", service="s", action=Noted)])


def test_a_default_that_is_made_anew_and_always_alike_is_one() -> None:
    Saga("order", version=1, request=Asked, id_from="order_id", steps=[Step("a", service="s", action=Listed)])
