"""Handlers on SQLite: their savepoints, and their SQL kept inside them.

The savepoint's name is drawn at the start and told to nobody. Only the transaction in which it was made can release
it: so that it can still be released proves, after a handler, that the transaction is the one that was begun.
"""

from __future__ import annotations

from sqlite3 import OperationalError

from kafka_saga.participants.transaction import Transaction
from kafka_saga.participants.undone import TransactionLostError, UndoneError
from kafka_saga.runtime.clock import new_id
from kafka_saga.runtime.confinement import Confinement
from kafka_saga.runtime.sqlite import InlineConnection
from kafka_saga.schemas.envelope import CommandHead


class SqliteSavepoints:
    """What all workplaces on SQLite have in common."""

    grace_ms = 0

    def __init__(self) -> None:
        name = f"command_{new_id()}"
        self._savepoint, self._keep, self._undo = f"SAVEPOINT {name}", f"RELEASE {name}", f"ROLLBACK TO {name}"

    def undone_by(self, error: BaseException) -> UndoneError | None:  # noqa: ARG002 -- as a workplace has it
        return None

    def is_too_slow(self, error: BaseException) -> bool:  # noqa: ARG002 -- as a workplace has it
        return False

    def interrupted(self, why: str) -> UndoneError | None:  # noqa: ARG002 -- as a workplace has it
        return None


class SqliteWorkplace(SqliteSavepoints):
    """`Workplace` on SQLite; handlers are given a `Transaction`. Nothing here waits, for each command passes by."""

    def __init__(self, connection: InlineConnection, confinement: Confinement) -> None:
        """`confinement` watches `connection`, which guard and handlers share."""
        super().__init__()
        self._inline = connection
        self._run = connection.run
        self._confinement = confinement

    async def enter(self, head: CommandHead, now_ms: int, limit_ms: int) -> Transaction:  # noqa: ARG002 -- nobody enforces it here
        self._run(self._savepoint)
        self._confinement.is_on = True
        return Transaction(self._inline, head, now_ms)

    def finish(self, given: Transaction) -> int:
        return given.close()

    def shut(self) -> None:
        self._confinement.is_on = False

    async def leave(self, given: Transaction, *, keep: bool) -> str | None:
        self._confinement.is_on = False
        try:
            if not keep:
                given.close()
                self._run(self._undo)
            self._run(self._keep)
        except OperationalError:
            raise TransactionLostError(ROLLED_BACK) from None
        return None


ROLLED_BACK = (
    "a statement of {handler} rolled back the whole transaction{said}: ROLLBACK in its tables' conflict clauses or "
    "triggers must be ABORT"
)
