"""The id that people type: the beginning will do where only one saga's id begins so, and then we say which it is."""

from __future__ import annotations

from kafka_saga.orchestrator.cli.output import say
from kafka_saga.orchestrator.operations.sagas.naming import identify
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.schemas.ids import SagaRef


async def meant(reader: StoreReader, text: str, saga_type: str | None, *, to_change: bool = False) -> SagaRef:
    """The saga that `text` names; said on stderr where that is not its whole id.

    Raises:
        NotFoundError: there is none, or more than one.

    """
    ref = await identify(reader, text, saga_type, to_change=to_change)
    if ref.saga_id != text:
        say(f"'{text}' is {ref.saga_id}")
    return ref
