"""`saga watch` on a terminal: what fits into 80 columns, and how it is left."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import (
    PATIENCE_S,
    FillStore,
    command,
    compensated,
    completed,
    environment,
    parked,
    running,
    waiting,
)

pytestmark = pytest.mark.processes

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass
class Terminal:
    """A program on a terminal of 80 columns and 24 lines."""

    process: subprocess.Popen[bytes]
    ours: int
    theirs: int
    before: list[object]
    said: str = ""

    def until(self, text: str) -> str:
        """Everything it showed, once `text` is there."""
        while text not in self.said:
            ready, _, _ = select.select([self.ours], [], [], PATIENCE_S)
            assert ready, f"no {text!r} in {self.said!r}"
            self.said += _ESCAPES.sub("", os.read(self.ours, 65_536).decode())
        return self.said

    def press(self, keys: bytes) -> int:
        """Press keys; the exit code that follows. The terminal must be what it was."""
        os.write(self.ours, keys)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(PATIENCE_S)
        assert termios.tcgetattr(self.theirs) == self.before
        return code


@pytest.fixture
def watched(tmp_path: Path, fill_store: FillStore) -> Iterator[Terminal]:
    fill_store(
        completed("order-1"),
        compensated(
            "an-id-that-is-far-too-long-for-a-terminal-of-eighty-columns", "card declined: " + "no money " * 20
        ),
        parked("stuck-1"),
        running("running-1"),
        *(waiting(f"waiting-{number}") for number in range(30)),
        compensated("order-2", "card declined: the balance is too low"),
    )
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    before = termios.tcgetattr(theirs)
    with subprocess.Popen(
        ["setsid", "-c", *command("watch", "--interval", "100ms", "--rows", "40")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        env=environment(tmp_path, TERM="xterm"),
    ) as process:
        try:
            yield Terminal(process, ours, theirs, before)
        finally:
            process.kill()
            os.close(ours)
            os.close(theirs)


def test_it_fits_into_80_columns_and_24_lines(watched: Terminal) -> None:
    shown = watched.until("waiting-20").split("\r\n")
    assert max(map(len, shown)) <= 80
    assert len(shown) <= 24
    assert "q leaves" in shown[0]
    assert [line.split() for line in shown[1:3]] == [
        ["PENDING", "30", "RUNNING", "1", "COMPENSATING", "0"],
        ["COMPLETED", "1", "COMPENSATED", "2", "PARKED", "1"],
    ]
    [declined] = [line for line in shown if line.startswith("order-2")]
    assert re.search(r"COMPENSATED +\d+.* ago +.* ms +card declined: the b", declined)


@pytest.mark.parametrize("key", [b"q", b"Q", b"\x04"])
def test_a_key_leaves_it(watched: Terminal, key: bytes) -> None:
    watched.until("order-2")
    assert watched.press(key) == 0


def test_ctrl_c_leaves_it_with_130(watched: Terminal) -> None:
    watched.until("order-2")
    assert watched.press(b"\x03") == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_ended_leaves_the_terminal_as_it_was(watched: Terminal, number: signal.Signals) -> None:
    watched.until("order-2")
    watched.process.send_signal(number)
    assert watched.ended() == 0
