"""Whether there is a store to open, and whether the file is one. Only its owner makes one, of nothing but nothing."""

from __future__ import annotations

from pathlib import Path

from kafka_saga.orchestrator.store import migrations
from kafka_saga.runtime.errors import StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.identity import Identity, identify
from kafka_saga.runtime.migrations import GUEST_PREFIX, first_migration
from kafka_saga.runtime.replacing import check_finished


def check_store(path: Path) -> None:
    """Refuse a path at which no store is.

    Raises:
        StoreUnavailableError: there is none.
        StoreRefusedError: what is there is no store, or a restore of it was interrupted.
        BrokenStoreError: what is there is no database.

    """
    check_finished(path)
    found = identify(path)
    if found is None:
        raise StoreUnavailableError(
            f"there is no store at {path}: start `saga orchestrator` first, or name another with --store"
        )
    if found.is_empty:
        raise StoreRefusedError(
            f"{path} is an empty file, not a kafka-saga store: `saga orchestrator` would make it one; or name another "
            "with --store"
        )
    _check_ours(found, path)


def check_free(path: Path) -> None:
    """Refuse to make a store of a file that is something else; a new or empty one is as good as a store.

    Raises:
        StoreRefusedError: it is another's.
        BrokenStoreError: it is no database.

    """
    check_finished(path)
    found = identify(path)
    if found is not None and not found.is_empty:
        _check_ours(found, path)


def _check_ours(found: Identity, path: Path) -> None:
    if found.first_migration == first_migration(migrations.__name__):
        return
    whose = "another program's database"
    if found.prefix == GUEST_PREFIX:
        whose = "the database of a service (a participant)"
    raise StoreRefusedError(
        f"{path} is not a kafka-saga store but {whose}: name the orchestrator's with --store or SAGA_STORE"
    )
