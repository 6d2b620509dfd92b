"""I13, I14, I18, R56: ids are true and have one payload; each is sent, or said not to be; the first in order."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.states import LogStatus
from kafka_saga.schemas.ids import CommandId, Phase, parse_command_id
from tests.simulation.broker import SimRecord
from tests.simulation.checkers.evidence import SERVICES, STEPS, Attempt, Evidence
from tests.simulation.virtual_time import START_MS

PHASES = {LogStatus.IN_PROGRESS: Phase.FORWARD, LogStatus.COMPENSATING: Phase.COMPENSATE}


def check(evidence: Evidence) -> Iterator[str]:
    bodies: dict[tuple[str, bool], bytes | None] = {}
    seen: set[str] = set()
    first: dict[tuple[str, str], list[Phase]] = {}
    for service, step in SERVICES.items():
        partitions: dict[str, int] = {}
        for record in evidence.commands(service):
            command_id = dict(record.headers)["ce_id"].decode()
            head = parse_command_id(command_id)
            # In a new life services, and people, may decide otherwise (R59).
            in_its_life = command_id, record.appended_ms >= evidence.world.restored_at_ms
            # What a restored store does not know is not in the command either (R15, R59).
            forgotten = evidence.swarm.restore and head.phase is Phase.COMPENSATE
            if bodies.setdefault(in_its_life, record.value) != record.value and not forgotten:
                yield f"I13: {command_id} has two payloads"
            if command_id not in seen:
                seen.add(command_id)
                first.setdefault((head.saga_id, head.step), []).append(head.phase)
                yield from _meaning(evidence, command_id, step)
            key = (record.key or b"").decode()
            if not evidence.swarm.growths and partitions.setdefault(key, record.partition) != record.partition:
                yield f"I18: commands for {key} are in two partitions of {record.topic}"
    yield from _sent(evidence)
    yield from _unsent(evidence)
    if not evidence.swarm.lose_message:
        yield from _in_order(evidence, first)


def _meaning(evidence: Evidence, command_id: str, step: str) -> Iterator[str]:
    """I13, I10: an id names a saga, the step of the service it was sent to, and an epoch that the saga came to."""
    head = parse_command_id(command_id)
    saga = evidence.sagas.get(head.saga_id)
    if saga is None or head.step != step:
        yield f"I10: {command_id} was sent, which is of no saga or of another service"
    elif not 1 <= head.epoch <= saga.steps[STEPS[step]].command_epoch(head.phase):
        yield f"I13: {command_id} was sent, and its saga never came to that epoch"


def _sent(evidence: Evidence) -> Iterator[str]:
    """I14: what the log says was sent was stored, or it was refused, or lost after it was acknowledged."""
    out = evidence.copies.keys() | evidence.refused | evidence.lost
    known = {(head.saga_id, head.step, head.phase, attempt) for head, attempt in map(_read, out)}
    for saga_id, log in evidence.logs.items():
        for entry in log:
            phase = PHASES.get(entry.status)
            if phase is None or entry.detail.get("event") == "ReplyUnreadable":
                continue
            # What is sent again after a restore counts as the attempt that it was, which may never have left before.
            attempts = range(1, 21) if evidence.swarm.restore else (entry.attempt,)
            if not any((saga_id, entry.step, phase, attempt) in known for attempt in attempts):
                yield f"I14: {saga_id} says it sent {phase.value} of {entry.step}, and nobody can have read it"


def _read(attempt: Attempt) -> tuple[CommandId, int]:
    return parse_command_id(attempt[0]), attempt[1]


def _unsent(evidence: Evidence) -> Iterator[str]:
    """R56: what the log says was not sent was refused, and never stored unless the log knows that it may have been."""
    for saga_id, log in evidence.logs.items():
        for entry in log:
            detail = entry.detail
            if detail.get("event") != "NotSent":
                continue
            attempt = f"order/{saga_id}/{detail['step']}/{detail['phase']}/{detail['epoch']}", detail["attempt"]
            if attempt not in evidence.refused:
                yield f"R56: {saga_id} says that {attempt} was not sent, and nobody refused it"
            copies = filter(evidence.is_of_this_life, evidence.copies.get(attempt, ()))
            if not detail["may_be_out"] and any(not _asked_again(evidence, entry, copy) for copy in copies):
                yield f"R56: {saga_id} says that {attempt} was surely not sent, and there it is"


def _asked_again(evidence: Evidence, told: LogEntry, copy: SimRecord) -> bool:
    """Whether a new life sent an undoing that an earlier one had told of: a parked saga still awaits it (R59)."""
    is_undoing = told.detail["phase"] == Phase.COMPENSATE
    return is_undoing and told.at - START_MS < evidence.world.restored_at_ms <= copy.appended_ms


def _in_order(evidence: Evidence, first: dict[tuple[str, str], list[Phase]]) -> Iterator[str]:
    """I18: with one orchestrator first copies come in the order of its decisions: the action, then its undoing."""
    if evidence.swarm.replicas > 1:
        return
    for (saga_id, step), phases in first.items():
        if phases != sorted(phases, key=[Phase.FORWARD, Phase.COMPENSATE].index):
            yield f"I18: commands of {step} of {saga_id} first came in the order {phases}"
