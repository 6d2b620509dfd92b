from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging
from runtime.telemetry import configure_logging
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
