"""One chaos run: a cluster, orders at a steady rate, faults one after the other, and the books at the end."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 -- the one source of chance here
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deploy.kafka.kafka import Broker, Listener
from deploy.postgres.postgres import running_server
from tests.chaos.cluster import CLOCK, SERVICES, Cluster, namespace_listener
from tests.chaos.faults import FAULTS
from tests.chaos.network import Namespace, namespaces

REPLICAS, WORKERS = 3, 2
REST_MS = 3_000
"""Between two faults: the system catches up, so that each dip is one fault's."""

PATIENCE_MS = 180_000


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        duration_ms: for how long faults are made; the round in hand, of every kind once, is finished.
        orders_max: orders at most.
        rate_per_s: orders a second.
        seed: of the faults' order and victims.

    """

    duration_ms: int
    orders_max: int
    rate_per_s: int
    seed: int


ONE_ROUND = Plan(duration_ms=1, orders_max=50_000, rate_per_s=20, seed=1)


class Chaos:
    """Carries a plan out; `tell` gets a line for each fault."""

    def __init__(self, plan: Plan, folder: Path, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._folder = folder
        self._tell = tell
        self.made: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.longest_dip_s = 0

    async def run(self) -> None:
        """Do it all.

        Raises:
            AssertionError: an invariant was violated; the message says which.

        """
        with ExitStack() as stack:
            ways = stack.enter_context(namespaces(REPLICAS))
            broker = self._broker(ways)
            stack.callback(broker.stop)
            broker.start()
            told = ",".join(["127.0.0.1", *(way.addresses["postgres"] for way in ways)])
            server = stack.enter_context(
                running_server(f"listen_addresses={told}", "max_connections=200", admit=["10.213.0.0/16"])
            )
            cluster = Cluster(broker, server, self._folder, "chaos.")
            stack.callback(cluster.stop)
            cluster.create_databases()
            for number, way in enumerate(ways, 1):
                cluster.add("orchestrator", number, way)
            for number in range(1, WORKERS + 1):
                for service in SERVICES:
                    cluster.add(service, number)
            await cluster.start(cluster.members)
            await self._under_load(cluster)
            await cluster.check()
            self.outcomes.update(outcome["state"] for outcome in cluster.outcomes.values())

    def _broker(self, ways: Sequence[Namespace]) -> Broker:
        listeners = {namespace_listener(way): Listener("PLAINTEXT", host=way.addresses["kafka"]) for way in ways}
        return Broker(self._folder / "kafka", listeners=listeners)

    async def _under_load(self, cluster: Cluster) -> None:
        stop = asyncio.Event()
        listening = asyncio.create_task(cluster.listen())
        ordering = asyncio.create_task(cluster.order_at(self._plan.rate_per_s, stop, self._plan.orders_max))
        try:
            await self._break(cluster, ordering)
            stop.set()
            await ordering
            await self._until_all_ended(cluster, listening)
        finally:
            for task in (listening, ordering):
                task.cancel()
            await asyncio.gather(listening, ordering, return_exceptions=True)

    async def _break(self, cluster: Cluster, ordering: asyncio.Task[None]) -> None:
        chance = random.Random(self._plan.seed)
        began = CLOCK.monotonic_ms()
        await CLOCK.sleep(REST_MS)
        left = chance.sample(FAULTS, len(FAULTS))
        while left or (CLOCK.monotonic_ms() - began < self._plan.duration_ms and not ordering.done()):
            left = left or chance.sample(FAULTS, len(FAULTS))
            fault = left.pop()
            at = CLOCK.monotonic_ms()
            victim = await fault.do(cluster, chance)
            await CLOCK.sleep(REST_MS)
            self._alive(cluster)
            self.made[fault.name] += 1
            dip = self._dip(cluster, at // 1_000)
            self._tell(
                f"  {(at - began) / 1_000:7.1f} s  {fault.name:26}{victim:32}"
                f"longest silence {dip:3} s  ended {len(cluster.outcomes):,} of {cluster.ordered:,}"
            )

    def _dip(self, cluster: Cluster, since_s: int) -> int:
        """For how many seconds on end no saga ended."""
        longest = silent = 0
        for second in range(since_s, CLOCK.monotonic_ms() // 1_000):
            silent = 0 if cluster.ended_per_s[second] else silent + 1
            longest = max(longest, silent)
        self.longest_dip_s = max(self.longest_dip_s, longest)
        return longest

    def _alive(self, cluster: Cluster) -> None:
        for member in cluster.members:
            process = member.process
            assert process.running(), f"{process.name} ended with {process.code()}:\n{process.output()[-3000:]}"

    async def _until_all_ended(self, cluster: Cluster, listening: asyncio.Task[None]) -> None:
        deadline = CLOCK.monotonic_ms() + PATIENCE_MS
        while len(cluster.outcomes) < cluster.ordered:
            assert not listening.done(), f"the listener ended: {listening}"
            assert CLOCK.monotonic_ms() < deadline, f"{len(cluster.outcomes):,} of {cluster.ordered:,} sagas ended"
            self._alive(cluster)
            await CLOCK.sleep(200)

    def summary(self, violations: int) -> str:
        """One line for people and programs."""
        ends = " ".join(f"{state.lower()}={count}" for state, count in sorted(self.outcomes.items()))
        return (
            f"chaos: faults={self.made.total()} sagas={self.outcomes.total()} {ends} "
            f"longest_silence_s={self.longest_dip_s} violations={violations}"
        )
