"""The alert rules, the Grafana dashboard and the runbooks are of the metrics and commands that there are."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from kafka_saga.orchestrator.cli.commands import app
from kafka_saga.runtime.log_events import log_events
from tests.deploy.prometheus import program
from tests.tidy.test_observability import MODULES, meters
from tests.tidy.test_tidy import ROOT

RULES = ROOT / "deploy" / "prometheus" / "saga-alerts.yml"
RULES_TEST = RULES.with_name("saga-alerts.test.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "saga.json"
RUNBOOKS = ROOT / "docs" / "runbooks.md"

METERS = {meter.name: set(meter.labels) for module in MODULES for meter in meters(module)}
SERIES = re.compile(r"\b(saga_\w+|up|process_resident_memory_bytes)\b(?:\{(.*?)\})?")
GROUPED = re.compile(r"\b(?:by|on) \((.*?)\)")
OF_A_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")
OF_PROMETHEUS = {"job", "instance", "le"}
COMMAND = re.compile(r"`(saga [^`]+)`")


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    for alert in alerts():
        yield alert["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]


def series(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics that it asks for, each with the labels that it selects by."""
    for name, selector in SERIES.findall(GROUPED.sub("", expression)):
        yield OF_A_HISTOGRAM.sub("", name), set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_what_is_asked_for_is_exported_with_these_labels(expression: str) -> None:
    asked = [(name, labels) for name, labels in series(expression) if name.startswith("saga_")]
    assert asked
    known = set(OF_PROMETHEUS)
    for name, labels in asked:
        assert name in METERS
        assert labels <= METERS[name] | OF_PROMETHEUS
        known |= METERS[name]
    grouped = {label.strip() for labels in GROUPED.findall(expression) for label in labels.split(",")}
    assert grouped <= known


def test_every_metric_is_looked_at_somewhere() -> None:
    assert {name for expression in expressions() for name, _ in series(expression)} >= METERS.keys() - {
        "saga_outbox_pending"  # how old the oldest is says more
    }


def test_every_alert_has_a_test_and_a_page_with_what_it_means_what_to_look_at_and_what_to_do() -> None:
    pages = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL))
    tested = {
        one["alertname"]
        for test in yaml.safe_load(RULES_TEST.read_text())["tests"]
        for one in test["alert_rule_test"]
        if one["exp_alerts"]
    }
    names = [alert["alert"] for alert in alerts()]
    assert (sorted(pages), sorted(tested)) == (sorted(names), sorted(names))
    for alert in alerts():
        page = pages[alert["alert"]]
        assert page.startswith(f"*{alert['labels']['severity'].capitalize()}.* ")
        assert "\n**Look at** " in page
        assert "\n**Do** " in page
        assert alert["annotations"]["runbook_url"].endswith(f"/docs/runbooks.md#{alert['alert'].lower()}")


@pytest.mark.parametrize("command", sorted(set(COMMAND.findall(RUNBOOKS.read_text()))))
def test_every_command_of_a_runbook_is_one_that_there_is(command: str) -> None:
    words = shlex.split(command.replace("\n", " "))[1:]
    words = ["dlq.order.requests/0/0" if word == "POSITION" else word for word in words]
    app.parse_args(words, exit_on_error=False, print_error=False)


def test_each_alert_fires_for_what_it_is_for_and_not_before() -> None:
    command = [program("promtool"), "test", "rules", RULES_TEST.name]
    done = subprocess.run(command, cwd=RULES_TEST.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_s_panels_have_a_place_a_title_and_a_datasource_that_can_be_chosen() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in panels()]
    assert len(set(places)) == len(places)
    for panel in panels():
        assert panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_every_log_event_of_a_runbook_is_one_that_there_is() -> None:
    named = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", RUNBOOKS.read_text())) - {"asyncio.to_thread", "saga.json"}
    assert named
    assert named <= {event.name for event in log_events()}
