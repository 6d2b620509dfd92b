"""The commands of docs/http-api.md and docs/observability.md, on one running system, in their order."""

from __future__ import annotations

import re
import shutil
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from deploy.kafka.kafka import free_port
from kafka_saga.orchestrator.dashboard_file import dashboard_of
from tests.demo.upper import Up, saga_up
from tests.examples.console import Shown, blocks_of, commands_of, languages_of
from tests.examples.test_readme import run
from tests.integration.processes import ROOT

API, OBSERVABILITY = ROOT / "docs" / "http-api.md", ROOT / "docs" / "observability.md"
DASHBOARD, ADMIN = "127.0.0.1:7242", "9464"
"""What the pages print."""

PROCESSES = 4
"""Each has an admin port, one after the other."""


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def admin_port() -> int:
    """The first of as many free ports as there are processes."""
    while not all(is_free((first := free_port()) + more) for more in range(PROCESSES)):
        pass
    return first


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, admin_port: int) -> Iterator[Up]:
    """`saga up`, with the ports that the page on observability speaks of."""
    with saga_up(tmp_path_factory.mktemp("pages"), "--admin-port", str(admin_port)) as up:
        up.until("everything is ready")
        yield up
        assert up.stop() == 0


@pytest.mark.processes
def test_the_http_pages_commands_work(up: Up) -> None:
    for program in ("curl", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    served = dashboard_of(up.settings.data_dir)
    assert served is not None
    address = served.removeprefix("http://").rstrip("/")
    begins, listing, describing, starting = [one.bare.replace(DASHBOARD, address) for one in commands_of(API)]
    assert begins == "saga up"

    started = run(up, starting)
    assert started.stdout.startswith("HTTP/1.1 202 "), started
    assert re.search(r"^location: /api/v1/sagas/order/order-7\r?$", started.stdout, re.MULTILINE | re.IGNORECASE)
    assert run(up, "saga submit order --order-id order-8 --wait").returncode == 0

    listed = run(up, listing)
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", ""), "nobody is parked"
    ended = run(up, listing.replace("state=PARKED", "state=COMPLETED"))
    assert '"sagaId": "order-8"' in ended.stdout, ended
    assert '"openapi":"3.1' in run(up, describing).stdout


@pytest.mark.processes
@pytest.mark.usefixtures("up")
def test_the_probes_of_the_observability_page_are_answered(admin_port: int) -> None:
    told, _scrapes = blocks_of(OBSERVABILITY, "yaml")
    probes = re.findall(r"^(\w+Probe): +\{httpGet: \{path: (/\w+), port: (\d+)\}", told, re.MULTILINE)
    assert [name for name, _path, _port in probes] == [line.partition(":")[0] for line in told.splitlines()]
    for _name, path, port in probes:
        assert port == ADMIN
        with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}{path}") as answer:
            assert answer.status == 200


@pytest.mark.processes
@pytest.mark.usefixtures("up")
def test_what_the_observability_page_has_scraped_is_served_and_its_rules_are_there(admin_port: int) -> None:
    _probes, told = blocks_of(OBSERVABILITY, "yaml")
    [rules] = re.findall(r"^rule_files: \[(.+)\]$", told, re.MULTILINE)
    assert (ROOT / "deploy" / "prometheus" / rules).exists()
    targets = re.findall(r'"(\w+):(\d+)"', told)
    assert {name for name, _port in targets} == {"orchestrator", "inventory", "payment", "orders"}
    assert {port for _name, port in targets} == {ADMIN}
    for number in range(PROCESSES):
        with urllib.request.urlopen(f"http://127.0.0.1:{admin_port + number}/metrics") as answer:
            assert b"saga_build_info" in answer.read()


@pytest.mark.processes
def test_the_shell_commands_of_the_observability_page_work(up: Up, admin_port: int) -> None:
    health, traces = blocks_of(OBSERVABILITY, "sh")
    commands = [
        Shown(line).bare.replace(f"10.0.3.7:{ADMIN}", f"127.0.0.1:{admin_port}") for line in health.splitlines()
    ]
    assert len(commands) == 4
    while run(up, commands[0]).returncode != 0:  # a process writes its note every two seconds
        pass
    for command in commands:
        done = run(up, command)
        assert (done.returncode, done.stderr) == (0, ""), (command, done)
    assert traces.startswith("OTEL_EXPORTER_OTLP_ENDPOINT="), "what tests/tracing runs, with a collector"


def test_no_block_of_these_pages_is_of_another_kind() -> None:
    assert (languages_of(API), languages_of(OBSERVABILITY)) == ({"console"}, {"yaml", "sh"})
