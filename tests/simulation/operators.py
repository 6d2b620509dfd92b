"""Operators: they look, think, and act, sometimes too late, sometimes twice, sometimes on the wrong saga (R25)."""

from __future__ import annotations

import random  # noqa: TID251 -- for its type only: chance is handed in
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.schemas.codec import encode
from tests.simulation.broker import SimBroker

THOUGHT_MS_MAX = 3_000
"""Between looking at a saga and acting on it."""

BY_HAND = {
    "reserve_inventory": {"reservation_id": "by-hand"},
    "process_payment": {"charge_id": "by-hand"},
    "create_order": {"order_number": "by-hand"},
}
"""What a person gives as a step's reply who did it themselves."""


class Seen(NamedTuple):
    """A saga as an operator saw it."""

    saga_id: str
    state: str
    version: int
    current_step: int


Arguments = Callable[[random.Random, Seen], dict[str, Any]]


def _none(_chance: random.Random, _seen: Seen) -> dict[str, Any]:
    return {}


def _step(chance: random.Random, seen: Seen) -> dict[str, Any]:
    place = seen.current_step - 1 if seen.current_step and chance.random() < 0.8 else chance.randrange(3)
    name = order_saga.steps[place].name
    return {"step": name, "data": BY_HAND[name]} if chance.random() < 0.8 else {"step": name}


def _end(chance: random.Random, _seen: Seen) -> dict[str, Any]:
    return {"as": chance.choice(["completed", "compensated", "whatever"])}


def _hold(chance: random.Random, _seen: Seen) -> dict[str, Any]:
    """One saga, or a service, or all sagas of a type, of which those under way may go on."""
    if chance.random() < 0.4:
        return {}
    scope = chance.choice([*(f"service:{step.service}" for step in order_saga.steps), "type:order", "service:coffee"])
    return {"scope": scope, "underWay": chance.random() < 0.5}


VERBS: dict[EventKind, Arguments] = {
    EventKind.CANCEL: _none,
    EventKind.RETRY_NOW: _none,
    EventKind.SKIP: _step,
    EventKind.RESOLVE: _end,
    EventKind.PAUSE: _hold,
    EventKind.RESUME: _hold,
}
"""What operators do; a verb that is not here is not simulated."""


class Operators:
    """People at the acts table of one store."""

    def __init__(self, broker: SimBroker, store: sqlite3.Connection) -> None:
        self._broker = broker
        self._store = store
        self._acts = 0
        self._mended_at_ms: dict[str, int] = {}

    async def wander(self, orders: Iterable[str]) -> None:
        """Act now and then until the fault phase ends, wisely or not."""
        broker, chance = self._broker, self._broker.chance
        for _ in range(broker.swarm.acts):
            await broker.clock.sleep(chance.randint(0, 2 * broker.swarm.fault_phase_ms // broker.swarm.acts))
            seen = self._look(chance.choice([*orders, "nobody"]))
            await broker.clock.sleep(chance.choice([0, 50, THOUGHT_MS_MAX]))
            verb = chance.choice(list(VERBS))
            times = 2 if chance.random() < 0.2 else 1
            state = seen.state if chance.random() < 0.4 else None
            version = seen.version if chance.random() < 0.2 else None
            self._act(verb, seen, VERBS[verb](chance, seen), state=state, version=version, times=times)
            broker.happened.append(f"act {verb.value}")

    def resume_all(self) -> None:
        """Let everything go on that an operator has paused."""
        for (scope,) in self._store.execute("SELECT scope FROM pauses ORDER BY scope").fetchall():
            self._mend(scope, EventKind.RESUME, Seen("", "PENDING", 0, 0), {"scope": scope})
        held = "SELECT saga_id FROM sagas WHERE held = 'operator' ORDER BY saga_id"
        for (saga_id,) in self._store.execute(held).fetchall():
            self._mend(saga_id, EventKind.RESUME, self._look(saga_id), {})

    def have_all_been_heard(self) -> bool:
        """Whether nothing is paused, and nobody's act, which may be to pause, still waits."""
        waiting = "SELECT 1 FROM pauses UNION ALL SELECT 1 FROM acts WHERE outcome IS NULL"
        return self._store.execute(waiting).fetchone() is None

    def retry_parked(self) -> None:
        """Retry everything that is parked."""
        parked = "SELECT saga_id FROM sagas WHERE state = 'PARKED' ORDER BY saga_id"
        for (saga_id,) in self._store.execute(parked).fetchall():
            self._mend(saga_id, EventKind.RETRY_NOW, self._look(saga_id), {})

    def _mend(self, what: str, verb: EventKind, seen: Seen, arguments: dict[str, Any]) -> None:
        """Act, but on the same thing no more than once in half a minute."""
        now_ms = self._broker.clock.monotonic_ms()
        if now_ms - self._mended_at_ms.get(what, -30_000) >= 30_000:
            self._mended_at_ms[what] = now_ms
            self._act(verb, seen, arguments)
            self._broker.happened.append(f"mended by {verb.value}")

    def _look(self, saga_id: str) -> Seen:
        query = "SELECT state, version, current_step FROM sagas WHERE saga_id = ?"
        row = self._store.execute(query, (saga_id,)).fetchone()
        return Seen(saga_id, *row) if row else Seen(saga_id, SagaState.PENDING.value, 0, 0)

    def _act(
        self,
        verb: EventKind,
        seen: Seen,
        arguments: dict[str, Any],
        *,
        state: str | None = None,
        version: int | None = None,
        times: int = 1,
    ) -> None:
        self._acts += 1
        row = (
            f"act-{self._acts}",
            "order",
            seen.saga_id,
            verb.value,
            encode(arguments).decode(),
            "operator",
            "because",
            state,
            version,
            self._broker.clock.now_ms(),
        )
        assert not self._store.in_transaction, "no process of ours lets go of the loop inside a transaction"
        for _ in range(times):
            self._store.execute(SQL["insert_act"], row)
