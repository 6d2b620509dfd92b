"""Disks that are full, broken, read-only or damaged: a clear stop, nothing lost, a start that goes on (fault 36)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.crash.kills import APP
from tests.disks import fill_up
from tests.integration.processes import CLOCK, Process, run_saga, until
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

VICTIMS = ("orchestrator", "payment")
MEND = "; free or mend the disk, then start again"
BROKEN_STORE = 5
PORTION = 100

GROWTH_BYTES = 600_000
"""Enough for a start, and not for a few hundred orders."""


class Sufferer:
    """One process of a system, with its database in a place of its own."""

    def __init__(self, world: World, role: str, place: Path) -> None:
        self.world = world
        self.role = role
        self.place = place
        self.process: Process = world.processes[role]
        self._ordered = len(world.outcomes)

    async def move(self) -> None:
        """Stop it, move its database, and start it there; the books find it through a link."""
        assert self.process.terminate() == 0
        for file in self.world.data_dir.glob(f"{self.role}.db*"):
            shutil.move(file, self.place / file.name)
        (self.world.data_dir / f"{self.role}.db").symlink_to(self.place / f"{self.role}.db")
        self.process.environment["SAGA_DATA_DIR"] = str(self.place)
        await self.start()

    async def start(self) -> None:
        self.process.start()
        await self.world.ready(self.role)

    async def order(self) -> None:
        first, self._ordered = self._ordered, self._ordered + PORTION
        await self.world.order(*[f"order-{number}" for number in range(first, self._ordered)])

    async def order_until_it_stops(self) -> None:
        deadline = CLOCK.monotonic_ms() + 30_000
        while self.process.running():
            assert CLOCK.monotonic_ms() < deadline, f"{self.role} goes on: {self.process.output()[-2000:]}"
            await self.order()
            await CLOCK.sleep(300)

    def stopped_clearly(self, *reasons: str) -> None:
        """It ended with exit code 5 and one sentence that gives a reason of `reasons` and the remedy."""
        path = self.place / f"{self.role}.db"
        output = self.process.output()
        assert self.process.code() == BROKEN_STORE, output[-2000:]
        said = [line for line in output.splitlines() if line.startswith("saga: ")]
        assert said in [[f"saga: cannot write {path}: {reason}{MEND}"] for reason in reasons], said
        assert "Traceback" not in output

    async def goes_on(self) -> None:
        """A start finishes every saga that was ordered, and the sums add up."""
        await self.start()
        await self.world.ended(self._ordered)
        self.world.books.check(self.world.outcomes)


@pytest.fixture
async def system(world: World) -> World:
    return await world.start(*APP)


async def test_a_file_that_may_not_grow_stops_its_process_and_nothing_is_lost(system: World, tmp_path: Path) -> None:
    for role in VICTIMS:
        sufferer = Sufferer(system, role, tmp_path / f"{role}-files")
        sufferer.place.mkdir()
        command = sufferer.process.command
        sufferer.process.command = ["prlimit", f"--fsize={GROWTH_BYTES}", *command]
        await sufferer.move()
        await sufferer.order_until_it_stops()
        sufferer.stopped_clearly("disk I/O error", "database or disk is full")
        sufferer.process.command = command
        await sufferer.goes_on()


@pytest.mark.parametrize("role", VICTIMS)
async def test_a_full_and_a_read_only_disk_stop_their_process_and_nothing_is_lost(
    system: World, small_disk: Path, role: str
) -> None:
    sufferer = Sufferer(system, role, small_disk)
    await sufferer.move()
    ballast = small_disk / "ballast"
    fill_up(ballast, leave=50_000)
    await sufferer.order_until_it_stops()
    sufferer.stopped_clearly("database or disk is full", "disk I/O error")

    fill_up(ballast, leave=0)
    sufferer.process.start()
    await sufferer.order_until_it_stops()
    sufferer.stopped_clearly("database or disk is full", "disk I/O error", "No space left on device")

    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    sufferer.process.start()
    await until(f"{role} has ended", lambda: not sufferer.process.running())
    sufferer.stopped_clearly("Read-only file system")

    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    await sufferer.goes_on()


async def test_a_commit_that_the_disk_did_not_take_stops_its_process_and_nothing_is_lost(
    system: World, failing_fsync: Path, tmp_path: Path
) -> None:
    for role in VICTIMS:
        sign = tmp_path / f"fsync-fails-in-{role}"
        sufferer = Sufferer(system, role, tmp_path / f"{role}-files")
        sufferer.place.mkdir()
        sufferer.process.environment |= {"LD_PRELOAD": str(failing_fsync), "FAIL_FSYNC_WHEN": str(sign)}
        await sufferer.move()
        await sufferer.order()
        sign.touch()
        await sufferer.order_until_it_stops()
        sufferer.stopped_clearly("disk I/O error")
        sign.unlink()
        await sufferer.goes_on()


async def test_a_damaged_database_is_refused_at_the_start_and_its_backup_goes_on(system: World, tmp_path: Path) -> None:
    for role in VICTIMS:
        sufferer = Sufferer(system, role, system.data_dir)
        await sufferer.order()
        await system.ended(sufferer._ordered)
        service = () if role == "orchestrator" else ("--service", role)
        copied = run_saga(system.environment, "backup", str(tmp_path / f"{role}.backup"), *service)
        assert copied.returncode == 0, copied.stderr
        assert sufferer.process.terminate() == 0
        path = system.data_dir / f"{role}.db"
        with path.open("r+b") as file:
            # The second half: a few pages of it may be free ones, in which nothing can be damaged.
            half = path.stat().st_size // 2 & ~4095
            file.seek(half)
            file.write(os.urandom(half))
        sufferer.process.start()
        await until(f"{role} has ended", lambda process=sufferer.process: not process.running())
        assert sufferer.process.code() == BROKEN_STORE
        output = sufferer.process.output()
        assert f"saga: {path} is damaged (" in output
        assert output.rstrip().endswith("restore it from a backup")
        assert "Traceback" not in output
        shutil.copy(tmp_path / f"{role}.backup", path)
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
        await sufferer.order()
        await sufferer.goes_on()
