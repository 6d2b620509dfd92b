"""A store full of everything there can be in one, in a file and moved to PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Hold
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.port import ActOutcome, Advance, Batch, Outage, Registered
from kafka_saga.orchestrator.store.postgres.moving import OnProgress
from kafka_saga.orchestrator.store.postgres.moving import move as move_store
from kafka_saga.orchestrator.store.retention import Asker, Purge, QueuedPurge
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock
from tests.contracts.stores import (
    NOW,
    SetClock,
    cancel,
    finish,
    move,
    new_saga,
    rejection,
    start,
    start_running,
    success,
)

REPLIES = TopicPartition("order.replies", 0)


async def fill(path: Path) -> None:
    """Sagas in every state, with logs, acts, pauses, messages, positions, and some that were purged."""
    store = await open_store(path, SetClock())
    await store.register([Registered("order", 1, "f", "what it is", "e")])
    for number in range(3):
        await finish(store, f"old-{number}", NOW - 90_000)
    await store.queue_purge(QueuedPurge("p-1", Purge(NOW - 50_000)), Asker("ann", "old"))
    await store.purge(QueuedPurge("p-1", Purge(NOW - 50_000)), 100)
    await finish(store, "ended-1", NOW - 40_000)
    for number in range(5):
        await start_running(store, f"order-{number}", NOW - 30_000 + number)
    await move(store, success("reserve_inventory", reservation_id="r-1\0"), "order-1")
    await move(store, success("reserve_inventory", reservation_id="r-2"), "order-2")
    await move(store, rejection("process_payment", "no such “card”"), "order-2")
    await start(store, new_saga("waits-1"), new_saga("waits-2"))
    queue = await ActQueue.open(path)
    await queue.send([cancel("act-1", "order-3"), cancel("act-2", "order-4"), cancel("act-3", "old-1")], NOW)
    await queue.close()
    pause = Pause(Hold("service:payment", "ann", "migration", NOW), under_way=True)
    await store.commit(
        Batch(
            NOW,
            messages=[Message("inventory.commands", b"order-1", b"{}", (("ce_id", b"c-1"),)), Message("x", None, b"")],
            offsets={REPLIES: Advance(None, 17), TopicPartition("order.requests", 3): Advance(None, 0)},
            acts=[ActOutcome("act-1", "done", "it is being undone")],
            pauses={pause.hold.scope: pause},
            outage=Outage(NOW - 5, is_on=True),
            resets=[Reset(REPLIES, 90, 17, "retention")],
        )
    )
    await store.close()


async def moved(path: Path, at: PostgresLocation, on_progress: OnProgress = lambda *_: None) -> PostgresLocation:
    """The store of the file, moved to `at`."""
    await move_store(path, at, SystemClock(), on_progress)
    return at
