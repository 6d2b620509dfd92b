"""`saga doctor` and `saga explain` beside real processes that are killed, stopped, or lose files and messages."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from kafka_saga.runtime.clock import SystemClock
from tests.brokers import BrokerUnderTest
from tests.cli.conftest import PATIENCE_S, FillStore, Run, Saga, command, environment, parked, running, waiting

CLOCK = SystemClock()
ROLES = ("orchestrator", "inventory", "payment", "orders")


@dataclass
class Plant:
    """An orchestrator and three participants of one test's own, each of which it may harm."""

    saga: Saga
    folder: Path
    bootstrap_servers: str
    prefix: str
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        return {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers, "SAGA_TOPICS__PREFIX": self.prefix}

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def __post_init__(self) -> None:
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})

    def start(self, *roles: str) -> None:
        """Start processes, and wait until they are ready."""
        for role in roles:
            arguments = [role] if role == "orchestrator" else ["participant", role]
            log = self.folder / f"{role}.log"
            with log.open("w") as file:
                self.processes[role] = subprocess.Popen(
                    command(*arguments, "--log-format", "json"),
                    stderr=file,
                    stdin=subprocess.DEVNULL,
                    text=True,
                    cwd=self.folder,
                    env=environment(self.folder, **self.variables),
                )
        for role in roles:
            log = self.folder / f"{role}.log"
            wait_until(lambda log=log: ".ready" in log.read_text(), f"{role} to be ready")

    def end(self, *roles: str, by: signal.Signals = signal.SIGTERM) -> None:
        """End processes by `by`, and wait until they have."""
        for role in roles:
            self.processes[role].send_signal(by)
        for role in roles:
            self.processes.pop(role).wait(PATIENCE_S)

    def signal(self, role: str, which: signal.Signals) -> None:
        self.processes[role].send_signal(which)

    def run(self, *arguments: str) -> Run:
        return self.saga(*arguments, **self.variables)

    def submit(self, order_id: str) -> str:
        assert self.run("submit", "order", "--order-id", order_id).exit_code == 0
        return order_id

    def doctor(self) -> tuple[int, dict[str, list[dict[str, Any]]]]:
        """Its exit code, and what it found that is not in order, by check."""
        run = self.run("doctor", "-o", "jsonl")
        assert not run.err, run.err
        found: dict[str, list[dict[str, Any]]] = {}
        for row in run.rows:
            if row["verdict"] not in {"ok", "note"}:
                found.setdefault(row["check"], []).append(row)
        return run.exit_code, found

    def doctor_until(self, verdict: str, check: str) -> tuple[int, dict[str, Any]]:
        """The exit code and the finding, once `check` comes out as `verdict`."""
        seen: dict[str, Any] = {}

        def there() -> bool:
            code, found = self.doctor()
            seen.update(code=code, found=found)
            return any(row["verdict"] == verdict for row in found.get(check, []))

        wait_until(there, lambda: f"{check} to be {verdict}: {seen}")
        return seen["code"], next(row for row in seen["found"][check] if row["verdict"] == verdict)

    def doctor_until_well(self) -> None:
        seen: dict[str, Any] = {}

        def well() -> bool:
            code, seen["found"] = self.doctor()
            return code == 0

        wait_until(well, lambda: f"all to be well: {seen}")

    def explain(self, saga_id: str, reason: str) -> str:
        """What is said of a saga, once it is for that reason."""
        seen: dict[str, Any] = {}

        def there() -> bool:
            seen.update(self.run("explain", saga_id, "-o", "json").json)
            return reason in {one["reason"] for one in seen["reasons"]}

        wait_until(there, lambda: f"{reason}: {seen}")
        return self.run("explain", saga_id).out


def wait_until(condition: Callable[[], bool], what: str | Callable[[], str]) -> None:
    deadline = CLOCK.monotonic_ms() + PATIENCE_S * 1_000
    while not condition():
        if CLOCK.monotonic_ms() > deadline:
            pytest.fail(f"waited in vain for {what if isinstance(what, str) else what()}")
        asyncio.run(CLOCK.sleep(100))


@pytest.fixture
def plant(saga: Saga, tmp_path: Path, kafka: BrokerUnderTest, topic_prefix: str) -> Iterator[Plant]:
    plant = Plant(saga, tmp_path, kafka.bootstrap_servers, topic_prefix)
    try:
        plant.start(*ROLES)
        yield plant
    finally:
        for process in plant.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(PATIENCE_S)


pytestmark = [pytest.mark.kafka, pytest.mark.processes]


def test_a_worker_that_is_killed_or_hangs_is_missed_and_one_that_idles_is_not(plant: Plant) -> None:
    assert plant.run("submit", "order", "--wait").exit_code == 0
    plant.doctor_until_well()
    plant.end("payment", by=signal.SIGKILL)
    code, found = plant.doctor()
    assert (code, found["service payment"][0]["verdict"]) == (6, "warning")
    order_id = plant.submit("order-7")
    code, missing = plant.doctor_until("wrong", "service payment")
    assert code == 1
    assert f"nobody reads {plant.prefix}payment.commands: " in missing["found"]
    assert missing["details"]["oldestSaga"] == order_id
    assert missing["details"]["unread"] >= 1
    assert f"Nobody reads {plant.prefix}payment.commands: " in plant.explain(order_id, "nobody_reads")
    plant.start("payment")
    plant.doctor_until_well()
    plant.signal("payment", signal.SIGSTOP)
    plant.submit("order-8")
    code, missing = plant.doctor_until("wrong", "service payment")
    assert f"participant payment (process {plant.processes['payment'].pid}) runs" in missing["found"]
    plant.signal("payment", signal.SIGCONT)
    plant.doctor_until_well()


def test_databases_that_are_deleted_or_replaced_under_their_processes_are_seen(plant: Plant) -> None:
    """Of processes that stand still: others notice it themselves, within two seconds, and end."""
    for process in plant.processes.values():
        process.send_signal(signal.SIGSTOP)
    for name, check, role in (("payment", "database", "payment"), ("orchestrator", "store", "orchestrator")):
        path, copy = plant.data / f"{name}.db", plant.folder / f"{name}.copy"
        shutil.copy(path, copy)
        path.unlink()
        code, found = plant.doctor()
        assert code == 1
        assert f"{path} was deleted while" in found[check][0]["found"]
        assert f"(process {plant.processes[role].pid})" in found[check][0]["found"]
        shutil.copy(copy, path)
        code, found = plant.doctor()
        assert code == 1
        assert "it was replaced" in found[check][0]["found"]
    if Path("/proc/self/fd").exists():
        shutil.rmtree(plant.data)
        code, found = plant.doctor()
        assert code == 1
        assert [row["details"]["processes"] for row in found["store"]] == [[plant.processes["orchestrator"].pid]]
        assert len(found["database"]) == len(ROLES) - 1
    plant.end(*ROLES, by=signal.SIGKILL)


@pytest.mark.real_kafka
def test_requests_that_were_deleted_unread_are_counted_before_and_after_the_start(plant: Plant) -> None:
    # Enough that every partition was read: of one that never was, nobody knows whose its records were.
    assert plant.run("submit", "order", "--count", "40", "--wait").exit_code == 0
    plant.doctor_until_well()
    plant.end("orchestrator")
    assert plant.run("submit", "order", "--count", "12").exit_code == 0
    code, found = plant.doctor()
    assert (code, found["requests"][0]["details"]["unread"]) == (1, 12)
    topic = f"{plant.prefix}order.requests"
    for deleted in plant.admin.delete_records([TopicPartition(topic, number, -1) for number in range(4)]).values():
        deleted.result()
    code, found = plant.doctor()
    lost = sum(count for row in found["positions"] for count in row["details"]["records"].values())
    assert (code, lost) == (1, 12)
    plant.start("orchestrator")
    code, row = plant.doctor_until("warning", "lost")
    assert (code, row["details"]["topic"], row["details"]["deleted"]) == (6, topic, 12)


@pytest.mark.real_kafka
def test_replies_behind_somebody_elses_open_transaction_are_named(plant: Plant) -> None:
    topic = f"{plant.prefix}inventory.replies"
    foreign = Producer({"bootstrap.servers": plant.bootstrap_servers, "transactional.id": topic})
    foreign.init_transactions()
    foreign.begin_transaction()
    for number in range(4):
        foreign.produce(topic, b"{}", key=b"nobody", partition=number)
    foreign.flush()
    order_id = plant.submit("order-1")
    wait_until(lambda: "STEP_1" in plant.run("show", order_id).out, "the first step's turn")
    code, row = plant.doctor_until("warning", "transactions")
    assert code == 6
    assert all(f"{topic}[{number}]" in row["details"]["partitions"] for number in range(4))
    assert "no timeout fires meanwhile" in row["remedy"]
    assert topic in plant.explain(order_id, "replies_held_back")
    foreign.abort_transaction()
    wait_until(lambda: "COMPLETED" in plant.run("show", order_id).out, "its end")
    assert "transactions" not in plant.doctor()[1]


@pytest.mark.real_kafka
def test_a_topic_that_is_gone_holds_up_what_is_for_it_and_that_is_said(plant: Plant) -> None:
    topic = f"{plant.prefix}payment.commands"
    plant.end("payment")
    for deleted in plant.admin.delete_topics([topic]).values():
        deleted.result()
    order_id = plant.submit("order-1")
    code, stuck = plant.doctor_until("wrong", "outbox")
    assert code == 1
    assert stuck["details"]["closedTopics"] == {topic: "the topic does not exist"}
    assert f"{topic} 1 (the topic does not exist)" in stuck["found"]
    assert "saga topics create" in stuck["remedy"]
    assert f"Its command is not published yet: it waits for {topic} since " in plant.explain(order_id, "not_published")
    assert plant.run("topics", "create").exit_code == 0
    plant.start("payment")
    plant.doctor_until_well()


def test_dead_letters_of_a_saga_that_waits_are_the_reason(plant: Plant) -> None:
    plant.signal("payment", signal.SIGSTOP)
    order_id = plant.submit("order-1")
    wait_until(lambda: "STEP_2" in plant.run("show", order_id).out, "the payment's turn")
    producer = Producer({"bootstrap.servers": plant.bootstrap_servers})
    command_id = f"order/{order_id}/process_payment/forward/1".encode()
    headers = [("ce_causationid", command_id), ("ce_sagaoutcome", b"success")]
    for _ in range(2):
        producer.produce(f"{plant.prefix}payment.replies", key=order_id, value=b'{"odd": 1}', headers=list(headers))
    producer.flush()
    said = plant.explain(order_id, "dead_replies")
    assert "Its replies are dead letters: bad_schema (2): " in said
    assert f"see `saga dlq list --saga {order_id}`" in said
    code, row = plant.doctor_until("wrong", "dead letters")
    assert (code, list(row["details"]["sagas"]), row["details"]["causes"]) == (1, [order_id], {"bad_schema": 2})


@pytest.mark.real_kafka
def test_topics_that_forget_too_soon_or_have_too_few_partitions_are_named(plant: Plant) -> None:
    topic = f"{plant.prefix}payment.commands"
    entry = ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for altered in plant.admin.incremental_alter_configs([resource]).values():
        altered.result()
    code, row = plant.doctor_until("warning", "topic settings")
    assert (code, row["details"]["topics"]) == (6, {topic: "1 h"})
    run = plant.saga("doctor", "-o", "jsonl", **plant.variables, SAGA_PARTITIONS="6")
    [fewer] = [one for one in run.rows if one["found"].startswith("fewer than 6 partitions")]
    assert fewer["details"]["topics"][topic] == 4


def test_no_orchestrator_and_sagas_that_wait_for_one(saga: Saga, fill_store: FillStore, kafka: BrokerUnderTest) -> None:
    fill_store(running("order-1"), parked("order-2"))
    run = saga("doctor", "-o", "jsonl", "-b", kafka.bootstrap_servers, "--prefix", f"t{os.urandom(4).hex()}.")
    found = {row["check"]: row for row in run.rows}
    assert (found["sagas"]["verdict"], found["parked"]["verdict"]) == ("wrong", "warning")
    assert "no orchestrator runs" in found["sagas"]["found"]


@pytest.fixture
def mute_broker() -> Iterator[str]:
    """Accepts connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_broker_that_never_answers_costs_doctor_its_findings_and_explain_a_remark(
    saga: Saga, fill_store: FillStore, mute_broker: str
) -> None:
    fill_store(running("order-1"), waiting("order-2"))
    run = saga("explain", "order-1", "-b", mute_broker)
    assert run.exit_code == 0
    assert "It waits for payment to answer chargePayment" in run.out
    assert "only the store was asked: " in run.err
    assert saga("explain", "order-1", "--no-kafka", "-o", "json").json["kafka"] == "not asked"
    [admission] = saga("explain", "order-2", "-b", mute_broker, "-o", "json").json["reasons"]
    assert (admission["reason"], admission["ahead"], admission["underWay"]) == ("admission", 0, 1)
    doctor = saga("doctor", "-o", "jsonl", "-b", mute_broker)
    assert doctor.exit_code == 5
    assert {row["check"]: row["verdict"] for row in doctor.rows}["broker"] == "unreachable"
    assert {row["check"] for row in doctor.rows} >= {"store", "outbox", "sagas", "timers", "disk"}


def test_a_services_database_is_looked_into_where_doctor_is_told_of_it(saga: Saga, tmp_path: Path) -> None:
    """Here it is one that does not answer; a server's tables are read in tests/operations."""
    nowhere = "postgresql://payment:secret@127.0.0.1:1/shop"
    (tmp_path / "saga.toml").write_text(f'[service_databases]\ninventory = "{nowhere}"\n')
    untold = saga("doctor", "-o", "jsonl", "-b", "127.0.0.1:1", SAGA_CONFIG="/dev/null")
    assert [row["check"] for row in untold.rows if row["check"].startswith("database")] == []
    by_file = saga("doctor", "-o", "jsonl", "-b", "127.0.0.1:1")
    by_flag = saga("doctor", "-o", "jsonl", "-b", "127.0.0.1:1", "--database.payment", nowhere)
    for run, service in ((by_file, "inventory"), (by_flag, "payment")):
        [row] = [row for row in run.rows if row["check"].startswith("database")]
        assert (row["check"], row["verdict"]) == (f"database {service}", "unreachable")
        assert row["found"] == "postgresql://payment:***@127.0.0.1:1/shop cannot be read"
        assert "secret" not in run.out
