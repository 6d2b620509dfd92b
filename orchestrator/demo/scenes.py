"""The six scenes, in order. Each waits for what Kafka and the store say, never for time to pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kafka_saga.orchestrator.demo import orders
from kafka_saga.orchestrator.demo.follower import why
from kafka_saga.orchestrator.demo.screen import Board, DemoScreen
from kafka_saga.orchestrator.demo.stage import Stage
from kafka_saga.orchestrator.supervisor.stack import ORCHESTRATOR
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.codec import JsonObject
from kafka_saga.schemas.topics import dead_letter_topic

SCENE_TIMEOUT_S = 30.0
_LOG_INTERVAL_MS = 50


class Scenes:
    """Plays the scenes on a stage that is open."""

    def __init__(self, stage: Stage, screen: DemoScreen) -> None:
        self._stage = stage
        self._screen = screen
        self._listener: Callable[[str, JsonObject], None] | None = None
        self.in_flight = 0
        """Sagas that ran when the orchestrator was killed."""
        self.away_ms = 0
        """From its death until another one was ready."""

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

    def check(self, wrong: list[str]) -> None:
        """Add to `wrong` what only the scenes can know."""
        if self.dead_letters != 1:
            wrong.append(f"{counted(self.dead_letters, 'dead letter')}, not 1")
        if not self.in_flight:
            wrong.append("no saga was in flight when the orchestrator was killed")
        wrong += [
            f"{death.name} died ({death.how}). {death.last_error}"
            for death in self._stage.deaths
            if death.name != ORCHESTRATOR or death.deaths > 1
        ]

    async def play(self) -> None:
        """Play all of them.

        Raises:
            DemoError: what must happen did not.

        """
        await self._successes()
        await self._decline()
        await self._failing_step()
        await self._timeout()
        await self._poison()
        await self._crash()

    async def _successes(self) -> None:
        self._screen.scene(
            "Orders go through",
            f"{len(orders.ORDINARY)} orders, three steps each: reserve the items, charge the customer, write the "
            "order. ✓ is done, ↶ undone.",
        )
        await self._watch(orders.ORDINARY)

    async def _decline(self) -> None:
        self._screen.scene(
            "A declined payment is compensated",
            "Step 2 says no. Step 1 had succeeded, so its items go back into stock; step 3 never begins.",
        )
        await self._tell(orders.DECLINED)

    async def _failing_step(self) -> None:
        self._screen.scene(
            "The third step fails, and everything is undone in reverse",
            "The orders service cannot reach its database. Three retries, after 1, 2 and 4 s. Then nobody knows "
            "whether step 3 happened, so it is undone first, to be sure; then step 2, then step 1.",
        )
        await self._tell(orders.FAILING)

    async def _timeout(self) -> None:
        self._screen.scene(
            "A timeout is retried and recovers",
            "Payment charges, but its reply is lost. After 5 s the same command goes out again: payment knows it, "
            "charges nothing twice, and answers as before.",
        )
        await self._tell(orders.UNANSWERED)

    async def _poison(self) -> None:
        stage, order = self._stage, orders.BEHIND_POISON
        requests = stage.topics.requests("order")
        self._screen.scene(
            "A poison message is set aside",
            f"Half a request, and a good one behind it in the same partition. The bad one goes to "
            f"{dead_letter_topic(requests)}, the good one goes on.",
        )
        await stage.publish_raw(order.order_id, orders.POISON)
        follower = stage.follower
        with self._board(order):
            await stage.publish(order)
            await follower.until_ended([order.order_id], SCENE_TIMEOUT_S)
        await follower.until("the poison message was set aside", lambda: bool(follower.dead_letters), SCENE_TIMEOUT_S)
        self._screen.say(f"     {dead_letter_topic(requests)}: key {order.order_id}, {why(follower.dead_letters[0])}")

    async def _crash(self) -> None:
        stage, follower, ids = self._stage, self._stage.follower, [order.order_id for order in orders.IN_FLIGHT]
        self._screen.scene(
            "kill -9 of the orchestrator in mid-flight",
            f"{len(ids)} orders wait for payment when it dies. What was decided is in the store, what comes meanwhile "
            "waits in Kafka.",
        )
        await stage.publish(*orders.IN_FLIGHT)
        await follower.until(
            f"{ids[0]} … {ids[-1]} were in their second step",
            lambda: all(follower.steps_done(saga_id) >= 1 for saga_id in ids),
            SCENE_TIMEOUT_S,
        )
        self.in_flight = sum(follower.state(saga_id) == "RUNNING" for saga_id in ids)
        pid, killed_ms = stage.orchestrator_pid, stage.clock.monotonic_ms()
        await stage.kill_orchestrator()
        flight = counted(self.in_flight, "saga")
        self._screen.say(f"     orchestrator (process {pid}) killed with SIGKILL; in flight: {flight}")
        await stage.publish(*orders.IN_FLIGHT)
        self._screen.say("     the shop is not sure and publishes the same requests again: no order may run twice")
        with self._board(*orders.IN_FLIGHT):
            await stage.until_recovered()
            self.away_ms = stage.clock.monotonic_ms() - killed_ms
            self._screen.say(
                f"     the supervisor started it again (process {stage.orchestrator_pid}): ready {self.away_ms} ms "
                "after the kill"
            )
            await follower.until_ended(ids, SCENE_TIMEOUT_S)

    def _board(self, *shown: orders.Order) -> Board:
        board = Board(self._screen, self._stage.clock, [order.order_id for order in shown])
        self._listener = board.update
        return board

    async def _watch(self, shown: tuple[orders.Order, ...]) -> None:
        """Publish orders, and show their sagas side by side until they end."""
        with self._board(*shown):
            await self._stage.publish(*shown)
            await self._stage.follower.until_ended([order.order_id for order in shown], SCENE_TIMEOUT_S)

    async def _tell(self, order: orders.Order) -> None:
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
