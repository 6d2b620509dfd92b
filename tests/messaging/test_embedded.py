from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from structlog.testing import CapturingLogger

from kafka_saga.messaging import embedded as embedded_module
from kafka_saga.messaging import resets
from kafka_saga.messaging.consumer import Consumer, Reset
from kafka_saga.messaging.embedded import embedded_broker
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.errors import ConfigError

WITHOUT_CONFLUENT_KAFKA = """
import sys
sys.modules["confluent_kafka"] = None
from kafka_saga.messaging.embedded import main
sys.argv = ["embedded"]
sys.exit(main())
"""


def listens(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_address_and_runs_until_told_to_end(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "kafka_saga.messaging.embedded"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert listens(address)
        process.send_signal(number)
        assert process.wait(30) == 0
    assert not listens(address)


@pytest.mark.processes
def test_the_helper_ends_its_broker() -> None:
    with embedded_broker() as broker:
        assert listens(broker.bootstrap_servers)
    assert not listens(broker.bootstrap_servers)
    with pytest.raises(ProcessLookupError):
        os.kill(broker.pid, 0)


@pytest.mark.processes
def test_the_broker_ends_with_the_process_that_started_it() -> None:
    starter = (
        "from kafka_saga.messaging.embedded import embedded_broker\nimport os, signal\n"
        "with embedded_broker() as broker:\n"
        "    print(broker.bootstrap_servers, broker.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # The pipe is inherited by nobody but the starter: its end says that the starter is gone.
        address, pid = process.stdout.read().split()
    descriptor = os.pidfd_open(int(pid)) if _alive(int(pid)) else None
    if descriptor is not None:
        with os.fdopen(descriptor) as handle:
            _wait_for_end(handle.fileno())
    assert not listens(address)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_for_end(descriptor: int) -> None:
    import select  # noqa: PLC0415

    readable, _, _ = select.select([descriptor], [], [], 30)
    assert readable, "the embedded broker outlived its starter"


def test_without_confluent_kafka_it_says_what_to_install() -> None:
    command = [sys.executable, "-c", WITHOUT_CONFLUENT_KAFKA]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == ConfigError.exit_code
    assert "pip install 'kafka-saga[demo]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_helper_passes_on_why_its_broker_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_module, "_COMMAND", (sys.executable, "-c", WITHOUT_CONFLUENT_KAFKA))
    with pytest.raises(ConfigError, match="kafka-saga"), embedded_broker():
        pass


@pytest.mark.processes
async def test_a_position_in_a_topic_of_an_earlier_embedded_broker_is_explained_and_no_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    partition, logger = TopicPartition("forgotten", 0), CapturingLogger()
    monkeypatch.setattr(resets, "_log", logger)
    with embedded_broker() as broker:
        consumer = Consumer(KafkaSettings(bootstrap_servers=broker.bootstrap_servers), ["forgotten"], group="g")
        await consumer.start({partition: 7})
        assert consumer.take_resets() == (Reset(partition, 7, 0, "beyond_end"),)
        await consumer.stop()
    assert [(call.method_name, call.args) for call in logger.calls] == [("info", ("consumer.position_forgotten",))]
