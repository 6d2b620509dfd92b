from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.kafka import kafka as local_kafka

SCRIPT = Path(local_kafka.__file__)

pytestmark = pytest.mark.processes


def run(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=None if path is None else {"PATH": path},
    )


def test_without_java_it_says_so_and_names_the_alternative(tmp_path: Path) -> None:
    result = run("start", "--data-dir", str(tmp_path / "data"), "--port", "1", path=str(tmp_path))
    assert result.returncode == 1
    assert "java is not installed" in result.stderr
    assert "kafka_saga.messaging.embedded" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(local_kafka.missing_tools() is not None, reason=f"{local_kafka.missing_tools()}")
def test_a_taken_port_is_said_plainly(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        broker = local_kafka.Broker(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(local_kafka.KafkaError, match="in use"):
            broker.start()


@pytest.mark.skipif(local_kafka.missing_tools() is not None, reason=f"{local_kafka.missing_tools()}")
def test_a_broker_that_ends_at_once_shows_its_last_words(tmp_path: Path) -> None:
    broker = local_kafka.Broker(tmp_path, config={"log.dirs": "", "log.dir": ""})
    with pytest.raises(local_kafka.KafkaError, match=r"(?s)last lines.*log\.dir"):
        broker.start()
    assert not broker.running()
