"""The limit: the system's own messages, passed from topic to topic by processes that do nothing else.

As many processes as the system has, as many messages a saga, with the sizes and headers of real ones; aiokafka's
batch calls, no state, no validation, no disk but the broker's. What the system reaches of this is its ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench import wire
from bench.broker import Kafka
from bench.measure import measure, worker
from bench.system import Options, System, prepared, running

_SAMPLE_ORDERS = 50
Sample = dict[str, list[tuple[str, list[tuple[str, str]]]]]
"""One saga's messages by topic (without the prefix): value and headers, in their order."""

_FORWARD = {
    "order.requests": "inventory.commands",
    "inventory.replies": "payment.commands",
    "payment.replies": "orders.commands",
    "orders.replies": "order.events",
}
_HOPS = 8
"""Messages that a saga of three steps cannot do without: the request, 3 commands, 3 replies, the outcome."""


async def sample(kafka: Kafka, directory: Path) -> Sample:
    """The messages of one real saga that succeeds."""
    async with running(kafka, directory) as system:
        await measure(system, _SAMPLE_ORDERS, run="sample")
        prefix = system.topics.prefix
        topics = ["order.requests", "order.events"]
        topics += [f"{service}.{kind}" for service in ("inventory", "payment", "orders") for kind in _KINDS]
        async with wire.new_consumer(kafka.bootstrap) as consumer:
            await wire.follow(consumer, [prefix + topic for topic in topics], from_end=False)
            return await _read(consumer, prefix)


_KINDS = ("commands", "replies")


async def _read(consumer: Any, prefix: str) -> Sample:
    ends = await consumer.end_offsets(consumer.assignment())
    found: Sample = {}
    wanted: bytes | None = None
    records = []
    while any([await consumer.position(partition) < end for partition, end in ends.items()]):
        for batch in (await consumer.getmany(timeout_ms=500)).values():
            records += batch
    for record in sorted(records, key=lambda record: (record.topic, record.partition, record.offset)):
        wanted = wanted or record.key
        if record.key == wanted:
            headers = [(name, value.decode()) for name, value in record.headers]
            found.setdefault(record.topic.removeprefix(prefix), []).append((record.value.decode(), headers))
    return found


def messages_of(one: Sample) -> dict[str, int]:
    """How many messages a saga has in each topic."""
    return {topic: len(messages) for topic, messages in sorted(one.items())}


def bytes_of(one: Sample) -> int:
    """Values and headers of all of a saga's messages."""
    return sum(
        len(value) + sum(len(name) + len(text) for name, text in headers)
        for messages in one.values()
        for value, headers in messages
    )


def routes(one: Sample, prefix: str, *, every_event: bool) -> dict[str, dict[str, list[Any]]]:
    """What each relay sends for each record that it reads.

    Args:
        one: a real saga's messages.
        prefix: of the topics.
        every_event: send also the events before the outcome, as the system does: one more message a hop.

    """
    *early, outcome = one["order.events"]

    def to(topic: str, message: Any) -> list[Any]:
        return [prefix + topic, *message]

    orchestrator: dict[str, list[Any]] = {}
    for source, target in _FORWARD.items():
        sends = [to(target, outcome if target == "order.events" else one[target][0])]
        if every_event and early:
            sends.append(to("order.events", early.pop(0)))
        orchestrator[prefix + source] = sends
    orchestrator[f"{prefix}orders.replies"] += [to("order.events", event) for event in early if every_event]
    found = {"orchestrator": orchestrator}
    for service in ("inventory", "payment", "orders"):
        reply = to(f"{service}.replies", one[f"{service}.replies"][0])
        found[service] = {f"{prefix}{service}.commands": [reply]}
    return found


async def measure_limit(
    kafka: Kafka, directory: Path, one: Sample, count: int, *, warm: int, every_event: bool, partitions: int = 4
) -> dict[str, Any]:
    """Pass `count` sagas' messages through the relays, asked for as the system is."""
    async with prepared(kafka, directory, Options(partitions=partitions)) as system:
        plans = routes(one, system.topics.prefix, every_event=every_event)
        return await _through_relays(system, plans, count, warm)


async def _through_relays(
    system: System, programs: Mapping[str, Mapping[str, Iterable[Any]]], count: int, warm: int
) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        pids = {} if system.kafka.pid is None else {"kafka": system.kafka.pid}
        for name, plan in programs.items():
            process = await stack.enter_async_context(
                worker("relay", {"bootstrap": system.kafka.bootstrap, "routes": plan})
            )
            pids[f"relay {name}"] = process.pid
        await measure(system, warm, processes=pids)
        return await measure(system, count, processes=pids)
