"""`python -m tests.chaos [--minutes N] [--orders N] [--seed S]`: break a cluster at random, and count what came of it.

Real Kafka, a real PostgreSQL, three orchestrators in network namespaces, two workers of each service. Orders come at a
steady rate while one fault follows another. At the end every saga has ended, each effect has happened at most once,
the sums are right in the services' own tables, and no timeout was ever told, since no fault lasts as long as one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from tests.chaos.run import Chaos, Plan


def main() -> int:
    """Run what the command line asks for; exit code 1 where an invariant was violated."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="how long faults are made")
    parser.add_argument("--orders", type=int, default=50_000, help="how many orders at most")
    parser.add_argument("--rate", type=int, default=80, help="orders a second")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="of the faults")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="saga-chaos-"))
    plan = Plan(int(options.minutes * 60_000), options.orders, options.rate, options.seed)
    print(f"seed {options.seed}", flush=True)
    chaos = Chaos(plan, folder, print)
    try:
        asyncio.run(chaos.run())
    except AssertionError as error:
        print(f"VIOLATION: {error}\nlogs are kept in {folder}")
        print(chaos.summary(violations=1))
        return 1
    print(chaos.summary(violations=0))
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
