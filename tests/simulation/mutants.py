"""Are the checkers any good? Each mutant breaks one thing in a copy of the code; the simulator must notice.

`python -m tests.simulation.mutants [words of a name …]` prints each mutant with the seed and the invariant that
killed it. A mutant that no seed notices is a hole in the checkers, or in the faults.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.simulation.breakages import MUTANTS
from tests.simulation.breaking import ROOT, Mutant

COPIED = ("src", "runtime", "schemas", "messaging", "orchestrator", "participants", "tests")
SEEDS_MAX = 100
PARALLEL = 2
WALL_S_MAX = 1_200
"""A mutant may well hang; that is found by the seed's own limit, and this one is for what hangs beyond it."""


def main() -> int:
    """Exit code 1 where a mutant that must die survives, or one is out of date."""
    wanted = sys.argv[1:]
    mutants = [mutant for mutant in MUTANTS if not wanted or any(word in mutant.name for word in wanted)]
    stale = [mutant for mutant in mutants if mutant.is_stale]
    for mutant in stale:
        print(f"STALE     {mutant.name}: {mutant.file} has changed; bring the mutant up to date", flush=True)
    fresh = [mutant for mutant in mutants if mutant not in stale]
    with ThreadPoolExecutor(PARALLEL) as pool:
        results = list(pool.map(_is_killed, fresh))
    print(f"mutants: killed={sum(results)} total={len(mutants)}")
    return 0 if all(results) and not stale else 1


def _is_killed(mutant: Mutant) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        target = copy / mutant.file
        target.write_text(target.read_text().replace(mutant.old, mutant.new))
        command = [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS_MAX), "--until-violation", "--alone"]
        if mutant.settings is not None:
            command += ["--settings", json.dumps(mutant.settings)]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(copy / "src"), "SIM_CPU_S_MAX": "60"}
        try:
            run = subprocess.run(
                command, cwd=copy, env=environment, capture_output=True, text=True, timeout=WALL_S_MAX, check=False
            )
            output = run.stdout + run.stderr[-2_000:]
        except subprocess.TimeoutExpired:
            output = "seed ?: I21: the simulated world spins"
    found = re.search(rf"seed (\S+): ({mutant.invariants})\b.*", output)
    if found is None:
        noticed = [line for line in output.splitlines() if line.startswith("seed ")] or [output[-300:]]
        print(f"SURVIVED  {mutant.name}", *noticed[:3], sep="\n          ", flush=True)
        return False
    print(f"killed by seed {found[1]:>4} ({found[2]}): {mutant.name}", flush=True)
    return True


if __name__ == "__main__":
    raise SystemExit(main())
