"""`python -m tests.simulation`: run seeds; tell what they violate, and how to repeat it."""

from __future__ import annotations

import argparse
import json
import logging
import random  # noqa: TID251 -- fresh seeds; each is printed where it finds something
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

import structlog

from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.failpoints import FAILPOINTS
from tests.simulation.chance import draw, draw_shared
from tests.simulation.running import ALONE_MAX, Outcome, outcomes

COVERED_FROM = 200
"""So many seeds come to every failpoint and die at each; where they do not, the simulator is at fault."""

SEEDS_THAT_TELL = 100

PROGRESS_SEEDS = 200
"""How often a run that nobody watches says how far it is."""


class Report:
    """Counts outcomes and prints what they found."""

    def __init__(self, *, total: int | None, draws: bool, replicas: bool = False) -> None:
        self.seeds = 0
        self.sagas = 0
        self.simulated_ms = 0
        self.failed: list[int] = []
        self.violations = 0
        self.reached: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()
        self._total = total
        self._draws = draws
        self._more = " REPLICAS=1" if replicas else ""

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.sagas += outcome.sagas
        self.simulated_ms += outcome.simulated_ms
        self.reached.update(outcome.reached)
        self.crashes.update(outcome.crashes)
        self.happened.update(outcome.happened)
        if outcome.violations:
            self.failed.append(outcome.seed)
        for violation in outcome.violations:
            self.violations += 1
            print(f"seed {outcome.seed}: {violation}\n    repeat: make sim SEED={outcome.seed}{self._more}", flush=True)
        of = "" if self._total is None else f" of {self._total}"
        if sys.stderr.isatty():
            print(f"\r{self.seeds}{of} seeds, {self.sagas} sagas ", end="", file=sys.stderr, flush=True)
        elif self._total is None and self.seeds % PROGRESS_SEEDS == 0:
            print(f"{self.seeds} seeds, {self.sagas} sagas, {self.violations} violations", flush=True)

    def close(self) -> int:
        """Print the sums; the exit code."""
        if sys.stderr.isatty():
            print(file=sys.stderr)
        for what, times in sorted(self.happened.items()):
            print(f"  {times:6} times  {what}")
        for point in FAILPOINTS:
            print(f"  {self.crashes[point]:6} deaths {point} (passed {self.reached[point]} times)")
        if self.seeds >= COVERED_FROM and self._draws:
            for point in FAILPOINTS:
                if not self.crashes[point]:
                    self.violations += 1
                    print(f"the simulator never died at {point}: it does not test what it should")
        hours = self.simulated_ms / 3_600_000
        if self.failed:
            print(f"seeds with violations: {' '.join(map(str, self.failed))}")
        print(rate(len(self.failed), self.seeds))
        print(
            f"sim: seeds={self.seeds} sagas={self.sagas} simulated_hours={hours:.1f} violations={self.violations}",
            flush=True,
        )
        return 1 if self.violations else 0


def rate(failed: int, seeds: int) -> str:
    """How often a seed finds something, and how little that says where few were run."""
    if failed:
        return f"rate: {failed} of {seeds} seeds, 1 in {seeds / failed:.0f}"
    if seeds < SEEDS_THAT_TELL:
        return f"rate: 0 of {seeds} seeds; too few to tell"
    return f"rate: 0 of {seeds} seeds; below 1 in {seeds / 3:.0f} with 95 % certainty"  # the rule of three


def main() -> int:
    """Run what the command line asks for.

    The exit code is 1 where an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one only, and tell its settings")
    parser.add_argument("--hours", type=float, help="run fresh seeds until so much time has passed")
    parser.add_argument("--settings", type=json.loads, help="JSON: a world of these faults only (fields of Swarm)")
    parser.add_argument("--replicas", action="store_true", help="worlds in which replicas share the store")
    parser.add_argument("--until-violation", action="store_true", help="stop at the first violation")
    parser.add_argument("--alone", action="store_true", help="use one core only")
    parser.add_argument("--verbose", action="store_true", help="with what the processes log")
    options = parser.parse_args()
    level = logging.DEBUG if options.verbose else logging.CRITICAL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    seeds: Iterable[int] = range(options.first, options.first + options.seeds)
    total: int | None = options.seeds
    if options.seed is not None:
        print((draw_shared if options.replicas else draw)(options.seed)[1])
        seeds, total = [options.seed], 1
    elif options.hours is not None:
        seeds, total = _fresh(options.hours), None
    draws = options.settings is None and not options.replicas
    report = Report(total=total, draws=draws, replicas=options.replicas)
    few = options.alone or (total is not None and total <= ALONE_MAX)
    running = outcomes(seeds, few=few, settings=options.settings, shared=options.replicas)
    for outcome in running:
        report.add(outcome)
        if outcome.violations and options.until_violation:
            break
    running.close()
    return report.close()


def _fresh(hours: float) -> Iterator[int]:
    """Seeds that nobody has run, until the time is up."""
    clock, chance = SystemClock(), random.SystemRandom()
    ends_at_ms = clock.monotonic_ms() + hours * 3_600_000
    while clock.monotonic_ms() < ends_at_ms:
        yield chance.randrange(10**9)


if __name__ == "__main__":
    raise SystemExit(main())
