"""What `prepare` does wrong ends the process with one line, after its own stack in the log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
from pydantic import BaseModel
from kafka_saga import Participant, SqlConnection, run_participant
from kafka_saga.orchestrator.config import Settings
shop = Participant("shop")
class Card(BaseModel):
    number: int
PREPARE
sys.exit(run_participant(shop, prepare=prepare, database=Path("shop.db"), settings=Settings(log_format="text")))
"""


@pytest.mark.parametrize(
    ("prepare", "said", "has_stack"),
    [
        (
            "async def prepare(c: SqlConnection) -> None:\n    await c.run_script('CREATE TABEL x')",
            'prepare of shop failed: OperationalError: near "TABEL": syntax error',
            True,
        ),
        (
            "async def prepare(c: SqlConnection) -> None:\n    Card.model_validate({'number': '4111x'})",
            "prepare of shop failed: ValidationError: Card: number: Input should be a valid integer, unable to parse",
            True,
        ),
        (
            "def prepare(c: SqlConnection) -> None:\n    pass",
            "prepare of shop must be `async def prepare(connection: SqlConnection) -> None`",
            False,
        ),
    ],
)
def test_a_prepare_that_fails_says_so_in_one_line(tmp_path: Path, prepare: str, said: str, has_stack: bool) -> None:
    program = PROGRAM.replace("PREPARE", prepare)
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(f"saga: {said}")
    assert ("participant.prepare_failed" in ended.stderr, "Traceback" in ended.stderr) == (has_stack, has_stack)
    assert "run_process" not in ended.stderr
    assert "4111x" not in ended.stderr
