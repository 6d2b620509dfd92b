"""Are the checkers any good? Each mutant breaks one thing in a copy of the code; the simulator must notice.

`python -m tests.simulation.mutants` prints each mutant with the seed and the invariant that killed it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("runtime", "schemas", "messaging", "orchestrator", "participants", "tests")
SEEDS_MAX = 150
SEED_TIMEOUT_S = 420


class Mutant(NamedTuple):
    """One thing to break: replace `old`, which must be there, by `new`; one of `invariants` must fail."""

    name: str
    file: str
    old: str
    new: str
    invariants: str


MUTANTS = (
    Mutant(
        "a duplicate action runs again",
        "participants/fence.py",
        "(Status.DONE, Phase.FORWARD): Decision.SEND_STORED",
        "(Status.DONE, Phase.FORWARD): Decision.RUN",
        "I3|I4",
    ),
    Mutant(
        "a compensation that comes first leaves no tombstone",
        "participants/fence.py",
        "(Status.CANCELLED, Phase.FORWARD): Decision.FENCED",
        "(Status.CANCELLED, Phase.FORWARD): Decision.RUN",
        "I3|I4",
    ),
    Mutant(
        "an undone action runs again",
        "participants/fence.py",
        "(Status.COMPENSATED, Phase.FORWARD): Decision.FENCED",
        "(Status.COMPENSATED, Phase.FORWARD): Decision.RUN",
        "I3|I4",
    ),
    Mutant(
        "a duplicate compensation runs again",
        "participants/fence.py",
        "(Status.COMPENSATED, Phase.COMPENSATE): Decision.SEND_STORED",
        "(Status.COMPENSATED, Phase.COMPENSATE): Decision.RUN",
        "I3|R18",
    ),
    Mutant(
        "what a failed handler wrote stays",
        "participants/guard.py",
        'await self._connection.execute("ROLLBACK TO command")',
        "pass",
        "I3|I4|I9",
    ),
    Mutant(
        "a command's id changes with every attempt",
        "orchestrator/machine/saga.py",
        "return CommandId(*saga.ref, definition.steps[index].name, phase, saga.steps[index].command_epoch(phase))",
        "return CommandId(*saga.ref, definition.steps[index].name, phase, saga.steps[index].command_attempt(phase))",
        "I1|I3|I4|I21",
    ),
    Mutant(
        "compensation goes forward through the steps",
        "orchestrator/machine/compensation.py",
        "for index in reversed(range(len(draft.steps))):",
        "for index in range(len(draft.steps)):",
        "I6",
    ),
    Mutant(
        "a step in doubt is not undone",
        "orchestrator/machine/forward.py",
        "_fail(draft, index, error, StepStatus.IN_DOUBT)",
        "_fail(draft, index, error, StepStatus.FAILED)",
        "I4",
    ),
    Mutant(
        "the outbox is not published again after a crash",
        "orchestrator/engine/recovery.py",
        "        publisher.add(row)",
        "        publisher.published.append(row.outbox_id)",
        "I14|I19|R3",
    ),
    Mutant(
        "the outbox row is deleted before it is published",
        "orchestrator/engine/publish.py",
        "        self.waiting += len(row.messages)\n",
        "        self.waiting += len(row.messages)\n        self.published.append(row.outbox_id)\n",
        "I14|I19|R3",
    ),
    Mutant(
        "a write does not check the version it read",
        "orchestrator/store/statements.sql",
        "WHERE saga_key = ? AND version = ?;",
        "WHERE saga_key = ? AND ? >= 0;",
        "I11|I12|I21|I3|I4|I5",
    ),
    Mutant(
        "offsets are not stored with the batch",
        "orchestrator/store/sqlite.py",
        "await self._write_offsets(batch.offsets)",
        "pass",
        "I15",
    ),
    Mutant(
        "a doubtful commit is remembered as done",
        "orchestrator/store/sqlite.py",
        "            self._kept.clear()\n",
        "            pass\n",
        "I21|I1",
    ),
    Mutant(
        "a reply of another service counts",
        "orchestrator/engine/decide.py",
        "if reply.record.topic != expected:",
        "if False:",
        "I3|I4|I5",
    ),
    Mutant(
        "a second request with another body starts quietly",
        "orchestrator/engine/decide.py",
        "elif folding.request_hash == request.request_hash:",
        "elif True:",
        "R3",
    ),
    Mutant(
        "timers do not survive a restart",
        "orchestrator/store/statements.sql",
        "SELECT min(wake_at) FROM sagas WHERE wake_at IS NOT NULL;",
        "SELECT NULL;",
        "I21",
    ),
)


def main() -> int:
    """Exit code 1 where a mutant that must die survives."""
    wanted = sys.argv[1:]
    mutants = [mutant for mutant in MUTANTS if not wanted or any(word in mutant.name for word in wanted)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(_try, mutants))
    killed = sum(result is not None for result in results)
    survivors = [mutant.name for mutant, result in zip(mutants, results, strict=True) if result is None]
    for name in survivors:
        print(f"SURVIVED  {name}")
    print(f"mutants: killed={killed} total={len(mutants)}")
    return 1 if survivors else 0


def _try(mutant: Mutant) -> str | None:
    """What killed the mutant, or None."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for room in ROOMS:
            shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
        target = copy / mutant.file
        text = target.read_text()
        if mutant.old not in text:
            sys.exit(f"{mutant.name}: {mutant.file} has changed; bring the mutant up to date")
        target.write_text(text.replace(mutant.old, mutant.new))
        command = [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS_MAX), "--until-violation"]
        try:
            run = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=SEED_TIMEOUT_S, check=False)
            output = run.stdout + run.stderr[-300:]
        except subprocess.TimeoutExpired:
            output = "seed ?: I21: the simulated world spins"
    found = re.search(rf"seed (\S+): ({mutant.invariants})\b.*", output)
    if found is None:
        return None
    print(f"killed by seed {found[1]:>4} ({found[2]}): {mutant.name}", flush=True)
    return found[0]


if __name__ == "__main__":
    raise SystemExit(main())
