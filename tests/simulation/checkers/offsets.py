"""I14, I15: nothing waits in the outbox, and offsets say what was read: no more, and in the end no less."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.checkers.evidence import Evidence
from tests.simulation.world import unread


def check(evidence: Evidence) -> Iterator[str]:
    for (messages,) in evidence.store.execute("SELECT messages FROM outbox"):
        yield f"I14: {messages} messages were left in the outbox"
    yield from (f"I15: {left}" for left in unread(evidence.world))
    if evidence.swarm.recreations or evidence.swarm.rebalance or evidence.swarm.replay:
        return  # the stored offset went back, and a commit of before is ahead of it
    stored = {
        (topic, number): at
        for topic, number, at in evidence.store.execute("SELECT topic, partition, next FROM offsets")
    }
    for (group, tp), hint in evidence.world.broker.hints.items():
        if group.startswith("orchestrator") and hint > stored.get(tp, 0):
            yield f"I15: Kafka was told {hint} of {tp.topic}[{tp.partition}], and the store has {stored.get(tp)}"
