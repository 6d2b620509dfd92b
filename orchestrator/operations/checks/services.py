"""Whether every service reads its commands, and answers.

Participants on SQLite are no members of their group, so no broker knows whether one runs (R22). What it does know:
how far the group has committed, and whether replies come. So nobody is called absent who is only idle: commands must
wait, a saga must wait for one of them, for longer than its service may take, and nothing may move meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kafka_saga.orchestrator.operations.checks.finding import Finding, lasting
from kafka_saga.runtime.limits import EXTERNAL_TIMEOUT_MS
from kafka_saga.runtime.wording import counted

PATIENCE_MS_MIN = 10_000
"""A restart takes a second or two, and a batch of commands less."""

PATIENCE_MS_MAX = EXTERNAL_TIMEOUT_MS + 10_000
"""A call to the outside, which holds its command's offset, ends after `EXTERNAL_TIMEOUT_MS`."""

REPLIED_MS = 15_000
"""Who has answered anything that lately is there."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What this machine knows of a service's worker: `unknown` where its database is not here."""

    state: Literal["runs", "none", "unknown"] = "unknown"
    text: str = ""
    """Its process; or its database, where nobody holds it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The sagas that wait for a service: how many, and the oldest with what it waits for."""

    count: int
    oldest: str
    since: int
    timeout_ms: int
    parked: bool = False
    """All of them are: a reply that comes is still taken."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a service reads its commands.

    Attributes:
        commands: how many lie on its topic.
        unread: how many are behind what its group has committed; None where it never committed anything.
        moved: whether it committed anything between two looks.
        replied: whether a reply came within REPLIED_MS, or between the looks.
        paused: an operator has paused it.

    """

    service: str
    topic: str
    group: str
    commands: int = 0
    unread: int | None = 0
    moved: bool = False
    replied: bool = False
    paused: bool = False
    worker: Worker = Worker()
    waiting: Waiting | None = None

    @property
    def moves(self) -> bool:
        """Whether there is a sign of life. Where its database is known to be nobody's, replies are somebody else's."""
        return self.moved or (self.replied and self.worker.state != "none")

    def is_late(self, now: int) -> bool:
        """Whether a saga has waited for longer than a service that is there takes."""
        if self.waiting is None:
            return False
        patience_ms = max(PATIENCE_MS_MIN, min(self.waiting.timeout_ms, PATIENCE_MS_MAX))
        return now - self.waiting.since > patience_ms

    def is_unanswered(self, now: int) -> bool:
        """Whether a saga has waited for longer than its definition says."""
        waiting = self.waiting
        if waiting is None or waiting.parked or self.paused:
            return False
        return now - waiting.since > max(PATIENCE_MS_MIN, waiting.timeout_ms)

    def deserves_second_look(self, now: int) -> bool:
        """Whether it matters if something moves."""
        return self._backlog > 0 and (self.is_late(now) or self.worker.state == "none")

    @property
    def _backlog(self) -> int:
        return self.commands if self.unread is None else self.unread

    def is_unread_by_anybody(self, now: int) -> bool:
        """Whether commands wait that nobody reads."""
        late = self.is_late(now) or (self.worker.state == "none" and self.waiting is not None)
        return self._backlog > 0 and late and not self.moves and not self.paused

    def backlog_text(self) -> str:
        """What waits, in words."""
        number = counted(self._backlog, "command")
        return f"{number} on it, group {self.group} never read any" if self.unread is None else f"{number} unread"


def judge_service(reading: Reading, now: int, *, runs: bool) -> Finding:
    """Whether somebody reads a service's commands.

    Args:
        reading: what was seen.
        now: this machine's clock.
        runs: whether an orchestrator runs; where nothing does, a worker that does not is no news.

    """
    details = _details(reading, now)
    check, topic, worker = f"service {reading.service}", reading.topic, reading.worker
    if reading.is_unread_by_anybody(now):
        found = f"nobody reads {topic}: {reading.backlog_text()}{_waits(reading, now)}{_worker(worker)}"
        return Finding("wrong", check, found, _start(reading), details)
    idle = worker.state == "none" and runs and not reading.moves
    if idle:
        backlog = f"{reading.backlog_text()}, no saga waits" if details["unread"] else "nothing waits now"
        found = f"no worker runs for {topic} ({backlog}){_worker(worker)}"
        return Finding("warning", check, found, _start(reading), details)
    if details["unread"] and reading.waiting is not None and reading.is_late(now) and not reading.paused:
        found = f"lags on {topic}: {reading.backlog_text()}{_waits(reading, now)}"
        return Finding("warning", check, found, "it works, and is slower than its commands come", details)
    if reading.unread == 0 and reading.waiting is not None and reading.is_unanswered(now):
        found = f"has read all commands of {topic}, and has not answered{_waits(reading, now)}"
        advice = f"`saga explain {reading.waiting.oldest}`; dead letters (`saga dlq count`), or the service's own log"
        return Finding("warning", check, found, advice, details)
    if reading.unread is None:
        found = f"group {reading.group} has read nothing of {topic} yet: whether a worker runs cannot be told"
        if reading.replied:
            found = f"answers; group {reading.group} is not the one that reads {topic}"
        return Finding("ok" if reading.replied else "note", check, found, "", details)
    backlog = f"{reading.backlog_text()} of {topic}" if reading.unread else f"all commands of {topic} are read"
    return Finding("ok", check, backlog + _worker(worker), "", details)


def _start(reading: Reading) -> str:
    worker = reading.worker
    if worker.state == "runs":
        return f"its log says why it reads nothing; it may be stopped or hang: start {reading.service} again"
    where = "" if worker.state == "none" else " where it runs"
    return f"start the worker of {reading.service}{where} (`saga participant …`), or pause it: `saga pause --service`"


def _waits(reading: Reading, now: int) -> str:
    waiting = reading.waiting
    if waiting is None:
        return ""
    verb = "waits" if waiting.count == 1 else "wait"
    oldest = f"{waiting.oldest} for {lasting(now - waiting.since)}"
    return f"; {counted(waiting.count, 'saga')} {verb}, {oldest}" + (" (parked)" if waiting.parked else "")


def _worker(worker: Worker) -> str:
    if worker.state == "unknown":
        return ""
    return f"; {worker.text} runs" if worker.state == "runs" else f"; no process holds {worker.text}"


def _details(reading: Reading, now: int) -> dict[str, object]:
    waiting = reading.waiting
    return {
        "service": reading.service,
        "topic": reading.topic,
        "group": reading.group,
        "commands": reading.commands,
        "unread": reading.unread if reading.unread is not None else reading.commands,
        "groupCommitted": reading.unread is not None,
        "moves": reading.moves,
        "worker": reading.worker.state,
        "sagasWaiting": 0 if waiting is None else waiting.count,
        "oldestSaga": None if waiting is None else waiting.oldest,
        "oldestWaitMs": None if waiting is None else now - waiting.since,
    }
