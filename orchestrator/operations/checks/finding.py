"""What a check found, in numbers and words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "note", "warning", "wrong", "unreachable"]
"""`note`: worth knowing, nothing to do. `warning`: somebody should look, soon. `wrong`: something does not work now.
`unreachable`: Kafka or the store does not answer, so that less could be seen."""

NAMES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `details` is for programs: the numbers, ids and topics that `found` speaks of."""

    verdict: Verdict
    check: str
    found: str
    remedy: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    more = len(every) - NAMES_SHOWN
    return ", ".join(every[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def lasting(length_ms: int) -> str:
    """A length of time for people: `45 s`, `4 min 10 s`, `3 h 12 min`, `2 d 5 h`."""
    seconds = round(max(0, length_ms) / 1_000)
    for unit_s, unit, part_s, part in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= unit_s:
            rest = seconds % unit_s // part_s
            return f"{seconds // unit_s:,} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{seconds} s"
