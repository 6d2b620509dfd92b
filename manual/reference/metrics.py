"""Every metric that a process may export."""

from __future__ import annotations

from types import ModuleType

from kafka_saga.messaging import lag, meters
from kafka_saga.orchestrator.engine import meters as engine_meters
from kafka_saga.orchestrator.engine import showing
from kafka_saga.participants import meters as participant_meters
from kafka_saga.runtime import metrics
from kafka_saga.runtime.metrics import Meter
from manual.reference.tables import code, table

HEAD = """# Metrics

Served in Prometheus' form on `/metrics` of the admin port and of the HTTP port. Where to scrape them, how replicas add
up, and the alerts: [observability](../observability.md). Beside these are `process_…` from the client library.

"""

GROUPS: tuple[tuple[str, tuple[ModuleType, ...]], ...] = (
    ("Of every process", (metrics,)),
    ("Of orchestrators and participants", (meters, lag)),
    ("Of orchestrators", (engine_meters, showing)),
    ("Of participants", (participant_meters,)),
)


def page() -> str:
    """The page."""
    return HEAD + "\n".join(f"## {title}\n\n{_table(modules)}" for title, modules in GROUPS)


def meters_of(module: ModuleType) -> list[Meter]:
    """The metrics that a module names."""
    return [value for value in vars(module).values() if isinstance(value, Meter)]


def _table(modules: tuple[ModuleType, ...]) -> str:
    rows = [
        (code(meter.name), ", ".join(map(code, meter.labels)), meter.help)
        for module in modules
        for meter in meters_of(module)
    ]
    return table(["metric", "labels", "what it says"], rows)
