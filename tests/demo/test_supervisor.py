from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from kafka_saga.orchestrator.supervisor.child import Child, Program, how_it_ended
from kafka_saga.orchestrator.supervisor.lines import Line, read_line
from kafka_saga.orchestrator.supervisor.stack import forget_positions
from kafka_saga.orchestrator.supervisor.supervisor import Death, GaveUpError, Supervisor, backoff_ms
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.store_lock import StoreLock

READY = """import sys, os; sys.stderr.write('{"event": "it.works", "level": "info"}\\n'); sys.stderr.flush()\n"""


def program(code: str, name: str = "it") -> Program:
    return Program(name, (sys.executable, "-c", code), dict(os.environ), "it.works")


class Watched:
    """A supervisor, and what it told."""

    def __init__(self) -> None:
        self.deaths: list[Death] = []
        self.mourned = asyncio.Event()
        self.lines: list[Line] = []
        self.supervisor = Supervisor(clock=SystemClock(), tell=self.lines.append, mourn=self._mourn)

    def _mourn(self, death: Death) -> None:
        self.deaths.append(death)
        self.mourned.set()


def test_the_wait_before_a_restart_grows_to_a_cap() -> None:
    assert [backoff_ms(deaths) for deaths in (0, 1, 2, 3, 6, 10_000)] == [0, 500, 1_000, 2_000, 15_000, 15_000]


def test_a_log_line_is_read_and_anything_else_is_kept_as_it_is() -> None:
    line = read_line("it", b'{"event":"a.b","level":"warning","timestamp":"2026-11-23T01:39:45.473094Z","n":1}\n')
    assert line.readable() == "01:39:45.473 WARNING a.b n=1"
    assert not line.is_error
    for raw in (b"{not json\n", b"Traceback: \xff\n", b'{"no": "event"}\n', b"{}\n"):
        assert read_line("it", raw).record is None
        assert read_line("it", raw).is_error


@pytest.mark.parametrize(
    ("code", "text"), [(0, "exit code 0"), (5, "exit code 5"), (-9, "signal SIGKILL"), (-99, "signal 99")]
)
def test_an_exit_code_in_words(code: int, text: str) -> None:
    assert how_it_ended(code) == text


async def test_a_child_that_ignores_the_request_to_stop_is_killed() -> None:
    stubborn = READY.replace("import sys, os;", "import sys, os, signal; signal.signal(15, signal.SIG_IGN);")
    child = await Child.start(program(stubborn + "import threading; threading.Event().wait()"), lambda _: None)
    assert await child.until_ready(30)
    assert not await child.stop(0.2)
    assert await child.ended() == -9


async def test_a_line_beyond_all_bounds_is_skipped() -> None:
    huge = "sys.stderr.write('x' * 3_000_000 + '\\n'); sys.stderr.write('last words\\n')"
    child = await Child.start(program(READY + huge), lambda _: None)
    assert await child.ended() == 0
    assert child.last_error == "last words"


async def test_what_dies_is_started_again_and_its_last_error_is_told() -> None:
    watched = Watched()
    await watched.supervisor.start([program(READY + "sys.exit('it broke')")])
    async with asyncio.timeout(30):
        while len(watched.deaths) < 2:
            watched.mourned.clear()
            await watched.mourned.wait()
    await watched.supervisor.stop()
    first, second = watched.deaths[:2]
    assert (first.how, first.last_error, first.deaths, first.restart_in_ms) == ("exit code 1", "it broke", 1, 0)
    assert (second.deaths, second.restart_in_ms) == (2, 500)


async def test_the_frame_around_a_group_of_errors_is_not_its_last_word() -> None:
    code = "raise ExceptionGroup('unhandled errors in a TaskGroup', [ExceptionGroup('inner', [ValueError('real')])])"
    child = await Child.start(program(code), lambda _: None)
    assert await child.ended() == 1
    assert child.last_error == "ValueError: real"


async def test_what_cannot_run_ends_the_waiting() -> None:
    watched = Watched()
    await watched.supervisor.start([program("import sys; sys.stderr.write('saga: no such service\\n'); sys.exit(2)")])
    with pytest.raises(GaveUpError, match="it cannot run: no such service") as caught:
        await watched.supervisor.all_ready()
    assert caught.value.exit_code == 2
    assert await watched.supervisor.stop() == []
    assert watched.deaths == []


async def test_the_first_program_is_stopped_before_the_others() -> None:
    waits = READY + "import signal; signal.sigwait({15}); print(sys.argv[0], flush=True)"
    watched = Watched()
    waits = READY.replace("import sys, os;", "import sys, os, signal; signal.pthread_sigmask(0, {15});")
    waits += "signal.sigwait({15}); print('stopped', flush=True)"
    await watched.supervisor.start([program(waits, "first"), program(waits, "second"), program(waits, "third")])
    await watched.supervisor.all_ready()
    assert await watched.supervisor.stop() == []
    assert await watched.supervisor.stop() == []  # a second time is harmless
    stopped = [line.process for line in watched.lines if line.text == "stopped"]
    assert stopped[0] == "first"
    assert sorted(stopped) == ["first", "second", "third"]


OURS = "CREATE TABLE schema_version (version, name); INSERT INTO schema_version VALUES (1, '0001_fence.sql');"
POSITIONS = "CREATE TABLE offsets (next); INSERT INTO offsets VALUES (1), (2);"


def make_database(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


async def test_positions_are_forgotten_and_nothing_else(tmp_path: Path) -> None:
    path = make_database(tmp_path / "it.db", OURS + POSITIONS)
    young = make_database(tmp_path / "young.db", OURS)
    assert await forget_positions([path, young, tmp_path / "none.db"]) == 2
    assert await forget_positions([path, young]) == 0
    assert not (tmp_path / "none.db").exists()


async def test_what_is_not_ours_is_neither_changed_nor_in_the_way(tmp_path: Path) -> None:
    foreign = make_database(tmp_path / "foreign.db", POSITIONS)
    before = foreign.read_bytes()
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text.db").write_text("no database")
    assert await forget_positions(sorted(tmp_path.glob("*.db"))) == 0
    assert foreign.read_bytes() == before


async def test_positions_of_a_database_in_use_are_left_alone(tmp_path: Path) -> None:
    path = make_database(tmp_path / "it.db", OURS + POSITIONS)
    lock = StoreLock(path)
    lock.acquire("someone")
    with pytest.raises(StoreRefusedError, match="in use by someone"):
        await forget_positions([path])
    lock.release()
