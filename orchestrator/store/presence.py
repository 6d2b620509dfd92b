"""Whether there is a store to open. Only its owner makes one; who comes beside it must find it there."""

from __future__ import annotations

from pathlib import Path

from kafka_saga.runtime.errors import StoreUnavailableError


def check_exists(path: Path) -> None:
    """Refuse a path at which no store is.

    Raises:
        StoreUnavailableError: there is none.

    """
    if not path.exists():
        raise StoreUnavailableError(
            f"there is no store at {path}: start `saga orchestrator` first, or name another with --store"
        )
