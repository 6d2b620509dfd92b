"""Models that write otherwise than they read, and some that look like it and do not."""

from __future__ import annotations

import dataclasses
from datetime import date
from enum import Enum
from typing import Any, Literal, NamedTuple

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict


def to_cents(value: Any) -> int:
    return round(float(value) * 100)


def once_to_cents(value: Any) -> Any:
    return round(float(value) * 100) if isinstance(value, str) else value


class Colour(Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    sku: str


class Pair(NamedTuple):
    a: int


class Named(BaseModel):
    from_: str = Field(alias="from")


class NamedOneWay(BaseModel):
    source: str = Field(validation_alias="from", serialization_alias="to")


class NamedTwice(BaseModel):
    source: str = Field(validation_alias=AliasChoices("src", "source"))


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Tree(BaseModel):
    children: list[Tree] = []


class Area(BaseModel):
    side: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.side**2


class ClosedArea(Area, extra="forbid"):
    pass


class OpenArea(Area, extra="allow"):
    pass


class Wrapped(BaseModel):
    side: int

    @model_serializer
    def _write(self) -> dict[str, int]:
        return {"side": self.side}


class WrappedAway(BaseModel):
    side: int

    @model_serializer
    def _write(self) -> dict[str, int]:
        return {"size": self.side}


class Growing(BaseModel):
    side: int

    @model_validator(mode="after")
    def _grow(self) -> Growing:
        self.side += 1
        return self


class Completing(BaseModel):
    side: int
    other: int | None = None

    @model_validator(mode="after")
    def _complete(self) -> Completing:
        self.other = self.side if self.other is None else self.other
        return self


class GrowingField(BaseModel):
    side: int

    @field_validator("side")
    @classmethod
    def _grow(cls, value: int) -> int:
        return value + 1


class German(BaseModel):
    day: date

    @field_serializer("day")
    def _write(self, value: date) -> str:
        return value.strftime("%d.%m.%Y")


class Rounding(BaseModel):
    price: float

    @field_serializer("price")
    def _write(self, value: float) -> float:
        return round(value, 2)


class Private(BaseModel):
    side: int
    _made: object = PrivateAttr(default_factory=object)


class Hidden(BaseModel):
    secret: str = Field("none", exclude=True)


class PostInit(BaseModel):
    side: int

    def model_post_init(self, _context: Any, /) -> None:
        self.side *= 2


def model_of(kind: Any, default: Any = ..., **config: Any) -> type[BaseModel]:
    """A model with a field `x` of that type."""
    return create_model("Wanted", __config__=ConfigDict(**config), x=(kind, default))  # type: ignore[typeddict-item]
