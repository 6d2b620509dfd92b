"""R22: of two databases that want one group only one acts; after an adoption one acts before it, the other after."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.checkers.evidence import Evidence
from tests.simulation.rivals import acted


def check(evidence: Evidence) -> Iterator[str]:
    world = evidence.world
    for name, rival in world.rivals.items():
        own = world.store if name == "orchestrator" else world.services[name]
        ours, theirs = (acted(disk, orchestrator=name == "orchestrator") for disk in (own, rival))
        if not ours or not theirs:
            continue
        if not evidence.swarm.adopted:
            yield f"R22: two databases of {name} acted, {len(ours)} and {len(theirs)} times"
        elif max(ours) >= min(theirs):
            yield f"R22: {name} acted until {max(ours)} although another database did from {min(theirs)} on"
