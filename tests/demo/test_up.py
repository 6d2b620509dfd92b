"""`saga up`, as a process: what it starts, restarts, leaves behind, and finds again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from kafka_saga.messaging.embedded import embedded_broker
from kafka_saga.orchestrator.cli.scaffold import write_project
from kafka_saga.orchestrator.demo.orders import Order
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.runtime.store_lock import StoreLock
from tests.demo.upper import PATIENCE_S, SAGA, Up, clean_environment, saga_up, until_gone

pytestmark = pytest.mark.processes

READY = "everything is ready"


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def listens(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_order_completes_and_a_stop_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with saga_up(tmp_path) as up:
        up.until(READY)
        address = up.settings.kafka.bootstrap_servers
        assert up.complete(Order("order-1"), Order("order-2", "broke", ends=SagaState.COMPENSATED)) == [
            "COMPLETED",
            "COMPENSATED",
        ]
        children = up.children()
        up.until(r"saga +│ order-1  order  COMPLETED  \d")
        up.until(r"saga +│ order-2  order  COMPENSATED  \d.*  card declined: the balance is too low")
        assert len(children) == 5
        assert up.stop(number) == 0
        assert not alive(children)
        assert not listens(address)
        assert not (tmp_path / ".saga" / "broker").exists()
        assert not [line for line in up.lines if "Traceback" in line or "ERROR" in line or "was killed" in line]
        assert up.process.stdout is not None
        assert f"export KAFKA_BOOTSTRAP_SERVERS={address}" in up.process.stdout.read()


def test_a_terminal_that_knows_only_ascii_gets_everything_too(tmp_path: Path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"}
    with saga_up(tmp_path, **ascii_only) as up:
        up.until(READY)
        up.until(r"^orchestrator \| \d\d:\d\d")
        assert up.complete(Order("order-1")) == ["COMPLETED"]
        assert up.stop() == 0
        assert not [line for line in up.lines if "Traceback" in line or "ERROR" in line]


def test_it_goes_on_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*SAGA, "up"],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert any(READY in line for line in process.stderr)
            process.stdout.close()
            process.stderr.close()
            up = Up(process, tmp_path)
            os.kill(up.holder("orchestrator"), signal.SIGKILL)  # its death is told to nobody, and mended all the same
            assert up.complete(Order("order-1")) == ["COMPLETED"]
            assert up.stop() == 0
        finally:
            process.kill()


def test_other_terminals_find_broker_and_store_by_themselves(tmp_path: Path) -> None:
    with saga_up(tmp_path) as up:
        up.until(READY)
        up.complete(Order("order-1"))
        for command in (["show", "order-1", "-o", "json"], ["topics", "list", "-o", "json"]):
            result = subprocess.run(
                [*SAGA, *command], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
            )
            assert result.returncode == 0, result.stderr
            assert '"COMPLETED"' in result.stdout or '"exists":true' in result.stdout


def test_a_killed_child_is_started_again_and_what_it_missed_is_done(tmp_path: Path) -> None:
    with saga_up(tmp_path) as up:
        seen = up.until(READY)
        for database, event in (("payment", "participant.ready"), ("orchestrator", "orchestrator.ready")):
            killed = up.holder(database)
            os.kill(killed, signal.SIGKILL)
            seen = up.until(rf"{database} died \(signal SIGKILL\)", after=seen)
            seen = up.until(rf"^{database}.*{event}", after=seen)
            assert up.holder(database) != killed
        assert up.complete(Order("order-1")) == ["COMPLETED"]
        assert up.stop() == 0


def test_a_dead_embedded_broker_is_replaced_and_sagas_go_on(tmp_path: Path) -> None:
    with saga_up(tmp_path) as up:
        seen = up.until(READY)
        assert up.complete(Order("order-1")) == ["COMPLETED"]
        first = up.settings.kafka.bootstrap_servers
        [broker] = [
            pid
            for pid in up.children()
            if b"kafka_saga.messaging.embedded" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(broker, signal.SIGKILL)
        seen = up.until("the embedded broker died", after=seen)
        up.until(READY, after=seen)
        assert up.settings.kafka.bootstrap_servers != first
        assert up.complete(Order("order-2")) == ["COMPLETED"]
        assert up.stop() == 0


def test_a_second_start_in_the_same_directory_just_works(tmp_path: Path) -> None:
    first, second = [Order(f"order-{n}") for n in range(12)], [Order(f"order-{n}") for n in range(12, 24)]
    with saga_up(tmp_path) as up:
        up.until(READY)
        up.complete(*first)
        assert up.stop() == 0
    with saga_up(tmp_path) as up:
        up.until("was used before: its sagas and the participants' data are kept")
        up.until(READY)
        assert up.complete(*second) == ["COMPLETED"] * 12
        result = subprocess.run(
            [*SAGA, "show", "order-0"],
            cwd=tmp_path,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert "COMPLETED" in result.stdout
        assert up.stop() == 0
        assert not [line for line in up.lines if "position" in line and "ERROR" in line], up.lines


def test_a_second_ctrl_c_kills(tmp_path: Path) -> None:
    with saga_up(tmp_path) as up:
        up.until(READY)
        children = up.children()
        os.kill(up.holder("payment"), signal.SIGSTOP)  # it will not stop by itself
        up.process.send_signal(signal.SIGINT)
        up.until("stopping")
        assert up.stop() == 130
        assert not alive(children)


def test_children_end_when_saga_up_is_killed_and_the_stale_address_is_not_believed(tmp_path: Path) -> None:
    with saga_up(tmp_path) as up:
        up.until(READY)
        children = up.children()
        up.process.kill()
        up.process.wait(PATIENCE_S)
        until_gone(children)
    topics = [*SAGA, "topics", "list"]
    result = subprocess.run(topics, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False)
    assert result.returncode == 5
    assert "is gone: its `saga up` was killed. Start `saga up` again" in result.stderr
    with saga_up(tmp_path) as up:
        up.until(READY)
        assert up.complete(Order("order-1")) == ["COMPLETED"]
        assert up.stop() == 0


def test_a_second_saga_up_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    with saga_up(tmp_path) as up:
        up.until(READY)
        with saga_up(tmp_path) as second:
            second.until("in use by .*orchestrator")
            assert second.process.wait(PATIENCE_S) == 4
        assert up.complete(Order("order-1")) == ["COMPLETED"]
        assert up.stop() == 0


def test_a_process_that_cannot_run_is_named_and_ends_it(tmp_path: Path) -> None:
    database = tmp_path / ".saga" / "payment.db"
    lock = StoreLock(database)
    lock.acquire("somebody else")
    try:
        with saga_up(tmp_path) as up:
            assert up.process.wait(PATIENCE_S) == 4
            up.until("payment cannot run: .*payment.db")
    finally:
        lock.release()


def test_what_was_said_once_is_known_to_every_later_command(tmp_path: Path) -> None:
    write_project(tmp_path / "booking")
    folder = tmp_path / "booking"
    (folder / "saga.toml").unlink()
    participants = ("--participant", "booking.seats:seats", "--participant", "booking.wallet:wallet")
    with saga_up(folder, "--app", "booking.saga", *participants) as up:
        up.until(r"remembered in \.saga/up\.toml, for every `saga` command here: app, participants")
        up.until(READY)
        assert up.stop() == 0
    with saga_up(folder) as up:
        up.until(r"as remembered in \.saga/up\.toml, which you may remove: app, participants")
        up.until(READY)
        asked = '{"booking_id": "b-1", "customer": "alice", "seat": "A1", "price": 4990}'
        for command in (["submit", "booking", "--wait", "--json", asked], ["list", "--type", "booking"], ["check"]):
            result = subprocess.run(
                [*SAGA, *command], cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
            )
            assert result.returncode == 0, result.stderr
        assert up.stop() == 0


def test_what_a_file_says_otherwise_is_not_claimed_to_be_remembered(tmp_path: Path) -> None:
    write_project(tmp_path / "booking")
    shipped = "kafka_saga.orchestrator.sagas.order"
    with saga_up(tmp_path / "booking", "--app", shipped, "--participant", "inventory") as up:
        up.until(READY)
        assert up.stop() == 0
    assert not [line for line in up.lines if line.startswith("remembered")]
    for name in ("app", "participants"):
        assert f"{name} is as you say now only: for other commands saga.toml decides" in up.lines


def test_what_does_not_fit_is_started_where_one_insists(tmp_path: Path) -> None:
    write_project(tmp_path / "booking")
    module = tmp_path / "booking" / "booking" / "seats.py"
    module.write_text(module.read_text().replace("@seats.compensation(ReleaseSeat)", "@seats.action(ReleaseSeat)"))
    with saga_up(tmp_path / "booking", "--no-check") as up:
        up.until("wrong: seats.releaseSeat .*: it is sent as a compensation, and registered with @seats.action")
        up.until(READY)
        assert up.stop() == 0


def test_what_keeps_dying_is_named_with_its_last_error(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import os, sys\n"
        "from kafka_saga.participants.handlers import Participant\n"
        "stock = Participant('stock')\n"
        "async def prepare(connection):\n"
        "    sys.stderr.write('RuntimeError: the shelf is gone\\n')\n"
        "    sys.stderr.flush()\n"
        "    os._exit(1)\n"
    )
    with saga_up(tmp_path, "--participant", "shop:stock") as up:
        up.until(r"stock keeps dying \(3 times, now exit code 1\)\. Its last error: RuntimeError: the shelf is gone")
        assert up.stop() == 0


def test_a_configured_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    with embedded_broker() as broker:
        gone = broker.bootstrap_servers
    with saga_up(tmp_path, "--bootstrap-servers", gone) as up:
        up.until(f"waiting for Kafka: cannot reach Kafka at {gone}: is it running")
        assert not up.children()
        assert up.stop() == 0


def test_a_configured_broker_that_may_not_be_waited_for_is_one_line(tmp_path: Path) -> None:
    with saga_up(tmp_path, "--bootstrap-servers", "127.0.0.1:1", "--broker-wait", "0") as up:
        up.until("saga: cannot reach Kafka at 127.0.0.1:1: is it running")
        assert up.process.wait(60) == 5
