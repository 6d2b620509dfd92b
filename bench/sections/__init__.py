"""What is measured, section by section, in the order in which it is worth having."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bench.run import Bench
from bench.sections import costs, databases, pages, speed, stores, watching

SECTIONS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "throughput": speed.throughput,
    "limit": speed.limit,
    "latency": speed.latency,
    "start": stores.start,
    "stores": databases.stores,
    "replicas": databases.replicas,
    "costs": costs.costs,
    "partitions": speed.partitions,
    "timers": stores.timers,
    "recovery": stores.recovery,
    "finished": stores.finished,
    "memory": costs.memory,
    "dashboard": pages.dashboard,
    "watching": watching.watching,
}
SHORT_SECTIONS = ("throughput", "limit", "latency")
