from __future__ import annotations

import signal
import socket
import subprocess

import pytest

from tests.demo.upper import PATIENCE_S, SAGA, clean_environment

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_broker_prints_its_address_and_its_limits(number: signal.Signals) -> None:
    with subprocess.Popen(
        [*SAGA, "broker"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), PATIENCE_S):
            process.send_signal(number)
            out, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert out == ""  # the address is the only line, for `$(…)` and pipes
    assert f"export KAFKA_BOOTSTRAP_SERVERS={address}" in errors
    for limit in ("in memory", "5 MiB a partition", "4 partitions", "no topic administration", "never for reliability"):
        assert limit in errors
