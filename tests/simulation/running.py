"""Running seeds: one after the other or on every core, always told in order; a world that spins is found out."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections import Counter, deque
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.pool import AsyncResult
from typing import Any

from tests.simulation.checkers import check
from tests.simulation.world import scenario, simulate

CPU_S_MAX = float(os.environ.get("SIM_CPU_S_MAX", "900"))
"""A seed takes a quarter of a second; a participant that dies at every third call and reads all its commands again
each time (seed 434446644) takes four minutes; one that takes longer spins. Of a processor's time, not of the clock's:
seeds run beside other work."""

CORES = os.cpu_count() or 1

ALONE_MAX = 8
"""So few seeds do not pay for other processes."""


@dataclass(frozen=True)
class Outcome:
    """What one seed came to."""

    seed: int
    sagas: int = 0
    simulated_ms: int = 0
    violations: tuple[str, ...] = ()
    reached: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)


class _Spins(KeyboardInterrupt):  # the one kind of exception that asyncio lets through
    """The simulated world takes too long."""


def outcome_of(seed: int, settings: Mapping[str, Any] | None = None, *, shared: bool = False) -> Outcome:
    """Run one seed and its checkers; with `settings` a world of these faults only, `shared` one of replicas."""
    signal.signal(signal.SIGPROF, _spins)
    signal.setitimer(signal.ITIMER_PROF, CPU_S_MAX)
    try:
        world = simulate(seed, shared=shared) if settings is None else scenario(seed, **settings)
        violations = tuple(check(world))
    except _Spins:
        return Outcome(seed, violations=(f"I21: the simulated world spins: no end after {CPU_S_MAX:g} s of CPU",))
    except Exception:  # noqa: BLE001 -- a world that breaks is a finding, and the other seeds go on
        return Outcome(seed, violations=(f"I21: the simulated world broke: {traceback.format_exc()}",))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return Outcome(
        seed,
        len(world.orders),
        world.ended_at_ms,
        violations,
        world.reached,
        Counter(world.crashes),
        Counter(world.broker.happened),
    )


def outcomes(
    seeds: Iterable[int], *, few: bool, settings: Mapping[str, Any] | None = None, shared: bool = False
) -> Generator[Outcome, None, None]:
    """Run `seeds`; their outcomes in their order. Close the iterator to stop early."""
    if few:
        for seed in seeds:
            yield outcome_of(seed, settings, shared=shared)
        return
    # Forked: the children have this process's logging, and need not import everything again.
    with multiprocessing.get_context("fork").Pool(CORES, _quit_quietly, maxtasksperchild=200) as pool:
        running: deque[AsyncResult[Outcome]] = deque()
        for seed in seeds:
            running.append(pool.apply_async(outcome_of, (seed, settings), {"shared": shared}))
            if len(running) >= 4 * CORES:
                yield running.popleft().get()
        while running:
            yield running.popleft().get()


def _quit_quietly() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's


def _spins(_number: int, _frame: object) -> None:
    raise _Spins
