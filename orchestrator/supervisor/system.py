"""`saga up`: the whole system in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka_saga.messaging.arrival import wait_for_broker
from kafka_saga.orchestrator.app import sight_of
from kafka_saga.orchestrator.broker_file import BrokerFile
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.http.ports import Place
from kafka_saga.orchestrator.store.presence import check_free
from kafka_saga.orchestrator.supervisor.child import Child, how_it_ended
from kafka_saga.orchestrator.supervisor.endings import tell_endings
from kafka_saga.orchestrator.supervisor.interrupts import on_interrupt
from kafka_saga.orchestrator.supervisor.screen import ProcessScreen
from kafka_saga.orchestrator.supervisor.stack import (
    BROKER_LIMITS,
    ORCHESTRATOR,
    SERVICES,
    command_name,
    forget_positions,
    saga_programs,
    start_broker,
)
from kafka_saga.orchestrator.supervisor.supervisor import DEATHS_MANY, STOP_TIMEOUT_S, Death, Supervisor, backoff_ms
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.process import EXIT_INTERRUPTED
from kafka_saga.runtime.store_lock import StoreLock

_EXAMPLE = '{"order_id": "order-1", "customer_id": "alice", "items": [{"sku": "book", "quantity": 1}], "amount": 1990, "currency": "EUR"}'  # noqa: E501 -- to be copied as one line


@dataclass(frozen=True, slots=True)
class Plan:
    """What `saga up` runs.

    Attributes:
        settings: as they are without an embedded broker.
        saga_type: the one that the examples on the screen are about.
        embedded: whether a broker is needed, because no Kafka is configured.
        flags: for every process.
        participants: what `saga participant` is told, by service.
        environment: of every process.
        dashboard: where it is served.

    """

    settings: Settings
    saga_type: str
    embedded: bool
    flags: tuple[str, ...]
    participants: Mapping[str, str]
    environment: Mapping[str, str]
    dashboard: Place


async def run_system(plan: Plan) -> int:
    """Run it until SIGINT, SIGTERM or SIGHUP; the exit code.

    Raises:
        SagaError: a process cannot run here, or another `saga up` uses the data directory.

    """
    with ExitStack() as stack:
        _check_free(plan.settings)
        note = None
        if plan.embedded:
            note = BrokerFile(plan.settings.data_dir)
            note.acquire()
            stack.callback(note.remove)
        return await _System(plan, note).run()


class _System:
    def __init__(self, plan: Plan, note: BrokerFile | None) -> None:
        self._plan = plan
        self._note = note
        self._clock = SystemClock()
        self._screen = ProcessScreen(raw=plan.settings.log_format == "json")
        self._stopping = asyncio.Event()
        self._supervisor: Supervisor | None = None
        self._broker: Child | None = None
        self._killed = False

    async def run(self) -> int:
        on_interrupt(self._asked_to_stop, self._kill)
        try:
            if self._plan.embedded:
                await self._with_broker()
            elif await self._broker_came():
                await self._around(self._plan.settings.kafka.bootstrap_servers)
        finally:
            await self._stop_broker()
        self._screen.say("killed" if self._killed else "everything has stopped; sagas go on at the next start")
        return EXIT_INTERRUPTED if self._killed else 0

    async def _broker_came(self) -> bool:
        """Whether the configured Kafka takes us; False where we are told to stop before."""
        settings = self._plan.settings
        return await wait_for_broker(
            settings.kafka,
            stopping=self._stopping,
            wait_ms=settings.broker_wait_ms,
            clock=self._clock,
            tell=lambda reason, _waited_ms: self._screen.say(f"waiting for Kafka: {reason}"),
        )

    async def _with_broker(self) -> None:
        """Everything around an embedded broker; around a new one, should it die."""
        assert self._note is not None
        deaths = 0
        while not self._stopping.is_set():
            await self._forget_positions()
            self._broker = broker = await start_broker(self._plan.environment, self._screen.show)
            self._note.write(broker.first_line)
            code = await self._around(broker.first_line, broker)
            if code is None:
                return
            wait_ms = backoff_ms(deaths)
            deaths += 1
            self._screen.say(
                f"the embedded broker died ({how_it_ended(code)}), and all topics with it. Starting a new one"
                f"{_in(wait_ms)}; sagas go on from the store. Requests that were not yet read are lost.",
                "bold red",
            )
            await self._pause(wait_ms)

    async def _around(self, address: str, broker: Child | None = None) -> int | None:
        """Orchestrator and participants, until we are told to stop (None) or the broker ends (its exit code)."""
        plan = self._plan
        supervisor = Supervisor(clock=self._clock, tell=self._screen.show, mourn=self._mourn)
        self._supervisor = supervisor
        flags = (*plan.flags, "--bootstrap-servers", address)
        programs = saga_programs(flags, plan.participants, plan.environment, plan.dashboard, plan.settings.admin_port)
        stopping = asyncio.create_task(self._stopping.wait())
        failed = asyncio.create_task(supervisor.failed())
        ended = asyncio.create_task(broker.ended() if broker is not None else asyncio.Event().wait())
        welcome = asyncio.create_task(self._welcome(address, supervisor))
        watched: set[asyncio.Task[Any]] = {stopping, failed, ended, welcome}
        try:
            await supervisor.start(programs)
            await asyncio.wait({stopping, failed, ended}, return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                failed.result()
            return None if self._stopping.is_set() else ended.result()
        finally:
            for task in watched:
                task.cancel()
            await asyncio.gather(*watched, return_exceptions=True)
            await self._stop(supervisor)

    async def _stop(self, supervisor: Supervisor) -> None:
        for name in await supervisor.stop():
            if not self._killed:
                self._screen.say(f"{name} did not stop within {STOP_TIMEOUT_S:g} s and was killed; nothing is lost")

    async def _stop_broker(self) -> None:
        if self._broker is not None:
            await self._broker.stop(STOP_TIMEOUT_S)

    async def _forget_positions(self) -> None:
        settings = self._plan.settings
        store = settings.store_at
        databases = {*([store] if isinstance(store, Path) else []), *settings.data_dir.glob("*.db")}
        if await forget_positions(sorted(databases)):
            self._screen.say(
                f"{settings.data_dir} was used before: its sagas and the participants' data are kept and go on. The "
                "new embedded broker starts without topics, so the positions in the old ones are forgotten."
            )

    async def _welcome(self, address: str, supervisor: Supervisor) -> None:
        """Say where everything is, when it works that it does, and then how sagas end."""
        with suppress(OSError):  # whoever read our output may go; the system goes on
            sys.stdout.write(_where(self._plan, address) + "\n")
            sys.stdout.flush()
        await supervisor.all_ready()
        self._screen.say("everything is ready; Ctrl-C stops it", "bold green")
        await tell_endings(self._plan.settings.store_at, sight_of(self._plan.settings), self._screen, self._clock)

    def _mourn(self, death: Death) -> None:
        often = f"keeps dying ({death.deaths} times, now" if death.deaths >= DEATHS_MANY else "died ("
        last = f" Its last error: {death.last_error}" if death.last_error else ""
        self._screen.say(
            f"{death.name} {often}{'' if often.endswith('(') else ' '}{death.how}).{last} Starting it again"
            f"{_in(death.restart_in_ms)}.",
            "bold red",
        )

    def _asked_to_stop(self) -> None:
        self._screen.say("stopping: the orchestrator, then the participants, then the broker (again to kill them)")
        self._stopping.set()

    def _kill(self) -> None:
        self._killed = True
        if self._supervisor is not None:
            self._supervisor.kill()
        if self._broker is not None:
            self._broker.kill()

    async def _pause(self, wait_ms: int) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({stopping}, timeout=wait_ms / 1000)
        stopping.cancel()


def _check_free(settings: Settings) -> None:
    at = settings.store_at
    if not isinstance(at, Path):
        return  # more than one may work there
    check_free(at)
    holder = StoreLock(at).holder()
    if holder is not None:
        raise StoreRefusedError(f"{at} is in use by {holder}: stop that one, or choose another --data-dir")


def _in(wait_ms: int) -> str:
    return f" in {wait_ms / 1000:g} s" if wait_ms else ""


def _where(plan: Plan, address: str) -> str:
    """What runs, and how to reach it: for people, to copy."""
    settings, topics = plan.settings, plan.settings.topics
    lines = [f"Dashboard http://{plan.dashboard.address}", f"Kafka: {address}"]
    if plan.embedded:
        lines[1:] = [f"Kafka: the embedded broker at {address}, as none is configured.", BROKER_LIMITS]
    lines += [
        f"Data: {settings.data_dir}",
        f"Processes: {ORCHESTRATOR}, {', '.join(plan.participants)}",
        "",
        f"  export KAFKA_BOOTSTRAP_SERVERS={address}",
        f"  kcat -b {address} -C -t {topics.events(plan.saga_type)} -f '%k %s\\n'",
    ]
    if set(plan.participants.values()) == set(SERVICES) and plan.saga_type == "order":
        lines.append(f"  echo '{_EXAMPLE}' | kcat -b {address} -P -t {topics.requests('order')}")
        lines.append(f"  {command_name()} show order-1")
    if plan.embedded:
        same = settings.data_dir == Path(".saga")
        how = "in this directory" if same else f"with SAGA_DATA_DIR={settings.data_dir}"
        lines += ["", f"`saga` commands {how} find this broker and this store by themselves."]
    return "\n".join([*lines, ""])
