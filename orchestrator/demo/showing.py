"""What scenes have in common, wherever they are played: orders are published, and what becomes of them is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from kafka_saga.orchestrator.demo.follower import why
from kafka_saga.orchestrator.demo.orders import Order, poison_before
from kafka_saga.orchestrator.demo.outsider import Outsider
from kafka_saga.orchestrator.demo.screen import Board, DemoScreen
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.schemas.codec import JsonObject
from kafka_saga.schemas.topics import dead_letter_topic

SCENE_TIMEOUT_S = 30.0
_LOG_INTERVAL_MS = 50

Played = TypeVar("Played", bound=Outsider)


class Showing(Generic[Played]):
    """Scenes that need nothing of the system but that it runs."""

    def __init__(self, stage: Played, screen: DemoScreen) -> None:
        self._stage = stage
        self._screen = screen
        self._listener: Callable[[str, JsonObject], None] | None = None

    def seen(self, saga_id: str, record: JsonObject) -> None:
        """A saga said something on `order.events`."""
        if self._listener is not None:
            self._listener(saga_id, record)

    @property
    def requests(self) -> int:
        """Good requests that were published, repetitions included."""
        return len(self._stage.published)

    @property
    def dead_letters(self) -> int:
        """Messages that were set aside."""
        return len(self._stage.follower.dead_letters)

    async def _successes(self, ordinary: tuple[Order, ...]) -> None:
        self._screen.scene(
            "Orders go through",
            f"{len(ordinary)} orders, three steps each: reserve the items, charge the customer, write the "
            "order. ✓ is done, ↶ undone.",
        )
        await self._watch(ordinary)

    async def _decline(self, declined: Order) -> None:
        self._screen.scene(
            "A declined payment is compensated",
            "Step 2 says no. Step 1 had succeeded, so its items go back into stock; step 3 never begins.",
        )
        await self._tell(declined)

    async def _poison(self, order: Order) -> None:
        stage, follower = self._stage, self._stage.follower

        def letters() -> list[dict[str, Any]]:
            return [letter for letter in follower.dead_letters if letter["key"] == order.order_id]

        requests = stage.topics.requests("order")
        self._screen.scene(
            "A poison message is set aside",
            f"Half a request, and a good one behind it in the same partition. The bad one goes to "
            f"{dead_letter_topic(requests)}, the good one goes on.",
        )
        await stage.publish_raw(order.order_id, poison_before(order))
        with self._board(order):
            await stage.publish(order)
            await follower.until_ended([order.order_id], SCENE_TIMEOUT_S)
        await follower.until("the poison message was set aside", lambda: bool(letters()), SCENE_TIMEOUT_S)
        self._screen.say(f"     {dead_letter_topic(requests)}: key {order.order_id}, {why(letters()[0])}")

    def _board(self, *shown: Order) -> Board:
        board = Board(self._screen, self._stage.clock, [order.order_id for order in shown])
        self._listener = board.update
        return board

    async def _watch(self, shown: tuple[Order, ...]) -> None:
        """Publish orders, and show their sagas side by side until they end."""
        with self._board(*shown):
            await self._stage.publish(*shown)
            await self._stage.follower.until_ended([order.order_id for order in shown], SCENE_TIMEOUT_S)

    async def _tell(self, order: Order) -> None:
        """Publish one order, and show its step log while it is being written."""
        self._listener = None
        follower = self._stage.follower
        await self._stage.publish(order)
        self._screen.say(f"     {order.order_id}")
        ended = asyncio.create_task(follower.until_ended([order.order_id], SCENE_TIMEOUT_S))
        shown = 0
        try:
            while not ended.done():
                shown = await self._tell_rows(order.order_id, shown)
                await asyncio.wait({ended}, timeout=_LOG_INTERVAL_MS / 1000)
            ended.result()
        finally:
            ended.cancel()
        await self._tell_rows(order.order_id, shown)
        self._screen.ending(order.order_id, follower.records[order.order_id])

    async def _tell_rows(self, saga_id: str, shown: int) -> int:
        """Show what the log has beyond its first `shown` rows; how many it has now."""
        try:
            saga = await self._stage.reader.find(saga_id, "order")
        except NotFoundError:
            return shown
        rows = await self._stage.reader.log(saga)
        for entry in rows[shown:]:
            self._screen.log_row(entry, saga.created_at)
        return len(rows)
