"""Who asks, and what they may do: settings know it too, and so does every command, which loads no HTTP for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What somebody may do; each may do what those before it may."""

    PUBLIC = 0
    """Anybody: nothing but health and what pages are drawn with."""
    READER = 1
    """May see everything that is not sensitive."""
    OPERATOR = 2
    """May act, and see sensitive fields."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks.

    Attributes:
        name: for the record of an act.
        role: the most that they may do.

    """

    name: str
    role: Role
