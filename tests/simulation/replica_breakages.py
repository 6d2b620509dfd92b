"""Ways of breaking what replicas on one store rely on (R60-R75): see `breakages`."""

from __future__ import annotations

from tests.simulation.breaking import Mutant

_SERVER = "orchestrator/store/memory_server.py"
_SHARED = "orchestrator/store/shared_memory.py"
_REPLICA = "orchestrator/engine/replica.py"
_TIMERS = "orchestrator/engine/shared_timers.py"
_LADDER = "orchestrator/engine/ladder.py"

_LOSING = [[service, [["SAGA_FAULT_LOSE", "*:every=3"]]] for service in ("inventory", "payment", "orders")]
_LAST_MOMENT = [[service, [["SAGA_FAULT_LATE", "*:every=2:ms=4850"]]] for service in ("inventory", "payment", "orders")]
_THREE = {"shared": 3, "replicas": 2, "orders": 60, "spread_ms": 40_000, "fault_phase_ms": 60_000}
_FROZEN = {**_THREE, "freezes": 5, "latency_ms_max": 200}
_OVERLAPPING = {**_THREE, "overlapping": True, "latency_ms_max": 200}
_LATE = {**_THREE, "handler_faults": _LOSING}

REPLICAS = (
    Mutant(
        "what a replica ignores by a row in memory is not checked",
        _SHARED,
        "self._settings, dict(self.kept), self._holder",
        "self._settings, {}, self._holder",
        "R21|I21",
        {**_OVERLAPPING, "orders": 30, "in_flight_max": 1, "partitions": 1, "latency_ms_max": 500},
    ),
    Mutant(
        "a dead life goes on writing",
        _SERVER,
        "        life = self._alive(replica)\n        if settings",
        "        life = self._lives[replica]\n        if settings",
        "R62|I14",
        {**_FROZEN, "freezes": 9},
    ),
    Mutant(
        "a life is dead once its beat is old, however long nobody could beat",
        "orchestrator/engine/lives.py",
        " and seen.looks >= BEATS_MIN",
        "",
        "R61",
        {**_THREE, "store_outages": 4},
    ),
    Mutant(
        "a living writer's rows are taken over",
        _SERVER,
        "{one: [row for row in rows if row.outbox_id.writer == one] for one in mine if one not in known}",
        "{row.outbox_id.writer: [row] for row in rows"
        " if row.outbox_id.writer != heir and self.truth.now() - row.created_at > 999}",
        "R73",
        {**_THREE, "outages": 2, "outage_ms_max": 20_000},
    ),
    Mutant(
        "an heir reads what is left before its writer is dead",
        _REPLICA,
        "            if await self._members.bury(peer):",
        "            rows = await self._parts.store.outbox()\n"
        "            self._inherited += [row for row in rows if row.outbox_id.writer == peer.replica]\n"
        "            self._members._follows.add(peer.replica)\n"
        "            await self._clock.sleep(1_000)\n"
        "            if await self._members.bury(peer):",
        "I14|R21|R26|R73",
        {**_FROZEN, "freezes": 12, "orders": 80},
    ),
    Mutant(
        "a partition counts as read to its end before what was read of it is committed",
        _TIMERS,
        "            await self._drain.step(now)\n",
        "            await self._drain.step(now)\n"
        "            early = Batch(now)\n"
        "            self.prove(early)\n"
        "            with __import__('contextlib').suppress(Exception):\n"
        "                await self._store.commit(early)\n"
        "                self.committed()\n"
        "            await self._store._clock.sleep(300)\n",
        "R21",
        {**_THREE, "orders": 150, "handler_faults": _LAST_MOMENT, "growths": 8, "partitions": 3, "latency_ms_max": 1},
    ),
    Mutant(
        "a timer waits for our own partitions only",
        _TIMERS,
        "return self._horizon.reached_at(self._intake.reply_topics)",
        "return self._drain.reached_at",
        "R21",
        {**_FROZEN, "handler_faults": _LOSING, "growths": 4, "partitions": 3},
    ),
    Mutant(
        "partitions that were added are not counted",
        _TIMERS,
        "        self.counts = counts\n",
        "        self.counts = self.counts or counts\n",
        "R21",
        {**_THREE, "growths": 6, "partitions": 1, "handler_faults": _LOSING},
    ),
    Mutant(
        "a timer waits for what we published only",
        _TIMERS,
        "return self._horizon.oldest_unsent_at",
        "return self._publisher.oldest_unpublished_at",
        "R21",
        {**_THREE, "crash": [["orchestrator.publish.before", 0.1]], "restart_ms": [50, 15_000]},
    ),
    Mutant(
        "every replica fires every timer",
        _SHARED,
        "return self._mine(await self.asked(lambda: self._truth.due(now, _ALL)), limit)",
        "return await self.asked(lambda: self._truth.due(now, limit))",
        "R71",
        _LATE,
    ),
    Mutant(
        "each replica admits as many sagas as all may have under way",
        "orchestrator/engine/shared_admission.py",
        "        self.in_flight = sums.in_flight\n",
        "",
        "R72",
        {**_THREE, "in_flight_max": 2, "spread_ms": 1},
    ),
    Mutant(
        "a batch is not compared with pauses that have changed meanwhile",
        _SERVER,
        "if settings != self._settings:",
        "if False:",
        "R72",
        {**_THREE, "acts": 200, "orders": 80},
    ),
    Mutant(
        "a conflict has nothing read again",
        _LADDER,
        'if error.what in {"offsets", "life", ""}:',
        "if False:",
        "R67|I1|I2|I15|I21",
        _OVERLAPPING,
    ),
    Mutant(
        "a commit without an answer counts as not done",
        _SHARED,
        "        if done == self._batch:",
        "        if done <= self._batch + 1:",
        "I14|R21|R26|R72",
        {**_THREE, "commit_unknown": 0.02},
    ),
    Mutant(
        "an act is carried out though another replica did so",
        "orchestrator/store/sqlite.py",
        'if await self._connection.execute_many(SQL["decide_act"], decided) != len(acts):',
        'if await self._connection.execute_many(SQL["decide_act"], decided) > len(acts):',
        "I23",
        {**_OVERLAPPING, "acts": 200, "orders": 30},
    ),
    Mutant(
        "who lost a partition still moves its offset",
        "orchestrator/store/statements.sql",
        "WHERE topic = ? AND partition = ? AND next = ?;",
        "WHERE topic = ? AND partition = ? AND ? >= 0;",
        "R65|I15",
        _OVERLAPPING,
    ),
    Mutant(
        "rows in memory outlive the loss of their lanes",
        _SHARED,
        "        self._store.owned = lanes\n        self._store.forget()\n",
        "        self._store.owned = lanes\n",
        "R71",
        {**_THREE, "stops": 8, "restart_ms": [15_000], "orders": 80},
    ),
)
