"""What a user's test shows of a handler that fails: its stack, and none of the values it met (I24)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio
from pydantic import BaseModel
from kafka_saga import Participant, Transaction
from kafka_saga.testing import Harness

class Charge(BaseModel):
    card: str

bank = Participant("bank")

@bank.action(Charge)
async def charge(command: Charge, tx: Transaction) -> None:
    number = command.card
    raise ValueError("the bank is closed")

async def main() -> None:
    async with await Harness.open(bank) as harness:
        await harness.send(Charge(card="4111-1111"), saga_id="o-1", step="pay")

asyncio.run(main())
"""


def test_a_handler_that_fails_in_a_users_test_shows_no_values(tmp_path: Path) -> None:
    (tmp_path / "bank.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "bank.py"], cwd=tmp_path, capture_output=True, text=True, check=True, env={**os.environ}
    )
    said = done.stdout + done.stderr
    assert "the bank is closed" in said
    assert "in charge" in said
    assert "4111" not in said
