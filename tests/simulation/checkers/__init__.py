"""The invariants (reliability I1-I23), each read from databases and topics, never from the engine's own opinion.

One file an invariant, or a family of them; each has `check(evidence)`, which yields violations as `I3: what`.
"""

from __future__ import annotations

from tests.simulation.checkers import (
    acts,
    commands,
    conservation,
    effects,
    ended,
    events,
    fences,
    history,
    letters,
    offsets,
    orphans,
    owners,
    refusals,
    replaying,
    sharing,
    timers,
    undoing,
)
from tests.simulation.checkers.evidence import Evidence
from tests.simulation.world import World

CHECKERS = (
    owners,
    ended,
    effects,
    conservation,
    fences,
    history,
    undoing,
    commands,
    refusals,
    offsets,
    orphans,
    timers,
    letters,
    events,
    acts,
    replaying,
    sharing,
)


def check(world: World) -> list[str]:
    """Every violation found."""
    evidence = Evidence(world)
    if world.swarm.adopted:  # two databases share what was done, and no other checker knows of more than one
        return list(owners.check(evidence))
    return [violation for checker in CHECKERS for violation in checker.check(evidence)]
