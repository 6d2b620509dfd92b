"""The flag that shows what is sensitive, to whoever says why."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.operations.acts.revealing import note_reveal
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.runtime.user import this_user
from kafka_saga.schemas.ids import SagaRef

RevealFlag = Annotated[
    str | None,
    Parameter(name="--reveal", help="Show sensitive fields, too: say why; it is kept among the acts", metavar="WHY"),
]


async def revealing(
    settings: Settings, reader: StoreReader, ref: SagaRef, what: str, reason: str | None
) -> StoreReader:
    """The reader that shows a saga whole where a reason is given, once that is noted; else the one that there is.

    Raises:
        UsageError: the reason is empty or too long.
        StoreUnavailableError: it cannot be noted.

    """
    if reason is None:
        return reader
    await _note(settings, ref, what, reason)
    return reader.revealing()


def note_messages(settings: Settings, what: str, reason: str | None) -> bool:
    """Whether messages are shown whole: where a reason is given, and that is noted.

    Raises:
        UsageError: the reason is empty or too long.
        StoreUnavailableError: it cannot be noted.

    """
    if reason is not None:
        asyncio.run(_note(settings, None, what, reason))
    return reason is not None


async def _note(settings: Settings, ref: SagaRef | None, what: str, reason: str) -> None:
    await note_reveal(
        settings.store_at,
        ref=ref,
        what=what,
        actor=this_user(),
        reason=reason,
        act_id=new_id(),
        now=SystemClock().now_ms(),
    )
