"""`python -m tests.simulation [--seeds N] [--first S] [--seed S]`: run seeds; print violations and how to repeat."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter

import structlog

from tests.simulation.checkers import check
from tests.simulation.world import simulate


def main() -> int:
    """Run what the command line asks for.

    The exit code is 1 where an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one only, and tell its settings")
    parser.add_argument("--until-violation", action="store_true", help="stop at the first violation")
    parser.add_argument("--verbose", action="store_true", help="with what the processes log")
    options = parser.parse_args()
    level = logging.DEBUG if options.verbose else logging.CRITICAL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    sagas = violations = 0
    simulated_ms = 0
    crashes: Counter[str] = Counter()
    for seed in seeds:
        world = simulate(seed)
        found = check(world)
        sagas += len(world.orders)
        simulated_ms += world.ended_at_ms
        crashes.update(world.crashes)
        if options.seed is not None:
            print(world.swarm)
            print(Counter(world.crashes))
        for violation in found:
            violations += 1
            print(f"seed {seed}: {violation}\n    repeat: make sim SEED={seed}", flush=True)
        if violations and options.until_violation:
            break
        if sys.stderr.isatty():
            print(f"\r{seed}: {sagas} sagas", end="", file=sys.stderr)
    for point, times in sorted(crashes.items()):
        print(f"  killed {times:6} times at {point}")
    print(
        f"sim: seeds={len(seeds)} sagas={sagas} simulated_hours={simulated_ms / 3_600_000:.1f} violations={violations}"
    )
    return 1 if violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
