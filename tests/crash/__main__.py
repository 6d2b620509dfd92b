"""`python -m tests.crash [--rounds N] [--seed S]`: kill real processes at all failpoints, again and again.

Each round goes through every failpoint and role once, in another order and at other hit numbers. Each run kills its
process twice: at no moment in particular, and at the point. The last line sums up; files of a violation are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random  # noqa: TID251 -- the one source of chance here
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.brokers import open_broker
from tests.crash.kills import Cell, Killed, cells, hits_max, in_lanes, run_lanes


def main() -> int:
    """Run what the command line asks for.

    The exit code is 1 where an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often to go through the matrix")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="of points and hits")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    results: list[Killed] = []

    def done(killed: Killed) -> None:
        results.append(killed)
        print(killed.row(), flush=True)

    folder = Path(tempfile.mkdtemp(prefix="saga-kills-"))
    with open_broker({**os.environ, "SAGA_TEST_BROKER": os.environ.get("SAGA_TEST_BROKER", "real")}) as broker:
        print(broker.describe(), f"seed {options.seed}", sep="\n", flush=True)
        for number in range(1, options.rounds + 1):
            todo = [Cell(cell.point, cell.role, chance.randint(1, 2 * hits_max(cell.point) - 1)) for cell in cells()]
            chance.shuffle(todo)
            asyncio.run(run_lanes(broker.bootstrap_servers, folder / f"round-{number}", in_lanes(todo), done))
    print_matrix(results)
    violations = [killed for killed in results if killed.violation]
    for killed in violations:
        print(f"VIOLATION at {killed.cell}:\n{killed.violation}")
    kills, sagas = sum(killed.kills for killed in results), sum(killed.sagas for killed in results)
    print(f"kills: runs={len(results)} kills={kills} sagas={sagas} violations={len(violations)}")
    if not violations:
        shutil.rmtree(folder)
    return 1 if violations else 0


def print_matrix(results: Iterable[Killed]) -> None:
    """One line for each failpoint and role, over all rounds."""
    by_cell: dict[tuple[str, str], list[Killed]] = {}
    for killed in results:
        by_cell.setdefault((killed.cell.point, killed.cell.role), []).append(killed)
    print(f"\n  {'failpoint':32}{'role':17}{'runs':>5}  {'at hits':12}{'sagas':>6}{'seconds':>9}{'violations':>12}")
    for (point, role), runs in sorted(by_cell.items()):
        hits = ",".join(str(hit) for hit in sorted({killed.cell.hit for killed in runs}))
        sagas, seconds = sum(killed.sagas for killed in runs), sum(killed.seconds for killed in runs)
        violations = sum(bool(killed.violation) for killed in runs)
        print(f"  {point:32}{role:17}{len(runs):5}  {hits:12}{sagas:6}{seconds:9.1f}{violations:12}")


if __name__ == "__main__":
    raise SystemExit(main())
