"""What the server's error codes say of a batch (R65): what conflicted, and whether the server can be trusted."""

from __future__ import annotations

import asyncpg

from kafka_saga.runtime.errors import BrokenStoreError, ConflictError, SagaError
from kafka_saga.schemas.codec import decode_trusted

_WHAT = {"SG001": "life", "SG002": "offsets", "SG003": "sagas", "SG004": "ids", "SG005": "settings", "SG006": "acts"}
_ROWS_HELD = {"40001", "40P01", "55P03"}
"""Serialization failure, deadlock, lock not available: databases say so of what `SG003` says."""

LOST_COMMITS = (
    "the database has lost commits that it had acknowledged (an asynchronous standby took over, or an old backup was "
    "restored): stop every orchestrator, and begin a new life of the store as after a restore (docs/operating.md)"
)


def conflict_of(error: Exception) -> SagaError | None:
    """The conflict that an error is; None where it is something else."""
    if not isinstance(error, asyncpg.PostgresError):
        return None
    state = error.sqlstate or ""
    if state == "SG007":
        return BrokenStoreError(LOST_COMMITS)
    if state in _ROWS_HELD:
        return ConflictError(f"somebody else holds what this batch writes ({state})", what="sagas")
    if state in _WHAT:
        return ConflictError(str(error), what=_WHAT[state])
    return None


def keys_of(error: ConflictError) -> set[int] | None:
    """The sagas that were changed meanwhile, by key; None where that is not known."""
    server = error.__cause__
    if error.what != "sagas":
        return set()
    if not isinstance(server, asyncpg.PostgresError) or not server.detail or server.sqlstate in _ROWS_HELD:
        return None
    return set(decode_trusted(server.detail))
