"""What a restore does to the sagas of a store before its orchestrator starts again (R59)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.engine.messages import MessageWriter
from kafka_saga.orchestrator.machine.decision import Decision, SendCommand
from kafka_saga.orchestrator.machine.events import Restored
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.lives import Life, begin_life
from kafka_saga.orchestrator.store.port import Batch, Changed, Store
from kafka_saga.orchestrator.store.tables import Tables
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.topics import TopicNames


async def begin_anew(
    store: Store,
    tables: Tables,
    begins: tuple[Life, Mapping[TopicPartition, int]],
    registry: Registry,
    topics: TopicNames,
) -> int:
    """Begin a life, which reads its replies on at the given positions; how many commands are sent again."""
    life, positions = begins
    await begin_life(tables, life, positions)
    again, key = 0, 0
    while page := await tables.fetch_all("unfinished_keys", (key, BATCH_RECORDS_MAX)):
        again += await restore_sagas(store, [SagaRef(*row[1:]) for row in page], registry, topics, life)
        key = page[-1][0]
    return again


async def restore_sagas(
    store: Store, refs: Sequence[SagaRef], registry: Registry, topics: TopicNames, life: Life
) -> int:
    """Tell the sagas of `refs` that their store was restored; how many commands are to be sent again.

    They go into the outbox, so the next start publishes them. A saga whose definition no code has is left as it is:
    the start refuses, or parks it (R30).
    """
    writer = MessageWriter(topics, life.first_sequence)
    batch = Batch(store.now())
    again = 0
    for ref, known in (await store.load(refs)).items():
        definition = registry.get(ref.saga_type, known.saga.definition_version)
        if definition is None:
            continue
        result = advance(definition, known.saga, Restored(life.ahead), batch.now)
        if isinstance(result, Decision):
            batch.changed.append(Changed(result.saga, known.saga.version))
            batch.log += [(ref, entry) for entry in result.log]
            batch.messages += [writer.message(definition, result.saga, effect) for effect in result.effects]
            again += sum(isinstance(effect, SendCommand) for effect in result.effects)
    await store.commit(batch)
    return again
