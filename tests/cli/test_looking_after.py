"""`saga doctor`, `saga config` and `saga schemas`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import FillStore, Saga, System, completed


@pytest.mark.kafka
@pytest.mark.processes
def test_doctor_finds_a_running_system_well(saga: Saga, system: System) -> None:
    saga("submit", "order", "--wait", **system.variables)
    run = saga("doctor", "-o", "jsonl", **system.variables)
    verdicts = {row["check"]: row["verdict"] for row in run.rows}
    assert run.exit_code == 0, run.out
    for check in ("settings", "definitions", "topics", "store", "orchestrator", "outbox", "versions"):
        assert verdicts[check] == "ok", run.out


@pytest.mark.kafka
@pytest.mark.processes
def test_doctor_knows_a_consumer_group_of_another_store(saga: Saga, system: System, fill_store: FillStore) -> None:
    saga("submit", "order", "--wait", **system.variables)
    path = fill_store(completed("order-1"))
    for _ in range(20):  # the hint for lag tools comes half a second later
        run = saga("doctor", "-o", "jsonl", "--store", str(path), **system.variables)
        group = next(row for row in run.rows if row["check"] == "consumer group")
        if group["verdict"] == "wrong":
            break
    assert (run.exit_code, group["verdict"]) == (1, "wrong")
    assert "is read for by store" in group["found"]


@pytest.mark.kafka
def test_doctor_names_missing_topics_and_who_creates_them(saga: Saga, system: System) -> None:
    variables = {**system.variables, "SAGA_TOPICS__PREFIX": "nonesuch."}
    run = saga("doctor", "-o", "jsonl", **variables)
    topics = next(row for row in run.rows if row["check"] == "topics")
    assert (run.exit_code, topics["verdict"]) == (1, "wrong")
    assert "nonesuch.order.requests" in topics["found"]
    assert "saga topics create" in topics["remedy"]


@pytest.mark.parametrize(
    ("arguments", "variables", "check", "exit_code"),
    [
        (["-b", "127.0.0.1:1"], {}, "broker", 5),
        (["-b", "127.0.0.1:1", "--app", "nonesuch"], {}, "definitions", 5),
        ([], {"SAGA_PARTITIONS": "many"}, "settings", 1),
    ],
)
def test_doctor_goes_on_when_one_check_fails(
    saga: Saga, arguments: list[str], variables: dict[str, str], check: str, exit_code: int
) -> None:
    run = saga("doctor", "-o", "jsonl", *arguments, **variables)
    assert run.exit_code == exit_code
    bad = [row for row in run.rows if row["verdict"] in {"wrong", "unreachable"}]
    assert check in {row["check"] for row in bad}
    assert all(row["remedy"] for row in bad)


def test_doctor_finds_a_damaged_store(saga: Saga, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_text("this is no database, but long enough to be read as one" * 20)
    run = saga("doctor", "-o", "jsonl", "-b", "127.0.0.1:1", "--store", "broken.db")
    store = next(row for row in run.rows if row["check"] == "store")
    assert (store["verdict"], "damaged" in store["remedy"]) == ("wrong", True)


def test_config_shows_every_setting_with_its_source(saga: Saga, tmp_path: Path) -> None:
    (tmp_path / "saga.toml").write_text('partitions = 12\n[kafka]\nclient_id = "mine"\n')
    run = saga("config", "show", "--prefix", "shop.", "-o", "jsonl", KAFKA_BOOTSTRAP_SERVERS="kafka:9092")
    found = {row["setting"]: (row["value"], row["source"]) for row in run.rows}
    assert found["partitions"] == (12, "saga.toml")
    assert found["kafka.client_id"] == ("mine", "saga.toml")
    assert found["kafka.bootstrap_servers"] == ("kafka:9092", "KAFKA_BOOTSTRAP_SERVERS")
    assert found["topics.prefix"] == ("shop.", "--prefix")
    assert found["in_flight_max"] == (1_000, "default")
    assert all(row["what for"] for row in run.rows), "every setting says what it is for"


def test_config_never_shows_a_secret(saga: Saga) -> None:
    for output in ("table", "json"):
        run = saga("config", "show", "-o", output, SAGA_KAFKA__SASL_PASSWORD="hunter2")
        assert "hunter2" not in run.out + run.err
        assert "********" in run.out


def test_the_exported_contract_is_checked_against_the_code(saga: Saga, tmp_path: Path) -> None:
    assert saga("schemas", "export", "contract").exit_code == 0
    assert saga("schemas", "export", "contract", "--check").exit_code == 0
    (tmp_path / "contract" / "asyncapi.json").write_text("{}")
    run = saga("schemas", "export", "contract", "--check")
    assert run.exit_code == 1
    assert "out of date: contract/asyncapi.json" in run.err
