"""The start: does our code know its sagas, what was left unpublished, where to read on."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_saga.orchestrator.engine.messages import MessageWriter
from kafka_saga.orchestrator.engine.publish import Publisher
from kafka_saga.orchestrator.engine.shared_admission import changes
from kafka_saga.orchestrator.machine.missing import park_without_definition
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.port import Batch, Changed, OutboxRow, Registered, Store
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX
from kafka_saga.runtime.telemetry import log

_log = log("recovery")


async def check_definitions(
    store: Store, registry: Registry, writer: MessageWriter, publisher: Publisher, *, park_missing: bool
) -> None:
    """Refuse to run sagas by a definition that is not the one they began with (R30).

    Raises:
        StoreRefusedError: a version means something else than when it first ran here, or is missing.

    """
    on_record = await store.register(
        [Registered(*own.key, own.fingerprint, own.description, own.earlier_fingerprint) for own in registry]
    )
    for definition in registry:
        change = definition.change_since(*on_record[definition.key])
        if change is not None:
            saga_type, version = definition.key
            raise StoreRefusedError(
                f"saga '{saga_type}' version {version} is not what it was when it first ran on this store ({change}): "
                f"put the old steps back and make yours version {version + 1}"
            )
    for saga_type, version in sorted(await store.unfinished_versions() - {definition.key for definition in registry}):
        if park_missing:
            await _park_all(store, writer, publisher, saga_type, version)
        elif await store.unfinished_of(saga_type, version, 1):
            raise StoreRefusedError(
                f"unfinished sagas need version {version} of saga '{saga_type}', which no module has: "
                "register it with --app, or set them aside with --park-missing"
            )


def republish(left: Sequence[OutboxRow], publisher: Publisher) -> None:
    """What a crash left in the outbox is published again, with the same ids (I14)."""
    for row in left:
        publisher.add(row, may_be_out=True)
    if left:
        _log.info("recovery.republishing", batches=len(left), messages=sum(len(row.messages) for row in left))


async def _park_all(store: Store, writer: MessageWriter, publisher: Publisher, saga_type: str, version: int) -> None:
    while refs := await store.unfinished_of(saga_type, version, BATCH_RECORDS_MAX):
        now = store.now()
        batch = Batch(now)
        parked: list[tuple[Saga | None, Saga]] = []
        for ref, known in (await store.load(refs)).items():
            decision = park_without_definition(known.saga, now)
            batch.changed.append(Changed(decision.saga, known.saga.version))
            batch.log += [(ref, entry) for entry in decision.log]
            batch.messages += [writer.message(None, decision.saga, effect) for effect in decision.effects]
            parked.append((known.saga, decision.saga))
        batch.in_flight, batch.pending = changes(parked)
        row = await store.commit(batch)
        if row is not None:
            publisher.add(OutboxRow(row, now, batch.messages))
        _log.warning("recovery.parked", saga_type=saga_type, version=version, sagas=len(refs))
