"""What a handler is given to write with: the type of its second parameter chooses (R79)."""

from __future__ import annotations

import sys
from enum import Enum
from typing import Any

from kafka_saga.participants.transaction import CommandContext, Transaction


class Kind(Enum):
    """One kind for all handlers of a participant, for they share a transaction. The value is what people write."""

    TRANSACTION = "Transaction"
    CONNECTION = "asyncpg.Connection"
    SESSION = "AsyncSession"

    @property
    def parameter(self) -> str:
        """What such a parameter is called in our examples."""
        return {Kind.TRANSACTION: "tx", Kind.CONNECTION: "connection", Kind.SESSION: "session"}[self]


_PLACES = {Kind.CONNECTION: ("asyncpg", "Connection"), Kind.SESSION: ("sqlalchemy.ext.asyncio", "AsyncSession")}
"""Where the classes are. Who names one in an annotation has imported it, so nothing is imported here."""


def kind_of(hint: Any) -> Kind | None:
    """What a parameter that is annotated with `hint` takes; None where it is none of the three."""
    for wrapped in ("__value__", "__supertype__", "__bound__"):  # `type Db = AsyncSession`, a NewType, a TypeVar
        inner = None if isinstance(hint, type) else getattr(hint, wrapped, None)
        if inner is not None:
            return kind_of(inner)
    if not isinstance(hint, type):
        return None
    if issubclass(hint, CommandContext) and issubclass(Transaction, hint):
        return Kind.TRANSACTION
    for kind, (module, name) in _PLACES.items():
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and issubclass(hint, known):
            return kind
    return None


def likely_kind(hint: Any) -> Kind:
    """What somebody meant who annotated a parameter with another class."""
    module = getattr(hint, "__module__", "")
    if module.startswith(("sqlalchemy", "sqlmodel")):
        return Kind.SESSION
    return Kind.CONNECTION if module.startswith(("asyncpg", "psycopg")) else Kind.TRANSACTION
