"""A version of a saga as the page of definitions draws it: from its code, or from the record that the store has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from kafka_saga.orchestrator.dashboard.drawing.graph import Counts, Graph, Node, Terminus, Undo
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.backoff import attempts_max
from kafka_saga.runtime.wording import duration
from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.ids import Phase


@dataclass(frozen=True, slots=True)
class Standing:
    """How many sagas are at a step: on the way out, on the way back, and stopped on either."""

    out: int = 0
    back: int = 0
    parked_out: int = 0
    parked_back: int = 0

    @property
    def parked(self) -> int:
        """How many need a person."""
        return self.parked_out + self.parked_back


NOBODY = Standing()


@dataclass(frozen=True, slots=True)
class StepOutline:
    """One step.

    Attributes:
        undo: the command that undoes it; None where nothing does.
        timeout_ms, attempts: None where only the record is known, which does not have them.
        href: the sagas that are at it.

    """

    number: int
    name: str
    service: str
    command: str
    undo: str | None
    is_pivot: bool
    href: str
    timeout_ms: int | None = None
    attempts: int | None = None
    at: Standing = field(default=NOBODY)

    @property
    def label(self) -> str:
        """Its number and name."""
        return f"{self.number} {self.name}"

    @property
    def patience(self) -> str:
        """How often it is asked at most, and how long it is waited for each time."""
        if self.timeout_ms is None or self.attempts is None:
            return ""
        return f"{self.attempts} × {duration(self.timeout_ms).replace('.00 s', ' s')}"


def steps_of_code(definition: Definition, at: Mapping[int, Standing]) -> list[StepOutline]:
    """The steps of a definition that this process has, and who is at each."""
    return [
        StepOutline(
            number=number,
            name=step.name,
            service=step.service,
            command=definition.command_type(step.name, Phase.FORWARD),
            undo=None if step.compensation is None else definition.command_type(step.name, Phase.COMPENSATE),
            is_pivot=definition.pivot_index == number - 1,
            href=_sagas_at(definition.saga_type, step.name),
            timeout_ms=step.timeout_ms,
            attempts=attempts_max(step.retry, forward_only=definition.forward_only(number - 1)),
            at=at.get(number, NOBODY),
        )
        for number, step in enumerate(definition.steps, 1)
    ]


def steps_on_record(saga_type: str, description: str | None, at: Mapping[int, Standing]) -> list[StepOutline]:
    """The same of a version that no code here has; nothing where its steps were not stored either."""
    steps: list[dict[str, Any]] = [] if description is None else decode_trusted(description)["steps"]
    return [
        StepOutline(
            number=number,
            name=step["name"],
            service=step["service"],
            command=step["commands"][Phase.FORWARD.value]["type"],
            undo=step["commands"].get(Phase.COMPENSATE.value, {}).get("type"),
            is_pivot=step["pivot"],
            href=_sagas_at(saga_type, step["name"]),
            at=at.get(number, NOBODY),
        )
        for number, step in enumerate(steps, 1)
    ]


def _sagas_at(saga_type: str, step: str) -> str:
    return "/sagas?" + urlencode({"type": saga_type, "step": step})


def graph_of_steps(steps: list[StepOutline]) -> Graph:
    """Both ways of a version, with who is where."""
    nodes = tuple(
        Node(
            step.name,
            step.label,
            step.service,
            step.patience,
            step.command,
            href=step.href,
            undo_href=step.href,
            undo=_undo(step),
            pivot=step.is_pivot,
            counts=_counts(IN_PROGRESS=step.at.out, PARKED=step.at.parked_out),
            drawn_as="PARKED" if step.at.parked_out else "FORTH",
        )
        for step in steps
    )
    edges = tuple((first.name, then.name) for first, then in pairwise(nodes))  # steps are a chain today
    done = Terminus("Done", "", "completed", "success")
    if all(node.undo is None for node in nodes):
        return Graph(nodes, edges, end=done)
    return Graph(nodes, edges, end=Terminus("All undone", "", "compensated", "undone"), done=done)


def _undo(step: StepOutline) -> Undo | None:
    if step.undo is None:
        return None
    counts = _counts(COMPENSATING=step.at.back, PARKED=step.at.parked_back)
    drawn_as = "PARKED" if step.at.parked_back else "BACK"
    return Undo(step.undo, step.service, "undoes it", counts=counts, drawn_as=drawn_as)


def _counts(**by_status: int) -> Counts:
    return tuple(by_status.items())


def told(steps: list[StepOutline]) -> str:
    """Both ways as a sentence, for whoever does not see the picture."""
    out = ", then ".join(f"{step.label} ({step.service})" for step in steps)
    back = ", then ".join(f"{step.undo} of {step.label}" for step in reversed(steps) if step.undo is not None)
    pivot = next((f" From {step.label} on it only goes forward." for step in steps if step.is_pivot), "")
    undone = f"What was done is undone in this order: {back}." if back else "Nothing of it can be undone."
    return f"The way out: {out}.{pivot} {undone}"


def standings(moving: Mapping[tuple[int, bool], int], parked: Mapping[tuple[int, bool], int]) -> dict[int, Standing]:
    """Who is at each step, from numbers by step and whether they are on the way back."""
    moves, stops = Counter(moving), Counter(parked)
    return {
        step: Standing(moves[step, False], moves[step, True], stops[step, False], stops[step, True])
        for step in {step for step, _ in (*moves, *stops)}
    }
