"""`saga demo`, as a process: its figures are right, and it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kafka_saga.orchestrator.demo import orders
from kafka_saga.orchestrator.demo.figures import count
from tests.brokers import BrokerUnderTest
from tests.demo.upper import PATIENCE_S, SAGA, clean_environment

pytestmark = pytest.mark.processes

CAPTIONS = [
    "1  Orders go through",
    "2  A declined payment is compensated",
    "3  The third step fails, and everything is undone in reverse",
    "4  A timeout is retried and recovers",
    "5  A poison message is set aside",
    "6  kill -9 of the orchestrator in mid-flight",
]


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """Where the demo makes its directory; it must be empty again."""
    yield tmp_path
    assert not list(tmp_path.iterdir())


def check(result: subprocess.CompletedProcess[str]) -> None:
    out = result.stdout
    assert result.returncode == 0, out + result.stderr
    places = [out.index(caption) for caption in CAPTIONS]
    assert places == sorted(places)
    assert "Sagas              20: 17 COMPLETED, 3 COMPENSATED, 0 PARKED" in out
    assert "Lost               0 of 20 orders, which were asked for 28 times" in out
    assert re.search(r"Duplicate effects  0 \(rows: 20 in inventory, 18 in payment, 17 in orders; 4 undone\)", out)
    assert "Every figure is as it must be." in out
    assert '"stepsExecuted":[1,2],"stepsCompensated":[2,1],"error":"Database connection failed"' in out
    assert "dlq.order.requests" in out or ".order.requests: key order-125, bad_json" in out
    assert "no reply within 5 s" in out
    seconds = re.search(r"Time +([0-9.]+) s", out)
    assert seconds is not None
    assert float(seconds[1]) < 60
    assert "\x1b" not in out  # no terminal, no colours


def demo(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SAGA, "demo"], env=environment, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False
    )


def test_the_demo_on_the_embedded_broker(temporary: Path) -> None:
    check(demo(clean_environment(TMPDIR=str(temporary), SAGA_STORE="/nowhere/else.db", SAGA_APP="not.this")))


@pytest.mark.kafka
@pytest.mark.real_kafka
def test_the_demo_on_a_configured_kafka(temporary: Path, kafka: BrokerUnderTest) -> None:
    result = demo(clean_environment(TMPDIR=str(temporary), KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers))
    check(result)
    assert "The topics stay on your Kafka" in result.stdout


@pytest.mark.parametrize(
    ("cue", "number"),
    [
        ("A saga orchestrator", signal.SIGINT),
        ("A saga orchestrator", signal.SIGTERM),
        ("Processes", signal.SIGINT),
        ("2  A declined", signal.SIGINT),
        ("4  A timeout", signal.SIGTERM),
        ("killed with", signal.SIGINT),
    ],
)
def test_an_interrupt_at_any_moment_leaves_nothing_behind(temporary: Path, cue: str, number: signal.Signals) -> None:
    environment = clean_environment(TMPDIR=str(temporary), PYTHONUNBUFFERED="1")
    command = [*SAGA, "demo"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while cue not in (line := process.stdout.readline()):
            assert line, "the demo ended before its cue"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert errors == "saga demo: interrupted; its processes and its directory are gone\n"
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_without_confluent_kafka_it_says_what_to_install(temporary: Path) -> None:
    site = temporary / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys; sys.modules['confluent_kafka'] = None\n")
    try:
        paths = os.pathsep.join([str(site), *filter(None, sys.path)])
        result = demo(clean_environment(TMPDIR=str(temporary), PYTHONPATH=paths))
    finally:
        (site / "sitecustomize.py").unlink()
        for cached in site.rglob("*.pyc"):
            cached.unlink()
        for directory in (*site.iterdir(), site):
            directory.rmdir()
    assert result.returncode == 2
    assert "pip install 'kafka-saga[demo]'" in result.stderr
    assert "Traceback" not in result.stderr


TABLES = {
    "inventory": """
        CREATE TABLE stock (initial, available); INSERT INTO stock VALUES (10, 8);
        CREATE TABLE reservations (saga_id, step, status, releases, items);
        INSERT INTO reservations VALUES ('order-1', 'reserve_inventory', 'held', 0, '[{"sku":"a","quantity":2}]')""",
    "payment": """
        CREATE TABLE accounts (initial, balance); INSERT INTO accounts VALUES (100, 50);
        CREATE TABLE charges (saga_id, step, status, refunds, amount);
        INSERT INTO charges VALUES ('order-1', 'process_payment', 'charged', 0, 50)""",
    "orders": """
        CREATE TABLE orders (saga_id, step, status, cancellations);
        INSERT INTO orders VALUES ('order-1', 'create_order', 'created', 0)""",
    "orchestrator": "CREATE TABLE sagas (saga_id, state); INSERT INTO sagas VALUES ('order-1', 'COMPLETED')",
}


@pytest.mark.parametrize(
    ("database", "tampering", "complaint"),
    [
        ("orders", "SELECT 1", ""),
        ("orders", "INSERT INTO orders SELECT * FROM orders", "duplicates: 1"),
        ("payment", "UPDATE charges SET status = 'refunded', refunds = 2", "duplicates: 1"),
        ("orders", "DELETE FROM orders", "missing: 1"),
        ("inventory", "UPDATE reservations SET status = 'released'", "missing: 1"),
        ("orchestrator", "UPDATE sagas SET state = 'COMPENSATED'", "left behind: 3"),
        ("orchestrator", "UPDATE sagas SET state = 'RUNNING'", "lost: 1"),
        ("orchestrator", "DELETE FROM sagas", "lost: 1"),
        ("orchestrator", "INSERT INTO sagas VALUES ('order-9', 'COMPENSATED')", "nobody asked for: order-9"),
        ("inventory", "UPDATE stock SET available = 7", "3 taken, but 2 accounted for"),
        ("payment", "UPDATE accounts SET balance = 49", "51 taken, but 50 accounted for"),
    ],
)
async def test_a_figure_that_is_wrong_is_seen(tmp_path: Path, database: str, tampering: str, complaint: str) -> None:
    for name, tables in TABLES.items():
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as connection:
            connection.executescript(tables)
            if name == database:
                connection.execute(tampering)
            connection.commit()
    figures = await count(tmp_path, [orders.Order("order-1")])
    if complaint:
        assert complaint in "; ".join(figures.wrong)
    else:
        assert figures.wrong == []
