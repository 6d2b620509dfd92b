"""A command that kills its process, so that nobody can catch it: after the second time it is not run any more (R57)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.testing import Harness
from kafka_saga.participants.transaction import Transaction
from kafka_saga.participants.witness import Witness
from kafka_saga.runtime.errors import BrokenStoreError
from kafka_saga.schemas.envelope import Outcome


class Do(BaseModel):
    order_id: str


class Death(BaseException):
    """The process is gone: nothing that runs afterwards belongs to it."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "stock.db"


def lives(database: Path, *died_of: str | None) -> Witness:
    """What a process finds after those before it died of this, or while nothing was handled."""
    for command_id in died_of:
        witness = Witness(database)
        witness.begins("one/before/first/forward/1")
        witness.ended() if command_id is None else witness.begins(command_id)
        witness.close()
    return Witness(database)


def test_what_kills_twice_is_refused_and_nothing_else(database: Path) -> None:
    assert not lives(database, "one/bad/first/forward/1").refuses("one/bad/first/forward/1")
    witness = lives(database, *["one/bad/first/forward/1"] * 2)
    assert witness.refuses("one/bad/first/forward/1")
    assert not witness.refuses("one/good/first/forward/1")


def test_it_is_remembered_while_others_kill_too_and_forgotten_after_a_life_that_ended_well(
    database: Path,
) -> None:
    assert lives(database, *["one/bad/first/forward/1"] * 2, "one/other/first/forward/1").deaths == {
        "one/bad/first/forward/1": 2,
        "one/other/first/forward/1": 1,
    }
    witness = lives(database, None)
    assert witness.refuses("one/bad/first/forward/1"), "that nothing was handled when somebody killed it mends nothing"
    witness.forgive()
    assert lives(database).deaths == {}


def test_no_more_is_remembered_than_the_page_holds(database: Path) -> None:
    longest = [f"{'t' * 64}/{number:0128}/{'s' * 64}/compensate/1" for number in range(20)]
    assert list(lives(database, *longest).deaths) == longest[-8:]


def test_a_page_that_the_machine_left_half_written_is_no_harm(database: Path) -> None:
    lives(database).close()
    page = database.with_name("stock.db.handling")
    page.write_bytes(b"\x03\x00\xff\xfe\xfd" + page.read_bytes()[5:])
    assert lives(database).deaths == {}


async def test_who_kills_the_process_is_answered_without_being_run_and_neighbours_are_handled(database: Path) -> None:
    stock, ran = Participant("stock"), []

    @stock.action(Do)
    async def do(command: Do, _tx: Transaction) -> None:
        ran.append(command.order_id)

    def dying(run: Any) -> Any:
        async def run_or_die(command: Any, *given: Any) -> Any:
            if command.head.parsed_id.saga_id == "bad":
                raise Death  # as `os._exit` would: nobody can catch it
            return await run(command, *given)

        return run_or_die

    for life in range(3):
        ran.clear()
        witness = Witness(database)
        async with await Harness.open(stock) as harness:
            harness._guard._witness = witness
            harness._guard._runner.run = dying(harness._guard._runner.run)  # type: ignore[method-assign] -- of this life
            commands = [harness.command(Do(order_id=name), saga_id=name, step="first") for name in ("a", "bad", "b")]
            if life < 2:
                with pytest.raises(Death):
                    await harness.handle(commands)
                continue
            handled = await harness.handle(commands)
        assert ran == ["a", "b"]
        assert [one.reply and one.reply.outcome for one in handled] == [Outcome.SUCCESS, Outcome.RETRY, Outcome.SUCCESS]
        assert handled[1].reply is not None
        assert "has died while it handled do" in (handled[1].reply.error or "")


async def test_a_store_that_breaks_meanwhile_blames_no_command(database: Path) -> None:
    stock = Participant("stock")

    @stock.action(Do)
    async def do(_command: Do, _tx: Transaction) -> None:
        raise BrokenStoreError("the disk is full")

    for _ in range(3):
        witness = Witness(database)
        assert witness.deaths == {}
        async with await Harness.open(stock) as harness:
            harness._guard._witness = witness
            with pytest.raises(BrokenStoreError):
                await harness.handle([harness.command(Do(order_id="a"), saga_id="a", step="first")])
