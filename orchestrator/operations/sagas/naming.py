"""Which saga an operator means: its id, or the beginning of it where only one saga's id begins so."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.schemas.ids import SagaRef

CANDIDATES_SHOWN = 5
"""Enough to see what to add to the beginning."""


class AmbiguousError(NotFoundError):
    """No saga has this id, and which other one is meant cannot be told."""


async def identify(reader: StoreReader, text: str, saga_type: str | None = None, *, to_change: bool = False) -> SagaRef:
    """The saga that `text` names: the one with exactly this id, else the only one whose id begins with it.

    Args:
        reader: the store.
        text: an id, or its beginning.
        saga_type: where several types have the id.
        to_change: the saga is going to be changed: then no number is cut short, so that `order-1`, once it is gone,
            is never taken for `order-12`.

    Raises:
        NotFoundError: there is none.
        AmbiguousError: there is more than one; the message lists what comes close.

    """
    try:
        return (await reader.find(text, saga_type)).ref
    except NotFoundError:
        found = await reader.find_by_prefix(text, saga_type, CANDIDATES_SHOWN + 1) if text else []
        if not found or any(ref.saga_id == text for ref in found):
            raise
        if len(found) > 1:
            raise AmbiguousError(f"several sagas begin with '{text}': {_listed(found)}") from None
        if to_change and _cuts_number(text, found[0].saga_id):
            raise AmbiguousError(
                f"there is no saga '{text}'; {found[0].saga_id} begins so: to change that one, write its number out"
            ) from None
        return found[0]


def _cuts_number(prefix: str, saga_id: str) -> bool:
    return prefix[-1].isdigit() and saga_id[len(prefix)].isdigit()


def _listed(found: Sequence[SagaRef]) -> str:
    """`order-1, order-12, …`; with their types where these differ."""
    shown = found[:CANDIDATES_SHOWN]
    types = {ref.saga_type for ref in found}
    names = [ref.saga_id if len(types) == 1 else f"{ref.saga_id} ({ref.saga_type})" for ref in shown]
    return ", ".join([*names, *["…"] * (len(found) > CANDIDATES_SHOWN)])
