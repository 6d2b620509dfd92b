"""What is done to a cluster: one fault at a time, drawn at random, each healed before the next."""

from __future__ import annotations

import random  # noqa: TID251 -- the one source of chance here, seeded by the caller
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.cluster import CLOCK, Cluster, Member

FREEZE_MS = 15_000
"""Longer than the session timeout: others take its partitions, and it wakes up as somebody who is gone."""

CUT_MS = 12_000
AWAY_MS = 500


@dataclass(frozen=True)
class Fault:
    """One kind of fault: its name, and what it does and heals; it returns whom it befell."""

    name: str
    do: Callable[[Cluster, random.Random], Awaitable[str]]


async def _kill(cluster: Cluster, victim: Member) -> str:
    victim.process.kill()
    await CLOCK.sleep(AWAY_MS)
    await cluster.start([victim])
    return victim.process.name


async def _freeze(victim: Member) -> str:
    victim.freeze()
    await CLOCK.sleep(FREEZE_MS)
    victim.thaw()
    return victim.process.name


async def kill_replica(cluster: Cluster, chance: random.Random) -> str:
    return await _kill(cluster, chance.choice(cluster.replicas))


async def kill_worker(cluster: Cluster, chance: random.Random) -> str:
    return await _kill(cluster, chance.choice(cluster.workers))


async def freeze_replica(cluster: Cluster, chance: random.Random) -> str:
    return await _freeze(chance.choice(cluster.replicas))


async def freeze_worker(cluster: Cluster, chance: random.Random) -> str:
    return await _freeze(chance.choice(cluster.workers))


async def come_and_go(cluster: Cluster, chance: random.Random) -> str:
    """A replica goes as at a deploy, and comes back, three times."""
    victim = chance.choice(cluster.replicas)
    for _ in range(3):
        code = victim.process.terminate()
        assert code == 0, f"{victim.process.name} ended with {code} at SIGTERM:\n{victim.process.output()[-2000:]}"
        await cluster.start([victim])
    return victim.process.name


async def restart_postgres(cluster: Cluster, chance: random.Random) -> str:
    mode = chance.choice(["fast", "immediate"])
    cluster.server.restart(mode)
    return f"postgres ({mode})"


async def cut_off(cluster: Cluster, chance: random.Random) -> str:
    """One replica reaches the store but not Kafka, or the reverse."""
    victim = chance.choice([member for member in cluster.replicas if member.namespace is not None])
    assert victim.namespace is not None, "chosen so"
    server = chance.choice(["postgres", "kafka"])
    victim.namespace.cut(server)
    await CLOCK.sleep(CUT_MS)
    victim.namespace.mend(server)
    return f"{victim.process.name} from {server}"


FAULTS = (
    Fault("kill -9 of a replica", kill_replica),
    Fault("kill -9 of a worker", kill_worker),
    Fault("SIGSTOP of a replica", freeze_replica),
    Fault("SIGSTOP of a worker", freeze_worker),
    Fault("a replica goes and comes", come_and_go),
    Fault("PostgreSQL restarted", restart_postgres),
    Fault("a replica cut off", cut_off),
)
