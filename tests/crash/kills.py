"""`kill -9` of one process at one named failpoint, in the middle of orders: all sagas end, and the books balance."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.runtime.clock import new_id
from kafka_saga.runtime.failpoints import ALLOW, FAILPOINTS, LOG_VARIABLE, VARIABLE
from tests.crash import card_payment
from tests.crash.logs import check_logs
from tests.integration.processes import CLOCK, Process, saga_command
from tests.integration.world import SERVICES, World

APP = ("--app", "tests.crash.brisk_sagas")
CARDS = "payment (cards)"
"""The role of a payment participant whose charges are external calls."""

ROLES = ("orchestrator", *SERVICES, CARDS)
SAGAS = 20
MORE_AFTER_MS = 2_500
"""Long enough that points which only an idle process comes to are reached, short enough to go on soon."""

PATIENCE_MS = 40_000

FAULTS = {
    "payment": {"SAGA_FAULT_LOSE": "chargePayment:every=9", "SAGA_FAULT_REJECT": "chargePayment:every=11:text=no"},
    "orders": {"SAGA_FAULT_REJECT": "createOrder:every=5:text=Database connection failed"},
}


@dataclass(frozen=True)
class Cell:
    """Where, who, and at the how manieth time."""

    point: str
    role: str
    hit: int = 1


@dataclass(frozen=True)
class Killed:
    """What came of one cell."""

    cell: Cell
    sagas: int
    kills: int
    seconds: float
    violation: str = ""

    def row(self) -> str:
        outcome = self.violation.splitlines()[0] if self.violation else "the sums add up"
        return (
            f"  {self.cell.point:32}{self.cell.role:17}killed at hit {self.cell.hit:<4}{self.sagas:4} sagas"
            f"{self.kills:3} restarts{self.seconds:6.1f} s  {outcome}"
        )


def cells() -> list[Cell]:
    """Every failpoint with every role that can come to it."""
    found = []
    for point in FAILPOINTS:
        for role in ROLES:
            is_external = point.startswith("participant.call.")
            if role == CARDS:
                wanted = is_external
            elif role == "orchestrator":
                wanted = not point.startswith("participant.")
            else:
                wanted = not point.startswith("orchestrator.") and not is_external
            if wanted:
                found.append(Cell(point, role))
    return found


def hits_max(point: str) -> int:
    """How often a process surely comes to `point` within one cell: seldom where it must be idle, or starts but once."""
    seldom = (".start.", ".outbox.", ".offsets.", ".acts.")
    if any(part in point for part in seldom):
        return 1
    return 5 if point.startswith("orchestrator.") and ".timers." not in point else 3


class Lane:
    """One system that lives through many kills of one of its processes, each followed by a look into all books."""

    def __init__(self, world: World, role: str, folder: Path) -> None:
        self.world = world
        self.role = role
        self._reached = folder / "reached.log"
        self._ordered = 0

    @property
    def victim(self) -> Process:
        return self.world.processes["payment" if self.role == CARDS else self.role]

    async def start(self) -> None:
        if self.role != CARDS:
            await self.world.start(*APP, faults=FAULTS)
            return
        await self.world.start(*APP, faults=FAULTS, services=("inventory", "orders"))
        cards = self.world.add("payment", saga_command("participant", card_payment.NAME))
        cards.start(**{ALLOW: "1", "SAGA_FAULT_LOSE": FAULTS["payment"]["SAGA_FAULT_LOSE"]})
        await self.world.ready("payment")

    async def kill_at(self, *cells: Cell) -> Killed:
        """Die at each of `cells`, one start after the other; start again, and see every saga to its end.

        Raises:
            AssertionError: a point was not reached, a saga did not end, or a sum does not add up.

        """
        began_ms, first = CLOCK.monotonic_ms(), self._ordered
        await self._order(SAGAS // 2)
        self.victim.kill()  # at no moment in particular
        for number, cell in enumerate(cells):
            armed = f"{cell.point}:{cell.hit}"
            self.victim.start(**{ALLOW: "1", VARIABLE: armed, LOG_VARIABLE: str(self._reached)})
            if number == 0:
                await self._order(SAGAS - SAGAS // 2)
            await self._death(cell)
        del self.victim.environment[VARIABLE]
        self.victim.start()
        await self.world.ended(self._ordered, PATIENCE_MS)
        ends = {self.world.outcomes[f"order-{number}"]["state"] for number in range(first, self._ordered)}
        assert ends == {"COMPLETED", "COMPENSATED"}, f"the mix was none: {ends}"
        await self.check()
        took_s = (CLOCK.monotonic_ms() - began_ms) / 1000
        return Killed(cells[-1], self._ordered - first, 1 + len(cells), took_s)

    async def check(self) -> None:
        """The participants' tables, the step log, and what the operator asked for (I3–I5, I9, I11, I12, I23)."""
        books = self.world.books
        books.check(self.world.outcomes)
        await check_logs(self.world.data_dir / "orchestrator.db", self.world.outcomes)
        await self._acts_taken()
        if self.role == CARDS:
            at_the_processor = {key.split("/")[1] for (key,) in books.ask("cards", "SELECT key FROM cards")}
            charged = {saga_id for (saga_id,) in books.ask("payment", "SELECT saga_id FROM charges")}
            assert charged <= at_the_processor, "a charge that the processor does not know (R17)"

    async def _acts_taken(self) -> None:
        """Sagas may have ended before the orchestrator looked for acts again."""
        deadline = CLOCK.monotonic_ms() + PATIENCE_MS
        while waiting := self.world.books.ask("orchestrator", "SELECT act_id FROM acts WHERE outcome IS NULL"):
            assert CLOCK.monotonic_ms() < deadline, f"acts that nobody took (R25): {waiting}"
            await CLOCK.sleep(20)

    async def _order(self, count: int) -> None:
        """`count` orders: most succeed, some are refused, some lose a reply, and one is cancelled."""
        first, self._ordered = self._ordered, self._ordered + count
        ids = [f"order-{number}" for number in range(first, self._ordered)]
        refused, broke, fine = ids[:1], ids[1:2], ids[2:]
        await self.world.order(*refused, items=[{"sku": "sold-out", "quantity": 1}])
        await self.world.order(*broke, customer_id="broke")
        await self.world.order(*fine)
        insert_act(self.world.data_dir, "cancel", ids[-1])

    async def _death(self, cell: Cell) -> None:
        now_ms = CLOCK.monotonic_ms()
        deadline, more_at = now_ms + PATIENCE_MS, now_ms + MORE_AFTER_MS
        while self.victim.running():
            now_ms = CLOCK.monotonic_ms()
            assert now_ms < deadline, f"{cell} was not reached: {self.victim.output()[-2000:]}"
            if now_ms > more_at:
                more_at = now_ms + MORE_AFTER_MS
                await self._order(4)
            await CLOCK.sleep(10)
        assert self.victim.code() == -9, f"{cell}: ended with {self.victim.code()}: {self.victim.output()[-2000:]}"
        assert f"{cell.point} {self.victim.pid}" in self._reached.read_text().splitlines(), f"{cell} was not reached"


def insert_act(data_dir: Path, verb: str, saga_id: str) -> str:
    """An operator's act, as the command line would insert it beside a running orchestrator (R25); its id."""
    act_id = new_id()
    row = (act_id, "order", saga_id, verb, "{}", "the test", "to see what happens", None, None, CLOCK.now_ms())
    with closing(sqlite3.connect(data_dir / "orchestrator.db", timeout=30, isolation_level=None)) as store:
        store.execute("PRAGMA wal_autocheckpoint=0")
        store.execute("BEGIN IMMEDIATE")
        store.execute(SQL["insert_act"], row)
        store.execute("COMMIT")
    return act_id


async def run_lane(bootstrap_servers: str, folder: Path, todo: Sequence[Cell], done: Callable[[Killed], None]) -> None:
    """Go through cells of one role in one system; after a violation, in a new one, and the old one's files stay."""
    left = list(todo)
    while left:
        place = folder / f"{len(todo) - len(left)}"
        place.mkdir(parents=True)
        world = World(bootstrap_servers, place, f"kill-{os.urandom(5).hex()}.")
        lane = Lane(world, left[0].role, place)
        try:
            await lane.start()
            while left:
                cell = left.pop(0)
                began_ms = CLOCK.monotonic_ms()
                try:
                    done(await lane.kill_at(cell))
                except AssertionError as error:
                    took_s = (CLOCK.monotonic_ms() - began_ms) / 1000
                    [*_, where] = traceback.extract_tb(error.__traceback__)  # a bare assertion has no words
                    done(Killed(cell, SAGAS, 1, took_s, f"{str(error) or where.line}\n{place}"))
                    break
        finally:
            await world.stop()


async def run_lanes(
    bootstrap_servers: str, folder: Path, lanes: Iterable[Sequence[Cell]], done: Callable[[Killed], None]
) -> None:
    """Run lanes, two at a time: more would starve each other on a small machine, and time out for that."""
    places = asyncio.Semaphore(2)

    async def run(number: int, todo: Sequence[Cell]) -> None:
        async with places:
            await run_lane(bootstrap_servers, folder / f"lane-{number}", todo, done)

    await asyncio.gather(*(run(number, todo) for number, todo in enumerate(lanes)))


def in_lanes(todo: Sequence[Cell]) -> list[list[Cell]]:
    """Cells by role, the longest list cut in two, so that two lanes at a time end together."""
    lanes = sorted(([cell for cell in todo if cell.role == role] for role in ROLES), key=len, reverse=True)
    return [lane for lane in (lanes[0][::2], lanes[0][1::2], *lanes[1:]) if lane]
