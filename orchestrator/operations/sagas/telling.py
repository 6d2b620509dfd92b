"""One saga as a page or a terminal tells it: where it stands, what happened, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.operations.acts.following import Standing, follow
from kafka_saga.orchestrator.operations.acts.offering import Offer, offers
from kafka_saga.orchestrator.operations.sagas.headline import Headline, headline
from kafka_saga.orchestrator.operations.sagas.history import History, history
from kafka_saga.orchestrator.operations.sagas.timeline import Timeline, timeline
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.act_rows import ActRow
from kafka_saga.orchestrator.store.lives import LIFE, read_fields
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.sight import WHOLE
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.topics import TopicNames

ACTS_SHOWN = 50
"""The newest; the audit has all."""


@dataclass(frozen=True, slots=True)
class Told:
    """A saga, as people see it."""

    saga: Saga
    definition: Definition | None
    headline: Headline
    history: History
    line: Timeline
    log: Sequence[LogEntry]
    offers: Sequence[Offer]
    acts: Sequence[tuple[ActRow, Standing]]
    """What operators did to it and what became of that, newest first."""


async def tell(reader: StoreReader, registry: Registry, topics: TopicNames, ref: SagaRef, now: int) -> Told:
    """Read and tell one saga, masked as `reader` shows it.

    Raises:
        NotFoundError: there is none.

    """
    saga = await reader.find(ref.saga_id, ref.saga_type)
    definition = registry.get(saga.ref.saga_type, saga.definition_version)
    log = await reader.log(saga)
    whole = saga, log
    if reader.sight.hides(ref.saga_type):
        bare = replace(reader, sight=WHOLE)  # to decide it once more; the history masks what comes out
        found = await bare.find(ref.saga_id, ref.saga_type)
        whole = found, await bare.log(found)
    pauses = await reader.pauses()
    acts = await reader.acts(ACTS_SHOWN, saga_id=ref.saga_id, saga_type=ref.saga_type)
    return Told(
        saga=saga,
        definition=definition,
        headline=headline(definition, saga, pauses),
        history=history(definition, *whole, topics, await _first_sequence(reader)),
        line=timeline(saga, log, now),
        log=log,
        offers=offers(definition, saga, now, {scope: pause.hold for scope, pause in pauses.items()}),
        acts=[(act, follow(act, saga, log)) for act in acts],
    )


async def _first_sequence(reader: StoreReader) -> int:
    """What the events of the store's present life add to a saga's version (R59)."""
    found = (await reader.meta()).get(LIFE)
    return 0 if found is None else read_fields(found, ()).first_sequence
