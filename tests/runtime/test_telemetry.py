from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kafka_saga.runtime.errors import BrokenStoreError

PROGRAM = """
import logging
from kafka_saga.runtime.telemetry import configure_logging
configure_logging(process="test")
def _do_waitpid():
    logging.getLogger("asyncio").warning("Unknown child process pid %d, will report returncode 255", 7)
    logging.getLogger("asyncio").warning("Loop that handles pid 7 is closed")
_do_waitpid()
logging.getLogger("asyncio").warning("Task was destroyed but it is pending!")
"""


def test_a_child_that_was_reaped_twice_is_no_news_and_other_warnings_are() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stderr
    assert "Unknown child" not in told
    assert "is closed" not in told
    assert "Task was destroyed" in told


LOGGER = """
from kafka_saga.runtime.errors import BrokenStoreError
from kafka_saga.runtime.process import run_process
from kafka_saga.runtime.telemetry import configure_logging, log

async def main(lifecycle):
    for number in range(2_000):
        log("test").info("test.line", number=number)
    print("went on", flush=True)
    raise BrokenStoreError

configure_logging(process="test", log_format="FORMAT")
raise SystemExit(run_process(main))
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_full_disk_below_the_log_stops_nobody(log_format: str) -> None:
    program = LOGGER.replace("FORMAT", log_format)
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, check=False)
    assert (result.stdout, result.returncode) == (b"went on\n", BrokenStoreError.exit_code)


OUR_BUG = """
from pydantic import BaseModel
from kafka_saga.runtime.process import run_process

class Card(BaseModel):
    number: int

async def main(lifecycle):
    Card.model_validate({"number": "4111x"})

raise SystemExit(run_process(main))
"""


def test_an_error_that_nobody_expected_keeps_its_traceback_without_values() -> None:
    ended = subprocess.run([sys.executable, "-c", OUR_BUG], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "in main" in ended.stderr
    assert "ValidationError: Card: number: Input should be a valid integer" in ended.stderr
    assert "4111x" not in ended.stderr
