"""Failpoints: a closed list, each at its place in the code, and armed only where tests ask for it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.failpoints import FAILPOINTS, FailpointError, arm, arm_from_environment, failpoint

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("runtime", "schemas", "messaging", "orchestrator", "participants")
POINT = "orchestrator.commit.after"

PROCESS = f"""
import sys
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.process import run_process
from kafka_saga.runtime.telemetry import configure_logging
configure_logging(process="test")
async def main(lifecycle):
    for number in range(1, 4):
        print("at", number, flush=True)
        failpoint("{POINT}")
sys.exit(run_process(main))
"""


def started(tmp_path: Path, asked: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "SAGA_ALLOW_FAULTS": "1",
        "SAGA_TEST_FAILPOINT": asked,
        "SAGA_TEST_FAILPOINT_LOG": str(tmp_path / "reached"),
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_every_failpoint_of_the_list_stands_in_the_code_and_no_other_does() -> None:
    found: set[str] = set()
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            if file.name != "failpoints.py":
                found |= set(re.findall(r'\bfailpoint\("([^"]+)"\)', file.read_text()))
    assert found == set(FAILPOINTS)


def test_a_process_kills_itself_at_the_hit_it_was_told_and_says_so_first(tmp_path: Path) -> None:
    process = started(tmp_path, f"{POINT}:2")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert output == "at 1\nat 2\n"
    assert (tmp_path / "reached").read_text() == f"{POINT} {process.pid}\n"


def test_a_process_stops_itself_and_goes_on_when_it_is_told(tmp_path: Path) -> None:
    process = started(tmp_path, f"{POINT}:1:stop")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert (tmp_path / "reached").read_text() == f"{POINT} {process.pid}\n"
    process.send_signal(signal.SIGCONT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output == "at 1\nat 2\nat 3\n"


def test_an_exception_at_a_failpoint_ends_the_process_with_its_traceback(tmp_path: Path) -> None:
    process = started(tmp_path, f"{POINT}:3:raise")
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert output == "at 1\nat 2\nat 3\n"
    assert f"FailpointError: at {POINT}" in errors


def test_an_unknown_failpoint_ends_the_start_and_names_those_there_are(tmp_path: Path) -> None:
    process = started(tmp_path, "orchestrator.coffee:1")
    output, errors = process.communicate(timeout=30)
    assert process.returncode == ConfigError.exit_code
    assert output == ""
    assert "there is no failpoint 'orchestrator.coffee'" in errors
    assert all(name in errors for name in FAILPOINTS)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (POINT, "after the name comes which time to act"),
        (f"{POINT}:0", "after the name comes which time to act"),
        (f"{POINT}:one", "after the name comes which time to act"),
        (f"{POINT}:1:explode", "'explode' is not known; there are kill, stop, raise"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_remedy(asked: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        arm_from_environment({"SAGA_ALLOW_FAULTS": "1", "SAGA_TEST_FAILPOINT": asked})


def test_nothing_is_armed_where_faults_are_not_allowed() -> None:
    with pytest.raises(ConfigError, match="set SAGA_ALLOW_FAULTS=1 to allow them"):
        arm_from_environment({"SAGA_TEST_FAILPOINT": f"{POINT}:1"})
    failpoint(POINT)


async def test_each_of_several_processes_in_one_loop_has_its_own_hook() -> None:
    reached: list[str] = []

    async def process(name: str, armed: bool) -> None:
        if armed:
            arm(lambda point: reached.append(f"{name} at {point}"))
        await asyncio.create_task(part())

    async def part() -> None:
        failpoint(POINT)

    await asyncio.gather(process("a", True), process("b", False), process("c", True))
    failpoint(POINT)
    assert reached == [f"a at {POINT}", f"c at {POINT}"]


def test_raise_raises_once_and_only_at_its_own_point() -> None:
    async def process() -> None:
        arm_from_environment({"SAGA_ALLOW_FAULTS": "1", "SAGA_TEST_FAILPOINT": f"{POINT}:2:raise"})
        failpoint(POINT)
        failpoint("orchestrator.commit.before")
        with pytest.raises(FailpointError):
            failpoint(POINT)
        failpoint(POINT)

    asyncio.run(process())
