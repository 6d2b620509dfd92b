"""The state machine as people see it: docs/state-machine.md, drawn from the table that decides.

`EDGES` says where each rule may lead. The table holds functions, which cannot tell; a test walks every reachable
saga and requires that exactly these edges are taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Final

from kafka_saga.orchestrator.machine.decision import Refused, Unchanged
from kafka_saga.orchestrator.machine.states import TERMINAL, EventKind, IgnoredReason, SagaState
from kafka_saga.orchestrator.machine.transitions import TABLE

_P, _R, _C = SagaState.PENDING, SagaState.RUNNING, SagaState.COMPENSATING
_DONE, _UNDONE, _PARKED = SagaState.COMPLETED, SagaState.COMPENSATED, SagaState.PARKED

EDGES: Final[Mapping[tuple[SagaState, EventKind], frozenset[SagaState]]] = {
    (_P, EventKind.ADMITTED): frozenset({_R, _PARKED}),
    (_P, EventKind.PARK): frozenset({_PARKED}),
    (_P, EventKind.RESTORED): frozenset({_P}),
    (_P, EventKind.CANCEL): frozenset({_C, _UNDONE}),
    (_P, EventKind.PAUSE): frozenset({_P}),
    (_P, EventKind.RESUME): frozenset({_P}),
    (_R, EventKind.SUCCESS): frozenset({_R, _DONE, _PARKED}),
    (_R, EventKind.FAILURE): frozenset({_C, _UNDONE, _PARKED}),
    (_R, EventKind.RETRY): frozenset({_R, _C, _UNDONE, _PARKED}),
    (_R, EventKind.UNREADABLE): frozenset({_R}),
    (_R, EventKind.NOT_SENT): frozenset({_C, _UNDONE, _PARKED}),
    (_R, EventKind.TIMER): frozenset({_R, _C, _UNDONE, _PARKED}),
    (_R, EventKind.PARK): frozenset({_PARKED}),
    (_R, EventKind.CANCEL): frozenset({_C, _UNDONE, _PARKED}),
    (_R, EventKind.RETRY_NOW): frozenset({_R}),
    (_R, EventKind.SKIP): frozenset({_R, _DONE, _PARKED}),
    (_R, EventKind.RELEASED): frozenset({_R, _PARKED}),
    (_R, EventKind.RESTORED): frozenset({_R}),
    (_R, EventKind.PAUSE): frozenset({_R}),
    (_R, EventKind.RESUME): frozenset({_R, _PARKED}),
    (_C, EventKind.SUCCESS): frozenset({_C, _UNDONE, _PARKED}),
    (_C, EventKind.FAILURE): frozenset({_PARKED}),
    (_C, EventKind.RETRY): frozenset({_C, _PARKED}),
    (_C, EventKind.UNREADABLE): frozenset({_C}),
    (_C, EventKind.NOT_SENT): frozenset({_PARKED}),
    (_C, EventKind.TIMER): frozenset({_C, _PARKED}),
    (_C, EventKind.PARK): frozenset({_PARKED}),
    (_C, EventKind.RETRY_NOW): frozenset({_C}),
    (_C, EventKind.SKIP): frozenset({_C, _UNDONE, _PARKED}),
    (_C, EventKind.RELEASED): frozenset({_C, _PARKED}),
    (_C, EventKind.RESTORED): frozenset({_C}),
    (_C, EventKind.PAUSE): frozenset({_C}),
    (_C, EventKind.RESUME): frozenset({_C, _PARKED}),
    (_PARKED, EventKind.RESTORED): frozenset({_PARKED}),
    (_PARKED, EventKind.SUCCESS): frozenset({_R, _C, _DONE, _UNDONE, _PARKED}),
    (_PARKED, EventKind.FAILURE): frozenset({_C, _UNDONE, _PARKED}),
    (_PARKED, EventKind.CANCEL): frozenset({_C, _UNDONE, _PARKED}),
    (_PARKED, EventKind.RETRY_NOW): frozenset({_P, _R, _C, _PARKED}),
    (_PARKED, EventKind.SKIP): frozenset({_R, _C, _DONE, _UNDONE, _PARKED}),
    (_PARKED, EventKind.RESOLVE): frozenset({_DONE, _UNDONE}),
    (_PARKED, EventKind.RESUME): frozenset({_PARKED}),
}

BEGIN: Final = (
    "<!-- generated from orchestrator/machine/transitions.py by `python -m kafka_saga.orchestrator.contract` -->"
)
END: Final = "<!-- end of the generated part -->"


def with_drawing(page: str) -> str:
    """`page` with the part between its marks drawn anew; all else in it is written by hand."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the page has lost its first mark"
    assert end, "the page has lost its second mark"
    return f"{before}{BEGIN}\n\n{drawing()}\n{END}{after}"


def drawing() -> str:
    """The diagram, then one table for each state."""
    parts = ["```mermaid", *_diagram(), "```", ""]
    for state in SagaState:
        parts += [f"### {state.value}", "", "| event | what happens | leads to |", "|---|---|---|"]
        parts += [_row(state, kind) for kind in EventKind]
        parts.append("")
    return "\n".join(parts)


def _diagram() -> list[str]:
    lines = ["stateDiagram-v2", f"    [*] --> {_P.value}"]
    for source in SagaState:
        for target in SagaState:
            kinds = [kind.value for kind in EventKind if source != target and target in EDGES.get((source, kind), ())]
            if kinds:
                lines.append(f"    {source.value} --> {target.value}: {', '.join(kinds)}")
    return lines + [f"    {state.value} --> [*]" for state in SagaState if state in TERMINAL]


def _row(state: SagaState, kind: EventKind) -> str:
    entry = TABLE[state, kind]
    targets = EDGES.get((state, kind), frozenset())
    leads_to = ", ".join(target.value for target in SagaState if target in targets)
    return f"| {kind.value} | {_meaning(entry)} | {leads_to} |"


def _meaning(entry: Callable[..., object] | IgnoredReason | Refused | Unchanged) -> str:
    match entry:
        case IgnoredReason():
            return f"ignored: `{entry.value}`"
        case Refused(message):
            return f"refused: {message}"
        case Unchanged(message):
            return f"nothing to do: {message}"
        case rule:
            first_line = (inspect.getdoc(rule) or "").partition("\n")[0]
            assert first_line, f"{rule} needs a docstring: it stands in docs/state-machine.md"
            return first_line
