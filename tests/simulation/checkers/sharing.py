"""R61, R71-R73: replicas declare nobody dead who could not beat, do nobody else's work, and count what there is."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.chance import Swarm
from tests.simulation.checkers.evidence import Evidence


def check(evidence: Evidence) -> Iterator[str]:
    tables, swarm = evidence.world.server.tables, evidence.swarm
    if tables is None:
        return
    yield from tables.violations
    sums = tables.sums()
    count = "SELECT count(*) FROM sagas WHERE held IS NULL AND state IN "
    [(in_flight,)] = evidence.store.execute(count + "('RUNNING', 'COMPENSATING')")
    [(pending,)] = evidence.store.execute(count + "('PENDING')")
    [(unsent,)] = evidence.store.execute("SELECT coalesce(sum(messages), 0) FROM outbox")
    if (sums.in_flight, sums.pending, sums.unsent) != (in_flight, pending, unsent):
        yield f"R72: {sums} are counted, and there are {(in_flight, pending, unsent)}"
    if _is_calm(swarm) and tables.conflicts.keys() - {"settings"}:  # there may be another number of lanes
        yield f"R71: nobody did another's work, and batches were refused: {dict(tables.conflicts)}"
    # Each may have decided before it heard of what the others admitted; and a late success may unpark a saga.
    parked = sum(state == "PARKED" for state in evidence.states.values())
    most = swarm.in_flight_max + (swarm.shared - 1) * -(-swarm.in_flight_max // 2) + parked
    if _is_calm(swarm) and tables.most_in_flight > most:
        yield f"R72: {tables.most_in_flight} were under way together, where {most} may be"


def _is_calm(swarm: Swarm) -> bool:
    """Whether nothing happens by which two replicas may want the same for a moment."""
    faults = (swarm.crash, swarm.freezes, swarm.cuts, swarm.store_outages, swarm.commit_unknown, swarm.outages)
    return not any((*faults, swarm.overlapping, swarm.growths, swarm.recreations, swarm.acts, swarm.unpark))
