"""A saga as a graph of steps: what each node says, and which have a way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kafka_saga.orchestrator.dashboard.drawing.graph import Graph, Node, Terminus, Undo
from kafka_saga.orchestrator.dashboard.drawing.svg import anchor
from kafka_saga.orchestrator.dashboard.vocabulary import saga_look
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.backoff import attempts_max
from kafka_saga.orchestrator.machine.saga import Saga, StepState
from kafka_saga.orchestrator.machine.states import SagaState, StepStatus
from kafka_saga.orchestrator.operations.sagas.headline import names_of
from kafka_saga.orchestrator.operations.sagas.timeline import Bar, Ending, Timeline
from kafka_saga.runtime.wording import counted, duration
from kafka_saga.schemas.ids import Phase

_UNDOING = {StepStatus.COMPENSATING, StepStatus.COMPENSATED, StepStatus.NOTHING_TO_UNDO}
_WAITING = {StepStatus.SUCCESS, StepStatus.IN_DOUBT}


@dataclass(frozen=True, slots=True)
class _Told:
    """What is known of one step: its definition, its state, and its bars."""

    number: int
    name: str
    state: StepState
    bars: Sequence[Bar]
    line: Timeline

    def of(self, *, back: bool) -> list[Bar]:
        return [bar for bar in self.bars if bar.back is back and not bar.is_wait]

    def took(self, *, back: bool) -> str:
        bars = self.of(back=back)
        return duration(self.line.end_of(bars[-1]) - bars[0].began_at) if bars else ""

    def since(self, *, back: bool) -> str:
        bars = self.of(back=back)
        return f"+{seconds(self.line.end_of(bars[-1]) - self.line.began_at)}" if bars else ""


def seconds(length_ms: int) -> str:
    """`0.03 s`, `7.23 s`; longer ones as lengths of time."""
    return f"{length_ms / 1000:.2f} s" if length_ms < 60_000 else duration(length_ms)


def graph_of(definition: Definition | None, saga: Saga, line: Timeline) -> Graph:
    """What is drawn of `saga`, whose time line is `line`."""
    names = names_of(definition, saga, line.steps)
    bars: dict[str, list[Bar]] = {}
    for bar in line.bars:
        bars.setdefault(bar.step, []).append(bar)
    told = [
        _Told(number, name, state, bars.get(name, ()), line)
        for number, (name, state) in enumerate(zip(names, saga.steps, strict=True), 1)
    ]
    turned = _has_turned(saga)
    nodes = tuple(_node(definition, saga, one, turned=turned) for one in told)
    edges = tuple((first, then) for first, then in pairwise(names))  # steps are a chain today
    begin, turned_at = Terminus("Request", "0.00 s"), _turned_at(saga, names) if turned else None
    return Graph(nodes, edges, begin, _end(saga, nodes, line), turned_at)


def _has_turned(saga: Saga) -> bool:
    """Whether it is, or was, on the way back."""
    if saga.parked is not None:
        return saga.parked.from_state is SagaState.COMPENSATING
    return saga.state in (SagaState.COMPENSATING, SagaState.COMPENSATED)


def _turned_at(saga: Saga, names: Sequence[str]) -> str | None:
    """The furthest step that was begun: it failed, or was cancelled while it was awaited."""
    begun = [name for name, state in zip(names, saga.steps, strict=True) if state.begun or state.undo_attempt]
    return begun[-1] if begun else None


def _node(definition: Definition | None, saga: Saga, told: _Told, *, turned: bool) -> Node:
    place = told.number - 1
    status = _forward_status(saga, told)
    text, sub = _forward_words(definition, saga, told, status)
    undo = _undo(definition, saga, told) if turned else None
    return Node(
        told.name,
        f"{told.number} {told.name}",
        status,
        text,
        sub,
        href=f"#{anchor('step', told.name)}" if told.bars else "",
        undo_href=f"#{anchor('undo', told.name)}" if told.of(back=True) else "",
        undo=undo,
        pivot=definition is not None and definition.pivot_index == place,
    )


def _forward_status(saga: Saga, told: _Told) -> str:
    """How the way out of a step ended, also once it is being undone: its own status tells of the way back then."""
    state = told.state
    if state.status is StepStatus.IN_PROGRESS:
        if saga.parked is not None and saga.active_index == told.number - 1:
            return "PARKED"
        return state.status.value if state.retry_at is None else "RETRY"
    if state.status not in _UNDOING:
        return state.status.value
    forward = told.of(back=False)
    last = forward[-1].ending if forward else None
    if last is Ending.DONE or (state.executed and state.reply is not None):
        return StepStatus.SUCCESS.value
    if state.status is StepStatus.NOTHING_TO_UNDO and last in (Ending.FAILED, Ending.AGAIN):
        return StepStatus.FAILED.value
    return StepStatus.IN_DOUBT.value if forward else StepStatus.PENDING.value


def _forward_words(definition: Definition | None, saga: Saga, told: _Told, status: str) -> tuple[str, str]:
    """What stands beside a step's status, and below it."""
    state, forward = told.state, told.of(back=False)
    service = "" if definition is None else definition.steps[told.number - 1].service
    attempts = max((bar.attempt for bar in forward), default=state.attempt)
    where = " · ".join(part for part in (service, told.since(back=False)) if part)
    after = f"after {counted(attempts, 'attempt')}" if attempts > 1 else ""
    by_hand = not forward or forward[-1].ending is not Ending.DONE
    words = {
        "PENDING": ("never begun" if _has_turned(saga) else "to come", service),
        "SUCCESS": ("by hand" if by_hand else f"in {told.took(back=False)}", where),
        "FAILED": (after or "refused", state.error or where),
        "IN_DOUBT": (after or "may have happened", state.error or service),
        "RETRY": (f"attempt {attempts} failed", state.error or service),
        "PARKED": (after or "needs a person", state.error or service),
        "IN_PROGRESS": (_attempt(definition, told, Phase.FORWARD), f"waits for {service}" if service else ""),
    }
    return words.get(status, ("", where))


def _attempt(definition: Definition | None, told: _Told, phase: Phase) -> str:
    attempt = told.state.command_attempt(phase)
    if definition is None:
        return f"attempt {attempt}"
    forward_only = phase is Phase.FORWARD and definition.forward_only(told.number - 1)
    retry = definition.steps[told.number - 1].policy(phase).retry
    return f"attempt {attempt} of {attempts_max(retry, forward_only=forward_only)}"


def _undo(definition: Definition | None, saga: Saga, told: _Told) -> Undo | None:
    """The way back of a step that has one; None where nothing of it is to be undone."""
    state, place = told.state, told.number - 1
    known = definition is not None and definition.undoable(place)
    if state.status not in _UNDOING and not (known and state.status in _WAITING):
        return None
    name = definition.command_type(told.name, Phase.COMPENSATE) if definition is not None and known else "undo"
    service = "its service" if definition is None else definition.steps[place].service
    status, text, sub = _undo_words(definition, saga, told, service)
    return Undo(name, status, text, sub)


def _undo_words(definition: Definition | None, saga: Saga, told: _Told, service: str) -> tuple[str, str, str]:
    """The status of an undo, what stands beside it, and below it."""
    state, back = told.state, told.of(back=True)
    status, since = state.status.value, told.since(back=True)
    if state.status is StepStatus.COMPENSATING and saga.parked is not None:
        return "PARKED", "not undone", state.error or service
    if state.status is StepStatus.COMPENSATING and state.retry_at is not None:
        return "RETRY", f"attempt {state.undo_attempt} failed", state.error or service
    if state.status is StepStatus.COMPENSATING:
        return status, _attempt(definition, told, Phase.COMPENSATE), f"waits for {service}"
    if state.status is StepStatus.NOTHING_TO_UNDO:
        return status, "never done", " · ".join(part for part in (f"{service} has no trace of it", since) if part)
    if state.status is StepStatus.COMPENSATED:
        by_hand = not back or back[-1].ending is not Ending.UNDONE
        return (
            status,
            "by hand" if by_hand else f"in {told.took(back=True)}",
            f"{service} confirmed · {since}" if not by_hand else "",
        )
    return "WAITS", "left as it is" if saga.state is SagaState.COMPENSATED else "its turn comes", service


def _end(saga: Saga, nodes: Sequence[Node], line: Timeline) -> Terminus:
    """Where the picture ends, and whether the saga has come there."""
    took = f"+{seconds(line.ended_at - line.began_at)}"
    left = sum(node.undo is not None and node.undo.status not in ("COMPENSATED", "NOTHING_TO_UNDO") for node in nodes)
    if saga.state is SagaState.COMPLETED:
        return Terminus("Done", took, "completed", "success")
    if saga.state is SagaState.COMPENSATED:
        return Terminus("All undone" if not left else "Closed", took, "compensated", "undone")
    if not _has_turned(saga):
        return Terminus("Done", "", "pending", "pending")
    undone = f"{counted(left, 'undo')} left"
    if saga.state is SagaState.PARKED:
        return Terminus("Not undone", undone, "pending", "pending")
    word = saga_look(saga.state.value)
    return Terminus("Undoing", undone, word.css, word.icon)
