"""`saga demo --attach`: the scenes on a system that runs already, as any outsider sees it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.demo import orders
from kafka_saga.orchestrator.demo.figures import Figures, count_these
from kafka_saga.orchestrator.demo.orders import Order
from kafka_saga.orchestrator.demo.outsider import Outsider
from kafka_saga.orchestrator.demo.screen import DemoScreen
from kafka_saga.orchestrator.demo.showing import Showing
from kafka_saga.orchestrator.supervisor.interrupts import on_interrupt
from kafka_saga.orchestrator.supervisor.stack import SERVICES
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.process import EXIT_INTERRUPTED
from kafka_saga.runtime.wording import counted

WAVES = 24
WAVE_INTERVAL_MS = 500
WAVES_TIMEOUT_S = 120.0
"""Longer than Kafka needs to give a dead orchestrator's partitions to another one."""


class AttachedScenes(Showing[Outsider]):
    """What needs no hand on the processes: faults are not injected, and nothing is killed by us."""

    def __init__(self, stage: Outsider, screen: DemoScreen) -> None:
        super().__init__(stage, screen)
        self._run = new_id()[:6]
        self.orders: list[Order] = []
        """All that were asked for; their ids are of this run alone."""

    async def play(self) -> None:
        """Play them.

        Raises:
            DemoError: what must happen did not.

        """
        await self._successes(self._ours(orders.ORDINARY))
        await self._decline(*self._ours((orders.DECLINED,)))
        await self._poison(*self._ours((orders.BEHIND_POISON,)))
        await self._waves()

    async def _waves(self) -> None:
        waves = [
            self._ours(tuple(replace(order, order_id=f"{order.order_id}-{number}") for order in orders.IN_FLIGHT))
            for number in range(1, WAVES + 1)
        ]
        flight = [order for wave in waves for order in wave]
        self._screen.scene(
            "Orders come in waves, and the shop publishes each of them twice",
            f"{len(flight)} orders in {WAVES * WAVE_INTERVAL_MS / 1000:g} s, one in eight of them declined. "
            "Now kill an orchestrator, or a worker: whatever happens, no order is lost, and none runs twice.",
        )
        for number, wave in enumerate(waves, 1):
            await self._stage.publish(*wave)
            await self._stage.publish(*wave)
            if number * 4 == WAVES:
                self._screen.say("     a quarter of them is on its way")
            await self._stage.clock.sleep(WAVE_INTERVAL_MS)
        await self._stage.follower.until_ended([order.order_id for order in flight], WAVES_TIMEOUT_S)
        self._screen.say(f"     all {len(flight)} have come to an end")

    def _ours(self, wanted: tuple[Order, ...]) -> tuple[Order, ...]:
        """These orders, under ids of this run."""
        made = tuple(replace(order, order_id=f"{order.order_id}-{self._run}") for order in wanted)
        self.orders += made
        return made


async def run_attached(settings: Settings) -> int:
    """Play on the system that `settings` name; 0 where every figure is right.

    Args:
        settings: its Kafka, its topics' prefix, its store and the services' databases.

    """
    task = asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        task.cancel()

    on_interrupt(interrupt, interrupt)
    screen = DemoScreen(SystemClock())
    try:
        figures = await _play(settings, screen)
    except SagaError as error:
        sys.stderr.write(f"saga demo: {error}\n")
        return error.exit_code
    except asyncio.CancelledError:
        sys.stderr.write("saga demo: interrupted; what was published goes on\n")
        return EXIT_INTERRUPTED
    return 1 if figures.wrong else 0


async def _play(settings: Settings, screen: DemoScreen) -> Figures:
    scenes: AttachedScenes | None = None
    outsider = Outsider(
        settings.kafka, settings.topics, lambda saga_id, record: scenes.seen(saga_id, record) if scenes else None
    )
    async with outsider:
        await outsider.attach(settings.store_at)
        screen.say(f"The system that runs at {settings.kafka.bootstrap_servers}, its store {settings.store_at}", "bold")
        scenes = AttachedScenes(outsider, screen)
        await scenes.play()
        states = {}
        for order in scenes.orders:
            states[order.order_id] = (await outsider.reader.find(order.order_id, "order")).state.value
    databases = {service: settings.database_of(service) for service in SERVICES}
    figures = await count_these(scenes.orders, states, databases)
    _show_figures(figures, scenes, screen)
    return figures


def _show_figures(figures: Figures, scenes: AttachedScenes, screen: DemoScreen) -> None:
    states = ", ".join(f"{figures.states[state]} {state}" for state in ("COMPLETED", "COMPENSATED", "PARKED"))
    effects = ", ".join(f"{rows} in {service}" for service, rows in figures.effects.items())
    screen.console.print()
    screen.say("Figures of these orders, counted in the databases of the orchestrator and the services", "bold")
    screen.facts(
        [
            ("Sagas", f"{sum(figures.states.values())}: {states}"),
            ("Lost", f"{figures.lost} of {figures.orders}, which were asked for {counted(scenes.requests, 'time')}"),
            ("Duplicate effects", f"{figures.duplicates} (rows: {effects}; {figures.undone} undone)"),
            ("Missing effects", f"{figures.missing} in completed orders"),
            ("Left behind", f"{figures.left_behind} in compensated orders"),
            ("Time", f"{screen.elapsed_s():.1f} s"),
        ]
    )
    for line in figures.wrong:
        screen.say(f"  WRONG  {line}", "bold red")
    if not figures.wrong:
        screen.say("  Every figure is as it must be; stock and accounts add up.", "bold green")
