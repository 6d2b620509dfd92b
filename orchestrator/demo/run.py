"""`saga demo`: the curtain, and the figures."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.demo import orders
from kafka_saga.orchestrator.demo.figures import Figures, count
from kafka_saga.orchestrator.demo.scenes import Scenes
from kafka_saga.orchestrator.demo.screen import DemoScreen
from kafka_saga.orchestrator.demo.stage import Stage, Where
from kafka_saga.orchestrator.operations.sagas.show import read_log, show
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.orchestrator.supervisor.interrupts import on_interrupt
from kafka_saga.orchestrator.supervisor.stack import command_name
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.process import EXIT_INTERRUPTED
from kafka_saga.runtime.wording import counted
from kafka_saga.schemas.codec import encode

_KEPT_WORDS = 15


async def run_demo(kafka: KafkaSettings | None, environment: Mapping[str, str], *, keep: bool) -> int:
    """Play the demo on `kafka`, or on an embedded broker; 0 where every figure is right.

    Args:
        kafka: a configured Kafka. The topics there get a prefix of their own, and stay.
        environment: of the processes. Settings of ours in it are left out: the demo is the same everywhere.
        keep: leave everything running at the end, until Ctrl-C.

    """
    task = asyncio.current_task()
    assert task is not None
    current: list[Stage] = []

    def interrupt() -> None:
        task.cancel()

    def kill() -> None:
        for stage in current:
            stage.kill()

    on_interrupt(interrupt, kill)
    screen = DemoScreen(SystemClock())
    try:
        with TemporaryDirectory(prefix="saga-demo-", ignore_cleanup_errors=True) as directory:
            prefix = "" if kafka is None else f"saga-demo-{new_id()[:6]}."
            where = Where(Path(directory), kafka, prefix, _without_settings(environment))
            return await _play(where, screen, current, keep=keep)
    except asyncio.CancelledError:
        sys.stderr.write("saga demo: interrupted; its processes and its directory are gone\n")
        return EXIT_INTERRUPTED


async def _play(where: Where, screen: DemoScreen, current: list[Stage], *, keep: bool) -> int:
    scenes: Scenes | None = None
    stage = Stage(where, lambda saga_id, record: scenes.seen(saga_id, record) if scenes else None)
    current.append(stage)
    try:
        async with stage:
            screen.say("A saga orchestrator, three services, one Kafka: each in a process of its own.", "bold")
            await stage.open()
            _introduce(stage, screen)
            scenes = Scenes(stage, screen)
            await scenes.play()
            if not keep:
                await stage.close_processes()
            figures = await count(where.directory, orders.ALL)
            record = await _show_failing(stage, screen)
            _show_figures(figures, record, scenes, screen)
            _show_where(stage, screen, keep=keep)
            if keep:
                await asyncio.Event().wait()
            return 1 if figures.wrong else 0
    except SagaError as error:
        sys.stderr.write(f"saga demo: {error}\n")
        if stage.lines:
            words = "\n  ".join(stage.last_words()[-_KEPT_WORDS:])
            sys.stderr.write(f"what the processes said last:\n  {words}\n")
        return error.exit_code


def _introduce(stage: Stage, screen: DemoScreen) -> None:
    address = stage.kafka.bootstrap_servers
    if stage.where.kafka is None:
        broker = f"embedded broker at {address}: in memory, for demos, never for reliability"
    else:
        broker = f"{address}; topics of this run begin with {stage.where.prefix}"
    screen.facts(
        [
            ("Dashboard", f"http://{stage.dashboard.address}"),
            ("Kafka", broker),
            ("Processes", ", ".join(f"{name} {pid}" for name, pid in stage.processes())),
            ("Data", f"{stage.where.directory}, removed at the end"),
            ("Look in", f"kcat -b {address} -C -t {stage.topics.events('order')} -f '%k %s\\n'"),
        ]
    )


async def _show_failing(stage: Stage, screen: DemoScreen) -> dict[str, Any]:
    """The record and the log of order-123, as `saga show` and `saga log` give them."""
    registry = registry_of(Settings())
    reader = await StoreReader.open(stage.store)
    try:
        shown = await show(reader, registry, orders.FAILING.order_id)
        rows = await read_log(reader, registry, orders.FAILING.order_id)
    finally:
        await reader.close()
    screen.console.print()
    screen.say(f"The compensated saga {orders.FAILING.order_id}", "bold")
    record = {name: value for name, value in shown.record.items() if name != "data"}
    screen.say(f"  {encode(record).decode()}")
    for row in rows:
        screen.log_row(row.entry, shown.saga.created_at)
    return record


def _show_figures(figures: Figures, record: Mapping[str, Any], scenes: Scenes, screen: DemoScreen) -> None:
    for name, wanted in orders.FAILING_RECORD.items():
        if record[name] != wanted:
            figures.wrong.append(f"{orders.FAILING.order_id}: {name} is {record[name]!r}, not {wanted!r}")
    scenes.check(figures.wrong)
    states = ", ".join(f"{figures.states[state]} {state}" for state in ("COMPLETED", "COMPENSATED", "PARKED"))
    effects = ", ".join(f"{rows} in {service}" for service, rows in figures.effects.items())
    asked = f"{counted(figures.orders, 'order')}, which were asked for {counted(scenes.requests, 'time')}"
    screen.console.print()
    screen.say("Figures, counted in the databases of the orchestrator and the services", "bold")
    screen.facts(
        [
            ("Sagas", f"{sum(figures.states.values())}: {states}"),
            ("Lost", f"{figures.lost} of {asked}"),
            ("Duplicate effects", f"{figures.duplicates} (rows: {effects}; {figures.undone} undone)"),
            ("Missing effects", f"{figures.missing} in completed orders"),
            ("Left behind", f"{figures.left_behind} in compensated orders; stock and accounts add up"),
            ("Dead letters", scenes.dead_letters),
            ("Crash", f"{counted(scenes.in_flight, 'saga')} in flight, orchestrator away for {scenes.away_ms} ms"),
            ("Time", f"{screen.elapsed_s():.1f} s"),
        ]
    )
    for line in figures.wrong:
        screen.say(f"  WRONG  {line}", "bold red")
    if not figures.wrong:
        screen.say("  Every figure is as it must be.", "bold green")


def _show_where(stage: Stage, screen: DemoScreen, *, keep: bool) -> None:
    """How to look further; only what is true once the demo has ended."""
    address, events = stage.kafka.bootstrap_servers, stage.topics.events("order")
    saga = command_name()
    look = f"kcat -b {address} -C -e -t {events} -f '%k %s\\n'"
    screen.console.print()
    if keep:
        screen.say(f"Everything keeps running until Ctrl-C. Look at a topic:  {look}")
        screen.say(f"and at the sagas:  {saga} show {orders.FAILING.order_id} --data-dir {stage.where.directory}")
    elif stage.where.kafka is not None:
        screen.say(f"The topics stay on your Kafka. Look at one:  {look}")
        ours = stage.where.prefix.rstrip(".")
        screen.say(f"Delete them:  kafka-topics.sh --bootstrap-server {address} --delete --topic '.*{ours}.*'")
    else:
        screen.say("The embedded broker has ended, and its topics with it. To look around in your own time:")
        screen.say(
            f"  {saga} demo --keep    then, in another terminal:  kcat -b ADDRESS -C -e -t {events} -f '%k %s\\n'"
        )
        screen.say(f"  {saga} up             the same system, kept running, with its data in .saga")


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(("SAGA_", "KAFKA_"))}
