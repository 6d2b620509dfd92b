"""Ways of breaking what says whose a group is, and what a restore begins: see `breakages`."""

from __future__ import annotations

from tests.simulation.breaking import Mutant

_CLAIMS = "messaging/claims.py"

OWNERS = (
    Mutant(
        "a claim is not read back",
        _CLAIMS,
        "        self._refuse_another(found)\n        if found.keys()",
        "        if found.keys()",
        "R22",
        {"orders": 30, "rival_after_ms": 0},
    ),
    Mutant(
        "who finds another owner goes on",
        _CLAIMS,
        "        while self.lost is None:",
        "        while True:",
        "R22",
        {"orders": 80, "spread_ms": 60_000, "rival_after_ms": 20_000, "adopted": True},
    ),
    Mutant(
        "who lost his group finishes what he has in hand, and more",
        "runtime/process.py",
        "        for task in tasks - {doing}:\n            if task.done():\n                task.result()\n",
        "",
        "R22",
        {"orders": 80, "spread_ms": 60_000, "rival_after_ms": 20_000, "adopted": True},
    ),
)

_REFUSING = [["SAGA_FAULT_REJECT", "createOrder:every=2"], ["SAGA_FAULT_LOSE", "*:every=3"]]
_CONTENDED = {"orders": 60, "spread_ms": 15_000, "latency_ms_max": 200, "handler_faults": [["orders", _REFUSING]]}

RESTORE = (
    Mutant(
        "old replies are applied after a restore",
        "orchestrator/operations/store/restoring.py",
        "return Life(number, ahead, ends.of(*requests), errors), ends.of(*replies)",
        "return Life(number, ahead, ends.of(*requests), errors), {}",
        "I4|I5|I9|I10",
        {**_CONTENDED, "restore": "all"},
    ),
    Mutant(
        "old commands are applied after a restore",
        "participants/store/restoring.py",
        "(*partition, offset, now_ms) for partition, offset in positions.items()",
        "(*partition, offset, now_ms) for partition, offset in ()",
        "I3|I4|I5|I8|I9",
        {**_CONTENDED, "restore": "all"},
    ),
    Mutant(
        "a new life tells its events under the numbers of the old one",
        "orchestrator/store/lives.py",
        "return self.number * SEQUENCES_A_LIFE",
        "return 0",
        "R26|R59",
        {**_CONTENDED, "restore": "all"},
    ),
    Mutant(
        "what cannot be sent after a restore was surely never sent",
        "orchestrator/engine/decide.py",
        "may_be_out = unsent.may_be_out or unsent.message.topic in ahead",
        "may_be_out = unsent.may_be_out",
        "I4|R56",
        {**_CONTENDED, "restore": "orchestrator", "refusals": 6, "spread_ms": 30_000, "fault_phase_ms": 60_000},
    ),
    Mutant(
        "a cancel before the start forgets what an earlier life may have done",
        "orchestrator/machine/acts.py",
        "    compensation.begin(draft)\n    return draft.finish()\n\n\ndef on_cancel_running",
        "    draft.state = SagaState.COMPENSATED\n    return draft.finish()\n\n\ndef on_cancel_running",
        "I4|I9|R26",
        {**_CONTENDED, "restore": "orchestrator", "acts": 60, "in_flight_max": 1, "fault_phase_ms": 30_000},
    ),
)
