"""How states are shown: a shape, a word of ours for people, and a class that colours both. The exact word stays."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """How one status looks: its class in the style sheets, the shape's name in the sprite, and plain words."""

    css: str
    icon: str
    plain: str


UNKNOWN = Look("unknown", "unknown", "")
"""A status that a newer program wrote: a square and its own word."""

STEPS = {
    "PENDING": Look("pending", "pending", "not begun"),
    "IN_PROGRESS": Look("progress", "progress", "sent, no reply yet"),
    "RETRY": Look("retry", "retry", "waits to try again"),
    "TIMEOUT": Look("timeout", "retry", "no reply in time"),
    "SUCCESS": Look("success", "success", "done"),
    "FAILED": Look("failed", "failed", "did not work"),
    "IN_DOUBT": Look("doubt", "doubt", "may have happened"),
    "WAITS": Look("pending", "later", "its turn comes"),
    "COMPENSATING": Look("undoing", "undoing", "being undone"),
    "COMPENSATED": Look("undone", "undone", "undone"),
    "NOTHING_TO_UNDO": Look("nothing", "nothing", "had never happened"),
    "LATE_SUCCESS": Look("doubt", "success", "done, and too late"),
    "SKIPPED": Look("skipped", "skipped", "not needed"),
    "PARKED": Look("parked", "parked", "needs a person"),
    "HELD": Look("held", "held", "paused by a person"),
    # of no saga: what a definition says
    "FORTH": Look("forth", "forth", ""),
    "BACK": Look("undoes", "undoing", ""),
}

SAGAS = {
    "PENDING": Look("pending", "pending", "waits to begin"),
    "RUNNING": Look("running", "progress", "going forward"),
    "COMPENSATING": Look("compensating", "undoing", "being undone"),
    "COMPLETED": Look("completed", "success", "all done"),
    "COMPENSATED": Look("compensated", "undone", "undone"),
    "PARKED": Look("parked", "parked", "needs a person"),
}

RESULTS = {
    "waiting": Look("retry", "retry", "taken, no effect yet"),
    "succeeded": Look("success", "success", "worked"),
    "failed": Look("failed", "failed", "failed again"),
    "refused": Look("failed", "failed", "refused"),
    "unchanged": Look("pending", "pending", "changed nothing"),
}


_AFTER_A_NUMBER = {"IN_PROGRESS": "under way", "PARKED": "in need of a person"}
"""What is said of many sagas, where the words for one step would not fit: `3 in need of a person`."""


def counted_as(status: str) -> str:
    """What stands after the number of sagas whose step has this status."""
    return _AFTER_A_NUMBER.get(status, step_look(status).plain or status)


def step_look(status: str) -> Look:
    """How a step's status looks."""
    return STEPS.get(status, UNKNOWN)


def saga_look(state: str) -> Look:
    """How a saga's state looks."""
    return SAGAS.get(state, UNKNOWN)


def result_look(result: str) -> Look:
    """How what an act came to looks."""
    return RESULTS.get(result, UNKNOWN)
