"""Real processes of ours: started as a user would, watched through their logs, ended by their own id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from kafka_saga.runtime.clock import SystemClock
from tests.warm import run_warm

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_MS = 60_000
CLOCK = SystemClock()


async def until(what: str, done: Callable[[], bool], patience_ms: int = PATIENCE_MS) -> None:
    """Look until `done()`; fail with `what` when that takes longer than anybody should wait."""
    deadline = CLOCK.monotonic_ms() + patience_ms
    while not done():
        if CLOCK.monotonic_ms() > deadline:
            raise AssertionError(f"after {patience_ms / 1000:g} s still not: {what}")
        await CLOCK.sleep(20)


class Process:
    """One process, its environment, and its log."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], log_file: Path) -> None:
        self.name = name
        self.command = command
        self.environment = dict(environment)
        self.log_file = log_file
        self._log_from = 0
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        assert self._popen is None or self._popen.poll() is not None, f"{self.name} runs already"
        self.environment |= environment
        self._log_from = self.log_file.stat().st_size if self.log_file.exists() else 0
        log: IO[bytes]
        with self.log_file.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    def memory_peak_mb(self) -> float:
        """The most memory it has held at once."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1_000

    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def output(self) -> str:
        """What it has said since its last start."""
        return self.log_file.read_bytes()[self._log_from :].decode(errors="replace")

    async def said(self, event: str) -> None:
        """Wait until its log has `event`; fail at once where the process has ended."""
        await self.said_text(f'"{event}"')

    async def said_text(self, text: str) -> None:
        def found() -> bool:
            if text in self.output():
                return True
            assert self.running(), f"{self.name} ended with {self.code()}:\n{self.output()[-3000:]}"
            return False

        await until(f"{self.name} says {text}", found)

    def kill(self) -> None:
        """SIGKILL: nothing of it gets to say goodbye."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)

    def terminate(self) -> int:
        """SIGTERM; its exit code."""
        assert self._popen is not None
        self._popen.send_signal(signal.SIGTERM)
        try:
            return self._popen.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end after SIGTERM:\n{self.output()[-3000:]}") from None

    def code(self) -> int | None:
        return None if self._popen is None else self._popen.poll()


def environment(bootstrap_servers: str, data_dir: Path, prefix: str) -> dict[str, str]:
    """What every process of a test's world is told."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "KAFKA_"))}
    return {
        **ours,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "SAGA_DATA_DIR": str(data_dir),
        "SAGA_TOPICS__PREFIX": prefix,
        "SAGA_LOG_FORMAT": "json",
    }


def saga_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kafka_saga.orchestrator.cli", *arguments]


def run_saga(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`saga …`, to its end."""
    exit_code, out, err = run_warm(arguments, ROOT, environment, None, PATIENCE_MS / 1_000)
    return subprocess.CompletedProcess(saga_command(*arguments), exit_code, out, err)
