"""The rules and the board in a real Prometheus that scrapes a real system: what they ask for has an answer."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import yaml

from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.runtime.clock import SystemClock
from tests.brokers import BrokerUnderTest
from tests.demo.upper import Up, saga_up
from tests.deploy.prometheus import Prometheus, program, running_prometheus
from tests.deploy.test_monitoring import DASHBOARD, RULES, alerts, panels

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

HERE = Path(__file__).parent
CLOCK = SystemClock()
PATIENCE_MS = 120_000
WAYS = ("fine", "declined", "flaky", "late", "stuck")
JOBS = {"orchestrator": "saga-orchestrator", "participant:stock": "saga-stock", "participant:payment": "saga-payment"}


@dataclass
class Watched:
    """A system at work, and the Prometheus that watches it."""

    kafka: BrokerUnderTest
    prefix: str
    up: Up
    prometheus: Prometheus
    numbers: Iterator[int]

    async def work(self) -> None:
        """Let everything happen once more that is counted."""
        number, topic = next(self.numbers), f"{self.prefix}shop.requests"
        bodies = [json.dumps({"order_id": f"o-{way}-{number}", "way": way}).encode() for way in WAYS]
        producer = Producer(self.kafka.settings)
        try:
            await producer.publish([Message(topic, None, body) for body in (*bodies, bodies[0], b"no JSON")])
        finally:
            await producer.stop()

    async def until(self, what: str, is_so: Callable[[], bool], *, working: bool = False) -> None:
        """Look on until it is so, for as long as sagas and scrapes may take on a busy machine."""
        deadline = CLOCK.monotonic_ms() + PATIENCE_MS
        while not is_so():
            assert CLOCK.monotonic_ms() < deadline, f"still not so: {what}"
            if working:
                await self.work()
            await CLOCK.sleep(1_000)


def admin_ports(up: Up) -> dict[str, str]:
    """Where each process shows itself, by what it logged."""
    told = [json.loads(line) for line in up.lines if '"admin.ready"' in line]
    return {line["process"]: line["url"].removeprefix("http://") for line in told}


@pytest.fixture
def watched(kafka: BrokerUnderTest, topic_prefix: str, tmp_path: Path) -> Iterator[Watched]:
    program("prometheus")
    shutil.copy(HERE / "watched_shop.py", tmp_path)
    app, folder = "watched_shop", tmp_path / "prometheus"
    folder.mkdir()
    flags = ["--app", app, "--participant", f"{app}:stock", "--participant", f"{app}:payment", "--prefix", topic_prefix]
    flags += ["--admin-port", "0", "--log-format", "json", "--bootstrap-servers", kafka.bootstrap_servers]
    with saga_up(tmp_path, *flags) as up:
        up.until("everything is ready")
        ports = admin_ports(up)
        targets = {JOBS[process]: [at] for process, at in ports.items()}
        at_once = re.sub(r"^( +for: ).+$", r"\g<1>1s", RULES.read_text(), flags=re.MULTILINE)
        with running_prometheus(folder, targets=targets, rules=at_once) as prometheus:
            yield Watched(kafka, topic_prefix, up, prometheus, count(1))
        assert up.stop() == 0


def asked_by_the_board() -> list[str]:
    """Its queries, as Grafana sends them with everything chosen."""
    texts = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [text.replace("$saga", ".*").replace("$__rate_interval", "1m") for text in texts]


async def test_a_real_prometheus_sees_the_system_fires_for_a_parked_saga_and_can_draw_every_panel(
    watched: Watched,
) -> None:
    prometheus = watched.prometheus

    def targets_up() -> bool:
        targets = prometheus.ask("targets", state="active")["activeTargets"]
        return sorted(one["labels"]["job"] for one in targets if one["health"] == "up") == sorted(JOBS.values())

    def rules() -> list[dict[str, object]]:
        [group] = prometheus.ask("rules")["groups"]
        return list(group["rules"])

    await watched.until("every process is scraped", targets_up)
    await watched.until("every rule was evaluated", lambda: {rule["health"] for rule in rules()} == {"ok"})
    assert [rule["name"] for rule in rules()] == [alert["alert"] for alert in alerts()]

    def unanswered() -> list[str]:
        return [text for text in asked_by_the_board() if all(map(math.isnan, prometheus.values(text)))]

    await watched.until("every query of the board has a value", lambda: not unanswered(), working=True)
    [variable] = [one for one in json.loads(DASHBOARD.read_text())["templating"]["list"] if one["type"] == "query"]
    assert variable["definition"] == "label_values(saga_started_total, saga)"
    assert prometheus.ask("label/saga/values", **{"match[]": "saga_started_total"}) == ["shop"]

    def firing() -> dict[str, dict[str, str]]:
        told = prometheus.ask("alerts")["alerts"]
        return {one["labels"]["alertname"]: one["annotations"] for one in told if one["state"] == "firing"}

    await watched.until("the alert for parked sagas fires", lambda: "SagaParked" in firing())
    parked = firing()["SagaParked"]
    assert re.fullmatch(r"\d+ shop sagas wait for a person", parked["summary"])
    assert parked["runbook_url"].startswith("https://")
    assert {"SagaProcessGone", "SagaOutboxOld", "SagaEventLoopBlocked"} & firing().keys() == set()


def test_what_the_page_on_observability_shows_is_a_configuration_that_prometheus_takes(tmp_path: Path) -> None:
    page = (RULES.parents[2] / "docs" / "observability.md").read_text()
    [shown] = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "rule_files" in text]
    (tmp_path / "prometheus.yml").write_text(shown)
    shutil.copy(RULES, tmp_path)
    done = subprocess.run(
        [program("promtool"), "check", "config", "prometheus.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(alerts())} rules found" in done.stdout
    assert all(job["job_name"].startswith("saga") for job in yaml.safe_load(shown)["scrape_configs"])
