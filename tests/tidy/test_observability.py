"""docs/observability.md tells of every metric that there is, by its name, its labels and its own words."""

from __future__ import annotations

import re
from types import ModuleType

from kafka_saga.messaging import lag as of_lag
from kafka_saga.messaging import meters as of_both
from kafka_saga.orchestrator.engine import meters as of_engine
from kafka_saga.orchestrator.engine import showing as of_store
from kafka_saga.participants import meters as of_participant
from kafka_saga.runtime import metrics as of_process
from kafka_saga.runtime.metrics import Meter
from tests.tidy.test_tidy import ROOT

MODULES = (of_engine, of_store, of_both, of_lag, of_participant, of_process)
ROW = re.compile(r"^\| `(saga_\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)


def meters(module: ModuleType) -> list[Meter]:
    return [value for value in vars(module).values() if isinstance(value, Meter)]


def test_the_page_has_every_metric_and_no_other() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    told = {name: (labels.replace("`", ""), text) for name, labels, text in ROW.findall(page)}
    there_are = {meter.name: (", ".join(meter.labels), meter.help) for module in MODULES for meter in meters(module)}
    assert len(there_are) > 20
    assert told == there_are


def test_no_label_can_grow_with_the_load() -> None:
    bounded = {
        "saga", "outcome", "step", "phase", "reason", "topic", "partition", "stage", "state", "service", "command",
        "version", "by",
    }  # fmt: skip
    assert {label for module in MODULES for meter in meters(module) for label in meter.labels} <= bounded
