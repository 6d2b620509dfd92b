"""Why one saga waits, beyond what its own row says: what `saga explain` adds to its sentence where it is the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka_saga.messaging.inspection import LATEST, Inspection
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.stuck import OPEN_TRANSACTION
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.definition import Step
from kafka_saga.orchestrator.machine.saga import Saga, type_scope
from kafka_saga.orchestrator.machine.states import ACTIVE, SagaState
from kafka_saga.orchestrator.operations.checks.examination import Site
from kafka_saga.orchestrator.operations.checks.finding import lasting, listed
from kafka_saga.orchestrator.operations.checks.letters import Letter, about_active_step, read_letters
from kafka_saga.orchestrator.operations.checks.positions import find_behind
from kafka_saga.orchestrator.operations.checks.service_database import read_database
from kafka_saga.orchestrator.operations.checks.services import Reading, Waiting
from kafka_saga.orchestrator.operations.checks.topology import Topology, read_topology, unread
from kafka_saga.orchestrator.operations.checks.workers import group_of, make_reading
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.store.vitals import count_ahead, read_offsets, unpublished_since, waits_since
from kafka_saga.runtime.clock import Clock, rfc3339
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.ids import CommandId, Phase
from kafka_saga.schemas.topics import dead_letter_topic

LOOK_AGAIN_MS = 1_500
"""Between two looks at what a service has read: three times as long as its commits are apart (messaging/hints.py)."""

PUBLISHED_MS = 2_000
"""A published message may stay in the outbox for as long."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, as a word for programs and a sentence for people."""

    kind: str
    sentence: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Awaited:
    """What a saga waits for: the step, in which phase, since when, and the command's id."""

    step: Step
    command_id: str
    since: int
    timeout_ms: int

    @property
    def service(self) -> str:
        return self.step.service


async def awaited(reader: StoreReader, definition: Definition | None, saga: Saga) -> Awaited | None:
    """What the saga waits for; None where it waits for no service."""
    index = saga.active_index
    if definition is None or index is None or saga.held is not None:
        return None
    step, state = definition.steps[index], saga.steps[index]
    undoing = SagaState.COMPENSATING in {saga.state, None if saga.parked is None else saga.parked.from_state}
    phase = Phase.COMPENSATE if undoing else Phase.FORWARD
    command_id = CommandId(*saga.ref, step.name, phase, state.command_epoch(phase))
    since = await waits_since(reader, saga, step.name)
    return Awaited(step, str(command_id), since, step.policy(phase).timeout_ms)


async def find_in_store(
    reader: StoreReader, saga: Saga, waits: Awaited | None, now: int, *, runs: bool, in_flight_max: int
) -> list[Reason]:
    """What the store knows: a queue before it, or a command that is not published."""
    if saga.state is SagaState.PENDING and saga.held is None:
        return await _admission(reader, saga, in_flight_max, runs=runs)
    if waits is None:
        return []
    found = await unpublished_since(reader, waits.command_id)
    if found is None or (runs and 0 <= now - found[0] < PUBLISHED_MS):
        return []
    since, topic = found
    details = {"topic": topic, "since": rfc3339(since), "commandId": waits.command_id}
    age = f" ({lasting(now - since)})" if now >= since else ""
    sentence = f"Its command is not published yet: it waits for {topic} since {rfc3339(since)}{age}."
    return [Reason("not_published", sentence, details)]


async def _admission(reader: StoreReader, saga: Saga, in_flight_max: int, *, runs: bool) -> list[Reason]:
    if type_scope(saga.ref.saga_type) in await reader.pauses():
        return []
    counts, ahead = await reader.count_unfinished(), await count_ahead(reader, saga)
    under_way = sum(counts.get(state, 0) for state in ACTIVE)
    details = {"ahead": ahead, "underWay": under_way, "inFlightMax": in_flight_max}
    sentence = f"{counted(ahead, 'saga')} wait before it, and {under_way:,} are under way of {in_flight_max:,} at most"
    slow = "; the window is smaller while services are slow to answer" if runs and under_way < in_flight_max else ""
    return [Reason("admission", f"{sentence}{slow}.", details)]


async def find_in_kafka(site: Site, reader: StoreReader, saga: Saga, waits: Awaited, clock: Clock) -> list[Reason]:
    """What Kafka knows: dead letters of its step, a service that nobody reads for, replies that are not read.

    Raises:
        BrokerUnavailableError: it does not answer.

    """
    names = site.names
    commands, replies = names.commands(waits.service), names.replies_of(waits.service)
    letters_on = [dead_letter_topic(commands), dead_letter_topic(replies)]
    offsets = await read_offsets(reader)
    inspection = Inspection(site.kafka, clock=clock)
    try:
        topology = await read_topology(inspection, [commands, *site.replies, *letters_on])
        if commands not in topology.topics:
            sentence = f"The topic {commands} does not exist: `saga topics create` creates it."
            return [Reason("no_topic", sentence, {"topic": commands})]
        letters = await read_letters(
            site.kafka, inspection, topology, names=names, topics=letters_on, since=saga.created_at
        )
        there = {topic: topology.topics[topic] for topic in site.replies if topic in topology.topics}
        whole = await inspection.offsets(there, LATEST, whole=True)
        stable = await inspection.offsets(there, LATEST)  # afterwards: what comes in between is not held back
        reading = await _read(site, inspection, topology, saga=saga, waits=waits, clock=clock)
    finally:
        await inspection.close()
    own = [letter for letter in letters.read if letter.saga_id == saga.ref.saga_id]
    reasons = dead_letter_reasons(about_active_step(own, saga, site.registry), replies, saga.ref.saga_id)
    reasons += reading_reasons(reading, clock.now_ms())
    number, _deleted, _beyond = unread(topology, replies, offsets)
    held = held_back_reasons(find_behind(stable, whole), topology.closed(None, site.replies), replies)
    if number and not reasons and not held:
        sentence = f"{counted(number, 'reply is', 'replies are')} not read yet on {replies}; its own may be among them."
        reasons.append(Reason("replies_unread", sentence, {"topic": replies, "unread": number}))
    return reasons + held


async def _read(
    site: Site, inspection: Inspection, topology: Topology, *, saga: Saga, waits: Awaited, clock: Clock
) -> Reading:
    """How the service reads its commands; looked at twice where it seems not to."""
    group = group_of(waits.service, site.names)
    partitions = topology.partitions(site.names.commands(waits.service))
    replies = site.names.replies_of(waits.service)
    committed = (await inspection.committed({group: partitions}))[group]
    database = await read_database(site.databases[waits.service], waits.service)
    parked = saga.state is SagaState.PARKED
    waiting = Waiting(1, saga.ref.saga_id, waits.since, waits.timeout_ms, parked)

    def reading(again: Mapping[Any, Any], *, replied: bool) -> Reading:
        return make_reading(
            waits.service,
            site.names,
            topology,
            committed=committed,
            again=again,
            database=database,
            waiting=waiting,
            replied=replied,
            paused=False,
        )

    first = reading({}, replied=False)
    if not first.deserves_second_look(clock.now_ms()):
        return first
    await clock.sleep(LOOK_AGAIN_MS)
    again = (await inspection.committed({group: partitions}))[group]
    ends = (await read_topology(inspection, [replies])).ends
    return reading(again, replied=any(end > topology.ends.get(tp, end) for tp, end in ends.items()))


def held_back_reasons(behind: Collection[TopicPartition], closed: Mapping[str, str], own: str) -> list[Reason]:
    """What keeps replies from being read holds every timer, whatever service it waits for (R21).

    Args:
        behind: the partitions where an open transaction does.
        closed: the reply topics that cannot be asked where they end, and why.
        own: the topic that this saga's reply comes on.

    """
    places = {**{f"{tp.topic}[{tp.partition}]": OPEN_TRANSACTION for tp in sorted(behind)}, **closed}
    if not places:
        return []
    why = [f"{listed(place for place in places if places[place] == one)}: {one}" for one in sorted({*places.values()})]
    among = "its own may be among them, and " if own in closed or any(tp.topic == own for tp in behind) else ""
    sentence = f"Replies cannot be read from {'; '.join(why)}; {among}no timeout fires meanwhile."
    return [Reason("replies_held_back", sentence, {"partitions": places})]


def dead_letter_reasons(letters: Sequence[Letter], replies: str, saga_id: str) -> list[Reason]:
    """Its replies, or its commands, lie among the dead letters."""
    reasons = []
    for kind, word, some in (
        ("dead_replies", "replies", [letter for letter in letters if letter.origin == replies]),
        ("dead_commands", "commands", [letter for letter in letters if letter.origin != replies]),
    ):
        if some:
            causes = Counter(letter.cause for letter in some)
            said = ", ".join(f"{cause} ({count})" for cause, count in causes.most_common())
            see = f"see `saga dlq list --saga {saga_id}`"
            sentence = f"Its {word} are dead letters: {said}: {some[-1].message.rstrip('.')}; {see}."
            details = {"causes": dict(causes), "positions": [letter.position for letter in some]}
            reasons.append(Reason(kind, sentence, details))
    return reasons


def reading_reasons(reading: Reading, now: int) -> list[Reason]:
    """Nobody reads the service's commands, or it is behind."""
    details = {"topic": reading.topic, "group": reading.group, "unread": reading.unread, "worker": reading.worker.state}
    if reading.is_unread_by_anybody(now):
        worker = {
            "none": f"; no process holds {reading.worker.text}",
            "runs": f"; {reading.worker.text} runs, and does not read",
            "unknown": "",
        }[reading.worker.state]
        sentence = f"Nobody reads {reading.topic}: {reading.backlog_text()}{worker}."
        return [Reason("nobody_reads", sentence, details)]
    if reading.unread and reading.is_late(now):
        sentence = f"{reading.service} lags: {reading.backlog_text()} on {reading.topic}."
        return [Reason("lags", sentence, details)]
    if reading.unread == 0 and reading.is_unanswered(now):
        sentence = f"{reading.service} has read every command of {reading.topic}, and has not answered this one."
        return [Reason("unanswered", sentence, details)]
    return []
