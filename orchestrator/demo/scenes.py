"""The six scenes, in order. Each waits for what Kafka and the store say, never for time to pass."""

from __future__ import annotations

from kafka_saga.orchestrator.demo import orders
from kafka_saga.orchestrator.demo.screen import DemoScreen
from kafka_saga.orchestrator.demo.showing import SCENE_TIMEOUT_S, Showing
from kafka_saga.orchestrator.demo.stage import Stage
from kafka_saga.orchestrator.supervisor.stack import ORCHESTRATOR
from kafka_saga.runtime.wording import counted


class Scenes(Showing[Stage]):
    """Plays the scenes on a stage that is open."""

    def __init__(self, stage: Stage, screen: DemoScreen) -> None:
        super().__init__(stage, screen)
        self.in_flight = 0
        """Sagas that ran when the orchestrator was killed."""
        self.away_ms = 0
        """From its death until another one was ready."""

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
        await self._successes(orders.ORDINARY)
        await self._decline(orders.DECLINED)
        await self._failing_step()
        await self._timeout()
        await self._poison(orders.BEHIND_POISON)
        await self._crash()

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
