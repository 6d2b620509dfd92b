from __future__ import annotations

from pathlib import Path

import pytest

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.broker_file import BrokerFile, DepartedBroker, DepartedBrokerError
from kafka_saga.orchestrator.config import BOOTSTRAP_SERVERS, Loaded, load_settings
from kafka_saga.runtime.errors import StoreRefusedError


def load(data_dir: Path, **environment: str) -> Loaded:
    return load_settings(flags={"data_dir": data_dir}, environment=environment)


def test_nobody_named_a_kafka_and_no_saga_up_runs(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded.settings.kafka == KafkaSettings()
    assert not loaded.kafka_configured
    assert BOOTSTRAP_SERVERS not in loaded.sources


def test_the_embedded_broker_of_a_running_saga_up_is_found(tmp_path: Path) -> None:
    note = BrokerFile(tmp_path)
    note.acquire()
    assert load(tmp_path).settings.kafka.bootstrap_servers == "localhost:9092"  # it says nothing yet
    note.write("127.0.0.1:4711")
    loaded = load(tmp_path)
    assert loaded.settings.kafka.bootstrap_servers == "127.0.0.1:4711"
    assert loaded.settings.kafka.client_options()["bootstrap_servers"] == "127.0.0.1:4711"
    assert loaded.sources[BOOTSTRAP_SERVERS] == str(tmp_path / "broker")
    assert not loaded.kafka_configured
    note.write("127.0.0.1:1")  # a shorter address leaves nothing of the longer one
    assert load(tmp_path).settings.kafka.bootstrap_servers == "127.0.0.1:1"
    note.remove()
    note.remove()
    assert load(tmp_path).settings.kafka == KafkaSettings()


@pytest.mark.parametrize("variable", ["KAFKA_BOOTSTRAP_SERVERS", "SAGA_KAFKA__BOOTSTRAP_SERVERS"])
def test_whatever_names_a_kafka_wins_over_it(tmp_path: Path, variable: str) -> None:
    note = BrokerFile(tmp_path)
    note.acquire()
    note.write("127.0.0.1:4711")
    loaded = load(tmp_path, **{variable: "kafka:9092"})
    assert loaded.settings.kafka.bootstrap_servers == "kafka:9092"
    assert loaded.kafka_configured
    note.remove()


def test_a_file_that_nobody_holds_is_reported_and_not_believed(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("127.0.0.1:4711\n# a process that was killed\n")
    loaded = load(tmp_path)
    assert isinstance(loaded.settings.kafka, DepartedBroker)
    assert "gone" in loaded.sources[BOOTSTRAP_SERVERS]
    with pytest.raises(DepartedBrokerError, match="Start `saga up` again"):
        loaded.settings.kafka.client_options()
    BrokerFile(tmp_path).acquire()  # and is no obstacle to the next one


def test_one_data_directory_has_one_saga_up(tmp_path: Path) -> None:
    note = BrokerFile(tmp_path)
    note.acquire()
    with pytest.raises(StoreRefusedError, match="another `saga up` runs in"):
        BrokerFile(tmp_path).acquire()
    note.remove()
