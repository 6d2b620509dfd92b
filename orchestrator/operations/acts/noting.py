"""Keeping what somebody did that is no verb of a saga's among the acts, where everybody looks for who did what."""

from __future__ import annotations

from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.port import NotedAct


async def note_done(at: StoreLocation, act: NotedAct, now: int) -> None:
    """Keep an act that is done: no orchestrator has to take it.

    Args:
        at: the store, whose acts are the audit.
        act: what was done; where it is about no saga, or several, `arguments` should have a `scope`.
        now: when, in milliseconds.

    Raises:
        StoreUnavailableError: there is no store, or its server does not answer.

    """
    queue = await ActQueue.open(at)
    try:
        await queue.note(act, now)
    finally:
        await queue.close()
