"""Why a batch's transaction cannot be kept: it is rolled back, and `portions` does its commands again, otherwise."""

from __future__ import annotations

from kafka_saga.runtime.errors import BrokenStoreError


class UndoneError(Exception):
    """Nothing of the batch was kept."""


class TransactionLostError(UndoneError):
    """The batch's transaction is not the one that was begun, or nobody knows in what state its connection is."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.position = 0
        """Of the one that lost it, in the batch; all before it had kept to their savepoints."""


class FenceTakenError(UndoneError):
    """Another worker wrote a row of the batch's first: a copy of one of its commands was handled there (R77)."""


class ContendedError(UndoneError):
    """Another transaction holds business rows that the handlers need, for too long or crosswise (R78)."""

    def __init__(self, why: str, *, may_pass: bool) -> None:
        super().__init__(why)
        self.may_pass = may_pass
        """Whether the same batch may succeed, since it will be alone in its service."""


class TransactionEscapedError(BrokenStoreError):
    """A handler ended the transaction of its whole batch: what others wrote is kept, and not that they did."""
