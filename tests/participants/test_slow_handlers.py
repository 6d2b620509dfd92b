"""A handler that takes long costs those behind it its own time, and no more; those before it are answered first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from kafka_saga import Participant, Transaction
from kafka_saga.orchestrator.config import load_settings
from kafka_saga.participants.guard import Work
from kafka_saga.participants.testing import Harness
from kafka_saga.runtime.errors import ConfigError, DefinitionError
from kafka_saga.runtime.limits import HANDLER_TIMEOUT_MS, HANDLER_TIMEOUT_MS_MAX, PORTION_MS_MAX
from kafka_saga.schemas.envelope import Outcome


class Quick(BaseModel):
    pass


class Slow(BaseModel):
    takes_s: float = 12


class Service:
    """Its slow handler computes for as long as its command says, by the loop's clock; nothing waits in reality."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        real, self.passed_s = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: real() + self.passed_s)
        self.participant = Participant("shop")

        @self.participant.action(Quick)
        async def quick(_command: Quick, _tx: Transaction) -> None: ...

        @self.participant.action(Slow)
        async def slow(command: Slow, _tx: Transaction) -> None:
            self.passed_s += command.takes_s


def batch(harness: Harness, *models: BaseModel) -> list[Work]:
    return [harness.command(model, saga_id=f"order-{n}", step="first") for n, model in enumerate(models)]


async def portions(harness: Harness, works: list[Work]) -> list[list[str]]:
    """The types of the commands that share a transaction; a worker publishes between them."""
    found = []
    works = harness._guard.slow_last(works)
    while works:
        handled = await harness._in_one_transaction(works)
        works = works[len(handled) :]
        assert all(one.reply is not None and one.reply.outcome is Outcome.SUCCESS for one in handled)
        found.append([one.command.head.command_type for one in handled])
    return found


async def test_what_took_long_is_committed_before_the_next_handler_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with await Harness.open(Service(monkeypatch).participant) as harness:
        works = batch(harness, Quick(), Slow(), Quick(), Quick())
        assert await portions(harness, works) == [["quick", "slow"], ["quick", "quick"]]


async def test_what_took_long_once_waits_for_its_neighbours_and_not_they_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with await Harness.open(Service(monkeypatch).participant) as harness:
        await portions(harness, batch(harness, Slow()))
        works = batch(harness, Quick(), Slow(), Quick(), Slow(), Quick())[1:]
        assert await portions(harness, works) == [["quick", "quick"], ["slow"], ["slow"]]


async def test_what_is_quick_again_is_one_of_many_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first call may have loaded a library."""
    async with await Harness.open(Service(monkeypatch).participant) as harness:
        await portions(harness, batch(harness, Slow()))
        works = batch(harness, *[Quick()] * 3, *[Slow(takes_s=0)] * 3)[1:]
        assert await portions(harness, works) == [["quick"] * 2, ["slow"] * 3]
        assert await portions(harness, batch(harness, *[Quick()] * 20)[6:]) == [["quick"] * 14]


async def test_many_small_times_end_a_portion_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with await Harness.open(Service(monkeypatch).participant) as harness:
        each_s = PORTION_MS_MAX / 1000 / 4
        sizes = [len(portion) for portion in await portions(harness, batch(harness, *[Slow(takes_s=each_s)] * 12))]
        assert sizes == [4, 4, 4]


# --- how long a handler may take --------------------------------------------------------------------------------------


async def waits_for_ever(_command: Quick, _tx: Transaction) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("of_setting", "of_participant", "of_handler", "said"),
    [(20, None, None, "20 ms"), (60_000, 30, None, "30 ms"), (60_000, 60_000, 40, "40 ms")],
)
async def test_the_handlers_time_comes_before_the_participants_and_that_before_the_setting(
    of_setting: int, of_participant: int | None, of_handler: int | None, said: str
) -> None:
    shop = Participant("shop", handler_timeout_ms=of_participant)
    shop.action(Quick, handler_timeout_ms=of_handler)(waits_for_ever)
    async with await Harness.open(shop, handler_timeout_ms=of_setting) as harness:
        reply = await harness.send(Quick(), saga_id="order-1", step="first")
    assert (reply.outcome, reply.error) == (Outcome.RETRY, f"the handler took longer than {said}")


async def test_a_compensation_has_a_time_of_its_own() -> None:
    shop = Participant("shop")

    @shop.action(Slow)
    async def slow(_command: Slow, _tx: Transaction) -> None: ...

    shop.compensation(Quick, handler_timeout_ms=20)(waits_for_ever)
    async with await Harness.open(shop) as harness:
        await harness.send(Slow(), saga_id="order-1", step="first")
        reply = await harness.send(Quick(), saga_id="order-1", step="first")
    assert reply.error == "the handler took longer than 20 ms"


@pytest.mark.parametrize("wrong", ["5s", 2.5, 0, -1, True, HANDLER_TIMEOUT_MS_MAX + 1])
def test_a_time_that_is_none_or_too_long_is_refused_where_it_is_written(wrong: Any) -> None:
    shop = Participant("shop", handler_timeout_ms=HANDLER_TIMEOUT_MS_MAX)
    for make in (
        lambda: Participant("shop", handler_timeout_ms=wrong),
        lambda: shop.action(Quick, handler_timeout_ms=wrong),
        lambda: shop.compensation(Quick, handler_timeout_ms=wrong),
    ):
        with pytest.raises(DefinitionError, match=f"handler_timeout_ms is a whole number .* from 1 .* not {wrong!r}"):
            make()


def test_the_setting_is_read_from_flag_and_variable_and_kept_in_bounds() -> None:
    def handler_timeout_ms(flags: dict[str, Any], environment: dict[str, str]) -> int:
        return load_settings(flags=flags, environment=environment).settings.handler_timeout_ms

    assert handler_timeout_ms({}, {}) == HANDLER_TIMEOUT_MS
    assert handler_timeout_ms({}, {"SAGA_HANDLER_TIMEOUT_MS": "5000"}) == 5_000
    assert handler_timeout_ms({"handler_timeout_ms": 7_000}, {"SAGA_HANDLER_TIMEOUT_MS": "5000"}) == 7_000
    for wrong in ("0", "60001", "5s"):
        with pytest.raises(ConfigError, match="SAGA_HANDLER_TIMEOUT_MS: handler_timeout_ms"):
            handler_timeout_ms({}, {"SAGA_HANDLER_TIMEOUT_MS": wrong})
    with pytest.raises(ConfigError, match="--handler-timeout: handler_timeout_ms"):
        handler_timeout_ms({"handler_timeout_ms": 0}, {})
