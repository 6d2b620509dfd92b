"""What the commands say when something is wrong: one line that helps, and the right exit code. And a clean end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.store_lock import StoreLock
from tests.integration.processes import environment, run_saga
from tests.integration.world import World

pytestmark = pytest.mark.processes

NOBODY = "127.0.0.1:1"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def refused(data_dir: Path, *arguments: str, **more: str) -> tuple[int, str]:
    """Exit code, and the one line on stderr that is no log event."""
    result = run_saga({**environment(NOBODY, data_dir, "test."), **more}, *arguments)
    assert "Traceback" not in result.stderr + result.stdout, result.stderr
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, result.stderr
    return result.returncode, lines[0]


@pytest.mark.parametrize(
    "command",
    [("orchestrator", "--broker-wait", "0"), ("participant", "payment", "--broker-wait", "0"), ("topics", "create")],
)
def test_a_broker_that_nobody_answers_at_is_named_and_exits_5(data_dir: Path, command: tuple[str, ...]) -> None:
    code, line = refused(data_dir, *command)
    assert code == 5
    assert NOBODY in line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("orchestrator", "--in-flight-max", "many"), "many"),
        (("orchestrator", "--in-flight-max", "0"), "in-flight-max"),
        (("orchestrator", "--no-such-flag"), "--no-such-flag"),
        (("orchestrator", "--app", "no.such.module"), "no.such.module"),
        (("orchestrator", "--app", "json"), "json"),
        (("orchestrator", "--config", "/no/such/file.toml"), "/no/such/file.toml"),
        (("participant", "laundry"), "laundry"),
        (("participant", "payment", "--seed-file", "/no/such/seed.json"), "/no/such/seed.json"),
        (("show",), "SAGA_ID"),
        (("explode",), "explode"),
    ],
)
def test_a_wrong_word_is_named_and_exits_2(data_dir: Path, arguments: tuple[str, ...], named: str) -> None:
    code, line = refused(data_dir, *arguments)
    assert code == 2
    assert named in line


def test_a_wrong_variable_is_named_and_exits_2(data_dir: Path) -> None:
    code, line = refused(data_dir, "orchestrator", SAGA_IN_FLIGHT_MAX="many")
    assert (code, "SAGA_IN_FLIGHT_MAX" in line) == (2, True)
    code, line = refused(data_dir, "orchestrator", SAGA_KAFKA__SECURITY_PROTOCOL="TLS")
    assert (code, "SAGA_KAFKA__SECURITY_PROTOCOL" in line) == (2, True)


def test_a_config_file_that_is_no_toml_exits_2(data_dir: Path, tmp_path: Path) -> None:
    config = tmp_path / "saga.toml"
    config.write_text("kafka = [")
    code, line = refused(data_dir, "orchestrator", "--config", str(config))
    assert code == 2
    assert str(config) in line


def test_faults_are_refused_unless_they_are_allowed(data_dir: Path) -> None:
    code, line = refused(data_dir, "participant", "payment", SAGA_FAULT_LOSE="*")
    assert code == 2
    assert "SAGA_ALLOW_FAULTS" in line


def test_a_store_that_is_not_there_exits_5(data_dir: Path) -> None:
    code, line = refused(data_dir, "show", "order-1")
    assert code == 5
    assert str(data_dir) in line


def test_a_file_that_is_no_store_exits_5(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "orchestrator.db").write_bytes(b"shopping list\n" * 100)
    for command in (("show", "order-1"), ("orchestrator",)):
        code, line = refused(data_dir, *command)
        assert code == 5
        assert "orchestrator.db is no SQLite database" in line


@pytest.fixture
def held(data_dir: Path) -> Iterator[StoreLock]:
    lock = StoreLock(data_dir / "orchestrator.db")
    lock.acquire("saga orchestrator")
    yield lock
    lock.release()


@pytest.mark.usefixtures("held")
def test_a_store_in_use_is_refused_with_its_owner_and_exits_4_R24(data_dir: Path) -> None:
    code, line = refused(data_dir, "orchestrator")
    assert code == 4
    assert "orchestrator.db is in use by saga orchestrator (process" in line


async def test_a_newer_store_is_refused_and_the_process_ends_with_4(data_dir: Path) -> None:
    await (await open_store(data_dir / "orchestrator.db", SystemClock())).close()
    connection = sqlite3.connect(data_dir / "orchestrator.db")
    connection.execute("INSERT INTO schema_version VALUES (9999, 'from the future')")
    connection.commit()
    connection.close()
    code, line = refused(data_dir, "orchestrator")
    assert code == 4
    assert "schema version 9999" in line


async def test_a_saga_that_is_not_there_exits_3(data_dir: Path) -> None:
    await (await open_store(data_dir / "orchestrator.db", SystemClock())).close()
    for command in ("show", "log"):
        code, line = refused(data_dir, command, "order-1")
        assert (code, line) == (3, "saga: there is no saga 'order-1'")


@pytest.mark.kafka
async def test_every_process_ends_cleanly_on_sigterm_and_goes_on_later(world: World) -> None:
    await world.start()
    await world.order(*[f"order-{number}" for number in range(200)])
    await world.ended(20)
    for process in world.processes.values():
        assert process.terminate() == 0, process.output()[-3_000:]
        assert "Traceback" not in process.output()
        assert f"{'orchestrator' if process.name == 'orchestrator' else 'participant'}.stopped" in process.output()
    for process in world.processes.values():
        process.start()
    await world.ready()
    await world.ended(200)
    world.books.check(world.outcomes)


@pytest.mark.kafka
@pytest.mark.real_kafka
async def test_a_group_that_another_store_reads_for_is_refused_and_exits_4_R22(world: World) -> None:
    await world.start()
    await world.order("order-1")
    await world.ended(1)
    assert world.orchestrator.terminate() == 0
    other = {**world.environment, "SAGA_STORE": str(world.data_dir / "another.db")}
    result = run_saga(other, "orchestrator")
    assert result.returncode == 4
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert "two would do everything twice" in lines[0]
    assert "saga adopt orchestrator --from" in lines[0]
