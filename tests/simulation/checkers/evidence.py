"""What checkers look at: rows of the databases and records of the topics, read once. No opinion of the engine's."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store import rows
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.schemas.ids import Phase
from tests.simulation.broker import SimRecord
from tests.simulation.world import World

SERVICES = {"inventory": "reserve_inventory", "payment": "process_payment", "orders": "create_order"}
"""Which step is whose."""

STEPS = {step.name: place for place, step in enumerate(order_saga.steps)}

SAGAS = SQL["load"].partition("WHERE")[0] + "ORDER BY saga_key"
"""Every saga, with the columns that a saga is read from."""

EFFECTS = {
    "inventory": ("reservations", "releases", "held"),
    "payment": ("charges", "refunds", "charged"),
    "orders": ("orders", "cancellations", "created"),
}
"""Where each service keeps one row for each time its action ran, how often it was undone, and its standing state."""


Attempt = tuple[str, int]
"""A command's id, and which attempt of it."""


def attempt_of(message: SimRecord | Message) -> Attempt:
    """What a command is, whether it was stored or not."""
    headers = dict(message.headers)
    return headers["ce_id"].decode(), int(headers["ce_sagaattempt"])


@dataclass(frozen=True, slots=True)
class Act:
    """One row of the acts table."""

    act_id: str
    saga_id: str
    verb: str
    arguments: dict[str, Any]
    outcome: str | None


class Evidence:
    """One world's, after its end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.swarm = world.swarm
        self.store = world.store.connection

    @cached_property
    def sagas(self) -> dict[str, Saga]:
        found = (rows.read_saga(row) for row in self.store.execute(SAGAS))
        return {saga.ref.saga_id: saga for saga in found}

    @cached_property
    def states(self) -> dict[str, str]:
        return {saga_id: saga.state.value for saga_id, saga in self.sagas.items()}

    @cached_property
    def logs(self) -> dict[str, list[LogEntry]]:
        return {
            saga_id: [rows.read_log(row) for row in self.store.execute(SQL["log"], (saga.row,))]
            for saga_id, saga in self.sagas.items()
        }

    @cached_property
    def acts(self) -> list[Act]:
        query = "SELECT act_id, saga_id, verb, arguments, outcome FROM acts ORDER BY act_seq"
        return [Act(*row[:3], json.loads(row[3]), row[4]) for row in self.store.execute(query)]

    @cached_property
    def acted_on(self) -> set[str]:
        """Sagas that an operator really changed."""
        return {act.saga_id for act in self.acts if act.outcome == "done"}

    @cached_property
    def resolved(self) -> set[str]:
        """Sagas whose end is what a person said it is."""
        return {act.saga_id for act in self.acts if act.outcome == "done" and act.verb == "resolve"}

    @cached_property
    def skipped(self) -> dict[tuple[str, str], set[Phase]]:
        """Steps that a person did or undid by hand: the services know nothing of it."""
        found: dict[tuple[str, str], set[Phase]] = defaultdict(set)
        for saga_id, log in self.logs.items():
            for before, entry in pairwise(log):
                if before.detail.get("verb") == "skip":
                    phase = Phase.COMPENSATE if entry.status.value == "COMPENSATED" else Phase.FORWARD
                    found[saga_id, before.step].add(phase)
        return found

    def effects(self, service: str) -> tuple[dict[str, int], dict[str, int]]:
        """How often the service acted for each saga, and how often it undid that: from its business table."""
        table, undone, _ = EFFECTS[service]
        did: dict[str, int] = defaultdict(int)
        undid: dict[str, int] = defaultdict(int)
        for saga_id, times in self.service(service, f"SELECT saga_id, {undone} FROM {table}"):
            did[saga_id] += 1
            undid[saga_id] += times
        return did, undid

    def service(self, name: str, query: str) -> Iterator[tuple[Any, ...]]:
        """Rows of a service's own database."""
        return iter(self.world.services[name].connection.execute(query).fetchall())

    def records(self, topic: str) -> list[SimRecord]:
        """Everything that was ever stored in a topic."""
        return self.world.broker.history[topic]

    def commands(self, service: str) -> list[SimRecord]:
        return self.records(self.world.topics.commands(service))

    def replies(self, service: str) -> list[SimRecord]:
        return self.records(self.world.topics.replies_of(service))

    @cached_property
    def answers(self) -> dict[tuple[str, str], list[SimRecord]]:
        """Success and failure replies by (topic, the command's id)."""
        found: dict[tuple[str, str], list[SimRecord]] = defaultdict(list)
        for service in SERVICES:
            for record in self.replies(service):
                headers = dict(record.headers)
                if headers["ce_sagaoutcome"] != b"retry":
                    found[record.topic, headers["ce_causationid"].decode()].append(record)
        return found

    @cached_property
    def copies(self) -> dict[Attempt, list[SimRecord]]:
        """The records of each command's attempt."""
        found: dict[Attempt, list[SimRecord]] = defaultdict(list)
        for service in SERVICES:
            for record in self.commands(service):
                found[attempt_of(record)].append(record)
        return found

    def is_of_this_life(self, record: SimRecord) -> bool:
        """Whether what a command did can still be there: the services were not put back after it."""
        return self.swarm.restore != "all" or record.appended_ms >= self.world.restored_at_ms

    @cached_property
    def refused(self) -> set[Attempt]:
        """The attempts that a topic took to be too large, at least once."""
        refused = self.world.broker.refused
        return {attempt_of(one) for one, why in refused if why == "too_large" and one.topic.endswith(".commands")}

    @cached_property
    def lost(self) -> set[Attempt]:
        """The attempts of which a copy was acknowledged and never stored."""
        return {attempt_of(one) for one in self.world.broker.lost if one.topic.endswith(".commands")}
