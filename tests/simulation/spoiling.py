"""Handlers whose SQL has SQLite roll back the whole batch, and that write on as if nothing had happened (R57)."""

from __future__ import annotations

import random  # noqa: TID251 -- a chance of its own: the rest of a seed's world stays as it is without this fault
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from sqlite3 import IntegrityError
from typing import Any

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.transaction import Transaction
from kafka_saga.runtime.sqlite import SqlConnection
from tests.simulation.broker import SimBroker

_TABLE = "CREATE TABLE IF NOT EXISTS spoiled (n INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)"
_ROLL_BACK = "INSERT INTO spoiled VALUES (1), (1)"

_Function = Callable[..., Coroutine[Any, Any, Any]]


async def prepare(connection: SqlConnection) -> None:
    """Create the table that spoils."""
    await connection.run_script(_TABLE)


def spoiling(participant: Participant, broker: SimBroker, chance: random.Random) -> Participant:
    """`participant` with handlers that now and then lose the transaction before they do what they should."""
    spoiled = Participant(participant.name)
    for name, handler in participant.handlers.items():
        function = handler.function if handler.is_external else _losing(handler.function, broker, chance)
        spoiled.handlers[name] = replace(handler, function=function)
    return spoiled


def _losing(function: _Function, broker: SimBroker, chance: random.Random) -> _Function:
    async def handle(command: Any, tx: Transaction) -> Any:
        if broker.faulty and chance.random() < broker.swarm.spoils:
            broker.happened.append("rolled back")
            with suppress(IntegrityError):
                await tx.execute(_ROLL_BACK)
        return await function(command, tx)

    return handle
