"""Ways of breaking the code, one line each. Every one of them loses money, orders or the truth somewhere.

An anchor is as short as it can be and still stand only once, so that it survives what others do around it. One that
is gone fails `test_mutants.py`, and with it the suite: bring it up to date, or say why it cannot happen any more.
"""

from __future__ import annotations

from tests.simulation.breaking import Mutant
from tests.simulation.owner_breakages import OWNERS, RESTORE
from tests.simulation.refusal_breakages import REFUSALS
from tests.simulation.replica_breakages import REPLICAS

_FENCE = "participants/fence.py"
_GUARD = "participants/guard.py"
_WORKPLACE = "participants/store/sqlite_workplace.py"
_STORE = "orchestrator/store/sqlite.py"
_SQL = "orchestrator/store/statements.sql"
_DECIDE = "orchestrator/engine/decide.py"
_DRAIN = "orchestrator/engine/drain.py"
_OWNERSHIP = "orchestrator/engine/ownership.py"

_SERVICES = ("inventory", "payment", "orders")
_LOSING = [[service, [["SAGA_FAULT_LOSE", "*:every=3"]]] for service in _SERVICES]
_REFUSING = [["orders", [["SAGA_FAULT_REJECT", "createOrder:every=2"], ["SAGA_FAULT_LOSE", "*:every=3"]]]]
"""Services that lose every third reply, or refuse every second order."""

_AFTER_PUBLISHING = [["orchestrator.outbox.after", 0.3], ["orchestrator.hint.before", 0.1]]
"""Deaths after the outbox row is gone."""

PARTICIPANT = (
    Mutant(
        "a duplicate action runs again",
        _FENCE,
        "(Status.DONE, Phase.FORWARD): Decision.SEND_STORED",
        "(Status.DONE, Phase.FORWARD): Decision.RUN",
        "I3|I4",
    ),
    Mutant(
        "a compensation that comes first leaves no tombstone",
        _FENCE,
        "(Status.CANCELLED, Phase.FORWARD): Decision.FENCED",
        "(Status.CANCELLED, Phase.FORWARD): Decision.RUN",
        "I3|I4|I7",
        {"orders": 30, "duplicate": 0.1, "late_copies": 0.3, "handler_faults": _REFUSING},
    ),
    Mutant(
        "an undone action runs again",
        _FENCE,
        "(Status.COMPENSATED, Phase.FORWARD): Decision.FENCED",
        "(Status.COMPENSATED, Phase.FORWARD): Decision.RUN",
        "I3|I4|I7|I8",
    ),
    Mutant(
        "a duplicate compensation runs again",
        _FENCE,
        "(Status.COMPENSATED, Phase.COMPENSATE): Decision.SEND_STORED",
        "(Status.COMPENSATED, Phase.COMPENSATE): Decision.RUN",
        "I1|I3|I7|I8|R18",
    ),
    Mutant(
        "a compensation does not wait for the call that is in doubt",
        _FENCE,
        "(Status.STARTED, Phase.COMPENSATE): Decision.WAIT",
        "(Status.STARTED, Phase.COMPENSATE): Decision.CANCEL",
        "I9|I21",
        {"orders": 30, "external": True, "lose_ack": 0.2},
    ),
    Mutant(
        "the fence is not written",
        _GUARD,
        "await self._store.save(self._changed.values())",
        "pass",
        "I3|I8|I21",
    ),
    Mutant(
        "what a failed handler wrote stays",
        _WORKPLACE,
        "self._run(self._undo)",
        "pass",
        "I3|I4|I8|I9",
    ),
    Mutant(
        "a call is made again with another key",
        "participants/calls.py",
        "function(call.body, call.idempotency_key)",
        'function(call.body, f"{call.idempotency_key}/{call.command.head.attempt}")',
        "I3|I9",
        {"orders": 30, "external": True, "lose_ack": 0.2},
    ),
    Mutant(
        "an undoing outside is not noted before its call",
        _GUARD,
        "self._put(row._replace(status=Status.UNDOING,",
        "0 and self._put(row._replace(status=Status.UNDOING,",
        "I3|I7|I8|I9|I15|I21",
        {"orders": 30, "external": True, "lose_ack": 0.2, "handler_faults": _REFUSING},
    ),
    Mutant(
        "an undoing that is in doubt counts as not begun",
        _FENCE,
        "(Status.UNDOING, Phase.COMPENSATE): Decision.RUN",
        "(Status.UNDOING, Phase.COMPENSATE): Decision.CANCEL",
        "I3|I4|I7|I8|I9|I21",
        {"orders": 30, "external": True, "lose_ack": 0.2, "handler_faults": _REFUSING},
    ),
    Mutant(
        "nobody notices that a handler lost the transaction",
        _WORKPLACE,
        "raise TransactionLostError(ROLLED_BACK) from None",
        "return None",
        "I3|I4|I8|I9|I15|I21|R23",
        {"orders": 30, "spread_ms": 1, "spoils": 0.1},
    ),
    Mutant(
        "who writes on after a rollback writes outside of any transaction",
        "runtime/confinement.py",
        'self._connection.execute("BEGIN")',
        "pass",
        "I3|I4|I8|I9",
        {"orders": 30, "spread_ms": 1, "spoils": 0.1},
    ),
)

MACHINE = (
    Mutant(
        "a command's id changes with every attempt",
        "orchestrator/machine/draft.py",
        "state.command_epoch(phase)",
        "attempt",
        "I1|I3|I4|I13|I21",
    ),
    Mutant(
        "a command's id is random",
        "orchestrator/machine/draft.py",
        "state.command_epoch(phase)",
        '1 + __import__("os").urandom(1)[0]',
        "I13|I21",
    ),
    Mutant(
        "compensation goes forward through the steps",
        "orchestrator/machine/compensation.py",
        "in reversed(range(len(steps)))",
        "in range(len(steps))",
        "I6",
    ),
    Mutant(
        "a step in doubt is not undone",
        "orchestrator/machine/forward.py",
        "\n    _fail(draft, index, error, StepStatus.IN_DOUBT)",
        "\n    _fail(draft, index, error, StepStatus.FAILED)",
        "I4",
    ),
    Mutant(
        "the step in flight is forgotten by a cancel",
        "orchestrator/machine/acts.py",
        "status=StepStatus.IN_DOUBT",
        "status=StepStatus.FAILED",
        "I4|I9",
    ),
)

ENGINE = (
    Mutant(
        "the outbox is not published again after a crash",
        "orchestrator/engine/recovery.py",
        "        publisher.add(row, may_be_out=True)",
        "        publisher.published.append(row.outbox_id)",
        "I14|I19|R3|R21|R26",
        {"orders": 30, "crash": [["orchestrator.publish.before", 0.2]]},
    ),
    Mutant(
        "the outbox row is deleted before it is published",
        "orchestrator/engine/publish.py",
        "        self._arrived.set()\n\n    def take_published",
        "        self._arrived.set()\n        self.published.append(row.outbox_id)\n\n    def take_published",
        "I14|I19|R3|R21|R26",
    ),
    Mutant(
        "dead letters are not published",
        _DECIDE,
        "batch.messages += letters",
        "pass",
        "I19|R3",
    ),
    Mutant(
        "a reply of another service counts",
        _DECIDE,
        "if reply.record.topic != expected:",
        "if False:",
        "I3|I4|I5|I10",
    ),
    Mutant(
        "a second request with another body starts quietly",
        _DECIDE,
        "elif earlier.request_hash == request.request_hash:",
        "elif True:",
        "R3",
    ),
    Mutant(
        "timers fire before the replies are read",
        "orchestrator/engine/timers.py",
        "if self._drain.reached_at < self._next_wake_at:",
        "self._drain.reached_at = now\n        if False:",
        "R21",
        {"orders": 30, "rebalance": 0.05, "fault_phase_ms": 60_000},
    ),
    Mutant(
        "an end that an open transaction hides is not asked for",
        _DRAIN,
        "elif position < extent.end and",
        "elif position < extent.stable and",
        "R21",
        {"orders": 30, "spread_ms": 20_000, "transactions": 3},
    ),
    Mutant(
        "partitions that are not read yet are not waited for",
        _DRAIN,
        "if extent.end > 0:",
        "if False:",
        "R21",
        {"orders": 30, "spread_ms": 20_000, "growths": 6, "partitions": 1},
    ),
    Mutant(
        "a question about ends that fails is taken as answered",
        _DRAIN,
        "            self._outages.began()\n            return None\n",
        "            return Answer(began_at, {}, before)\n",
        "R21",
        {"orders": 30, "spread_ms": 20_000, "leaderless": 3},
    ),
    Mutant(
        "a wait begins before its command is published",
        _OWNERSHIP,
        "return max(parts.outages.ended_at, decided_at)",
        "return decided_at",
        "R21",
        {"orders": 30, "spread_ms": 60_000, "outages": 8, "outage_ms_max": 6_000},
    ),
    Mutant(
        "what is known of an outage dies with the process",
        "orchestrator/engine/outages.py",
        "self._known = self._stored = await store.outage()",
        "pass",
        "R21",
        {
            "orders": 30,
            "spread_ms": 1,
            "outages": 2,
            "outage_ms_max": 20_000,
            "in_flight_max": 1,
            "latency_ms_max": 500,
            "slow_commit": 1,
            "restart_ms": [50],
            "crash": _AFTER_PUBLISHING,
        },
    ),
    Mutant(
        "what is in hand is forgotten at a conflict",
        "orchestrator/engine/ladder.py",
        "self._hand.append(_Part(inputs.taken, inputs.resets))",
        "self._hand.append(_Part([], []))",
        "I2|I15|I19|R3|R21",
        {"orders": 80, "spread_ms": 1, "replicas": 2},
    ),
    Mutant(
        "a topic's new beginning is not stored",
        "orchestrator/engine/intake.py",
        "inputs.offsets[reset.partition] = Advance(known, reset.position)",
        "pass",
        "I15",
        {"orders": 10, "recreations": 3},
    ),
    Mutant(
        "the store's clock stands still while the wall clock is behind",
        "runtime/clock.py",
        "self._newest_ms + read_at_ms - self._read_at_ms",
        "self._newest_ms",
        "I1|I21",
        {"orders": 30, "spread_ms": 60_000, "clock_jumps": 5, "handler_faults": _LOSING},
    ),
)

STORE = (
    Mutant(
        "what a row in memory does not want is forgotten, whoever changed the saga",
        _STORE,
        "                await self._check_kept(batch.unchanged)\n",
        "",
        "R21",
        {"orders": 30, "spread_ms": 60_000, "replicas": 2, "in_flight_max": 1, "partitions": 1, "latency_ms_max": 500},
    ),
    Mutant(
        "a write does not check the version it read",
        _SQL,
        "WHERE saga_key = ? AND version = ?;",
        "WHERE saga_key = ? AND ? >= 0;",
        "I11|I12|I21|I3|I4|I5",
        {"orders": 80, "replicas": 2},
    ),
    Mutant(
        "offsets are not stored with the batch",
        _STORE,
        "                await self._write_offsets(batch.offsets)\n",
        "",
        "I15",
    ),
    Mutant(
        "offsets are committed before the batch",
        _STORE,
        "                keys = await self._write_sagas(batch)\n",
        "                await self._write_offsets(batch.offsets)\n"
        "            batch.offsets = {}\n"
        "            async with transaction(self._connection):\n"
        "                keys = await self._write_sagas(batch)\n",
        "I1|I2|I15|I19|I21|R3",
        {"orders": 80, "crash": [["orchestrator.commit.before", 0.2]]},
    ),
    Mutant(
        "the acts' outcomes are not written, so they are carried out again and again",
        _STORE,
        "                await self._write_acts(batch.acts, batch.now)\n",
        "",
        "I23",
        {"orders": 30, "acts": 20},
    ),
    Mutant(
        "timers do not survive a restart",
        _SQL,
        "SELECT min(wake_at) FROM sagas WHERE wake_at IS NOT NULL;",
        "SELECT NULL;",
        "I1|I21",
        {"orders": 30, "crash": [["orchestrator.commit.after", 0.1]], "handler_faults": _LOSING},
    ),
)

MUTANTS = PARTICIPANT + MACHINE + ENGINE + REFUSALS + STORE + OWNERS + RESTORE + REPLICAS
