"""A handler that blocks the process is named while it does: its command, and the line where it stands."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest
import structlog

from kafka_saga import Participant, Transaction
from kafka_saga.participants.command import Command
from kafka_saga.participants.testing import Harness
from kafka_saga.participants.watchdog import Seen, Watchdog, seen
from kafka_saga.runtime.clock import SystemClock
from tests.participants.fakes import FakeClock
from tests.participants.shop import Call, Called, Do, Done

WHERE = {"saga_id": "order-1", "step": "pay"}


def shop_that(act: Callable[[], None]) -> Participant:
    shop = Participant("shop")

    @shop.action(Do, handler_timeout_ms=1_000)
    async def do(_command: Do, _tx: Transaction) -> Done:
        act()
        return Done(text="well")

    @shop.external_action(Call, store=keep)
    async def call(_command: Call, idempotency_key: str) -> Called:
        act()
        return Called(key=idempotency_key)

    return shop


async def keep(_command: Call, _reply: Called, _tx: Transaction) -> None: ...


@pytest.mark.parametrize("model", [Do(), Call()])
async def test_what_blocks_is_found_with_its_command_and_its_line(model: Do | Call) -> None:
    found: list[Seen | None] = []
    me = threading.get_ident()

    def look_from_another_thread() -> None:
        look = threading.Thread(target=lambda: found.append(seen(sys._current_frames()[me])))
        look.start()
        look.join()

    shop = shop_that(look_from_another_thread)
    async with await Harness.open(shop) as harness:
        await harness.send(model, **WHERE)
    [one] = found
    assert one is not None
    assert one.command.head.command_id == "order/order-1/pay/forward/1"
    assert "act()" in one.stack
    assert "look_from_another_thread" in one.stack
    assert one.at.startswith(f"{__file__}:"), "the innermost line of the handler's own file"
    assert seen(sys._getframe()) is None, "nothing of a user's runs now"


def a_command(handler_timeout_ms: int | None = None) -> Command:
    shop = Participant("shop")

    @shop.action(Do, handler_timeout_ms=handler_timeout_ms)
    async def do(_command: Do, _tx: Transaction) -> Done: ...  # type: ignore[empty-body]

    harness = Harness(shop, None, None, lambda: 0)  # type: ignore[arg-type] # only its commands are wanted
    return harness.command(Do(), **WHERE)


@pytest.mark.parametrize(("own_ms", "limit_ms"), [(None, 2_000), (500, 500), (60_000, 2_000)])
def test_it_is_told_once_when_it_has_blocked_for_as_long_as_it_may_and_again_when_it_does_so_again(
    own_ms: int | None, limit_ms: int
) -> None:
    clock = FakeClock()
    watchdog = Watchdog(clock)

    def told_after(ms: int, found: Seen | None) -> int:
        clock.at_ms += ms
        with structlog.testing.capture_logs() as lines:
            watchdog.look(found)
        for line in lines:
            assert (line["event"], line["log_level"]) == ("handler.blocks", "warning")
            assert line["at"] == "shop.py:7"
            assert line["handler"].endswith("do")
        return len(lines)

    one = Seen(a_command(own_ms), "shop.py:7", "the stack")
    other = Seen(a_command(own_ms), "shop.py:7", "the stack")
    assert told_after(0, one) == 0
    assert told_after(limit_ms - 1, one) == 0
    assert told_after(1, one) == 1
    assert told_after(10_000, one) == 0, "once"
    assert told_after(0, other) == 0
    assert told_after(limit_ms - 1, other) == 0
    assert told_after(0, None) == 0, "it let go"
    assert told_after(limit_ms, other) == 0
    assert told_after(limit_ms, other) == 1


async def test_the_thread_tells_while_the_handler_still_blocks() -> None:
    told = threading.Event()
    lines: list[dict[str, object]] = []

    def note(_logger: object, _method: str, event: dict[str, object]) -> str:
        if event["event"] == "handler.blocks":
            lines.append(event)
            told.set()
        raise structlog.DropEvent

    def block() -> None:
        assert told.wait(30), "nobody told"

    structlog.configure(processors=[note])
    try:
        with Watchdog(SystemClock(), handler_timeout_ms=1):
            async with await Harness.open(shop_that(block)) as harness:
                await harness.send(Do(), **WHERE)
    finally:
        structlog.reset_defaults()
    [line] = lines
    assert str(line["handler"]).endswith("do")
    assert "told.wait" in str(line["stack"])
