"""I16: reading every topic again, from the beginning, changes nothing but counters.

Not compared: sagas that a person must or did look after. A parked saga takes the reply that it waits for (R11), and a
step that was done by hand may still be done by its service, when its command comes after all.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.checkers.evidence import Evidence
from tests.simulation.world import snapshot


def check(evidence: Evidence) -> Iterator[str]:
    before = evidence.world.replayed
    if not before:
        return
    unsettled = {saga_id for saga_id, state in evidence.states.items() if state == "PARKED"}
    unsettled |= {row[0] for row in before["sagas"] if "PARKED" in row}
    unsettled |= evidence.resolved | {saga_id for saga_id, _ in evidence.skipped}
    after = snapshot(evidence.world)
    for table, rows in before.items():
        was = [row for row in rows if row[0] not in unsettled]
        now = [row for row in after[table] if row[0] not in unsettled]
        if was != now:
            changed = sorted({row[0] for row in set(was) ^ set(now)})
            yield f"I16: reading everything again changed {table} for {changed[:5]}"
