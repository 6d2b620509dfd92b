"""`saga purge`, what `show` and `doctor` say afterwards, and who does the work."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import FillStore, Saga, compensated, completed, environment, parked, running

DAY_S = 24 * 3_600
OLD = [completed("done-1"), compensated("undone-1"), parked("stuck-1"), completed("done-2"), running("running-1")]
AGES_S = (90 * DAY_S, 80 * DAY_S, 70 * DAY_S, 5 * DAY_S, 1)

OWNER = """
import asyncio, sys
from pathlib import Path
from kafka_saga.orchestrator.engine.upkeep import Retention, Upkeep
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock

async def own():
    clock = SystemClock()
    store = await open_store(Path(sys.argv[1]), clock)
    upkeep = Upkeep(store, clock, Retention())
    print("owns", flush=True)
    while True:
        await upkeep.step(store.now(), idle=True)
        await clock.sleep(50)

asyncio.run(own())
"""


@pytest.fixture
def path(fill_store: FillStore) -> Path:
    return fill_store(*OLD, ages_s=AGES_S)


@pytest.fixture
def owner(path: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the store, and keeps it up as an orchestrator does."""
    command = [sys.executable, "-c", OWNER, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(tmp_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "owns\n"
    yield process
    process.kill()
    process.communicate()


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    rows = connection.execute(sql).fetchall()
    connection.close()
    return rows


def ids(path: Path) -> set[object]:
    return {saga_id for (saga_id,) in ask(path, "SELECT saga_id FROM sagas")}


EVERYTHING = {"done-1", "undone-1", "stuck-1", "done-2", "running-1"}


def test_a_dry_run_counts_and_changes_nothing(saga: Saga, path: Path) -> None:
    run = saga("purge", "--older-than", "30d", "--dry-run", "--json")
    assert (run.exit_code, run.json["purgeable"], run.json["purged"]) == (0, 2, 0)
    assert ids(path) == EVERYTHING


def test_finished_sagas_older_than_that_are_purged_and_nothing_else(saga: Saga, path: Path) -> None:
    run = saga("purge", "--older-than", "30d", "--yes", "--reason", "ticket 4711")
    assert (run.exit_code, run.out) == (0, "2 sagas purged\n")
    assert ids(path) == {"stuck-1", "done-2", "running-1"}
    orphans = "SELECT count(*) FROM step_log WHERE saga_key NOT IN (SELECT saga_key FROM sagas)"
    assert ask(path, orphans) == [(0,)]
    [(actor, purged, ended_at)] = ask(path, "SELECT actor, purged, ended_at FROM purges")
    assert "@" in str(actor)
    assert purged == 2
    assert ended_at is not None
    [act] = saga("acts", "-o", "json").json
    assert (act["verb"], act["actor"], act["reason"], act["outcome"]) == ("purge", actor, "ticket 4711", "done")
    assert act["message"].startswith("2 sagas purged: COMPENSATED and COMPLETED before ")


@pytest.mark.parametrize(
    ("flags", "gone"),
    [
        ("--state COMPLETED", {"done-1"}),
        ("--state completed,compensated", {"done-1", "undone-1"}),
        ("--type order --state COMPENSATED", {"undone-1"}),
        ("--type shipment", set()),
    ],
)
def test_a_purge_is_as_narrow_as_its_flags(saga: Saga, path: Path, flags: str, gone: set[str]) -> None:
    assert saga("purge", "--older-than", "30d", "--yes", *flags.split()).exit_code == 0
    assert ids(path) == EVERYTHING - gone


def test_only_states_that_are_an_end_can_be_purged(saga: Saga, path: Path) -> None:
    run = saga("purge", "--older-than", "1s", "--state", "PARKED", "--yes")
    assert run.exit_code == 2
    assert "--state takes COMPLETED and COMPENSATED, not PARKED" in run.err
    assert ids(path) == EVERYTHING


def test_without_a_terminal_and_without_yes_nothing_is_purged(saga: Saga, path: Path) -> None:
    run = saga("purge", "--older-than", "30d")
    assert run.exit_code == 2
    assert "--yes" in run.err
    assert ids(path) == EVERYTHING


@pytest.mark.processes
def test_a_running_owner_does_the_work_R24(saga: Saga, path: Path, owner: subprocess.Popen[str]) -> None:
    run = saga("purge", "--older-than", "30d", "--yes", "--json")
    assert (run.exit_code, run.json["purged"]) == (0, 2), run.err
    assert owner.poll() is None
    assert ids(path) == {"stuck-1", "done-2", "running-1"}


@pytest.mark.processes
def test_an_owner_that_dies_leaves_the_rest_to_the_command(
    path: Path, owner: subprocess.Popen[str], tmp_path: Path
) -> None:
    """It is stopped first, so the purge waits for it; the command takes over once it is gone."""
    owner.send_signal(signal.SIGSTOP)
    command = [sys.executable, "-m", "kafka_saga.orchestrator.cli", "purge", "--older-than", "30d", "--yes", "--json"]
    purging = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(tmp_path))
    _until(lambda: ask(path, "SELECT count(*) FROM purges") == [(1,)])
    assert ids(path) == EVERYTHING
    owner.kill()
    out, _ = purging.communicate(timeout=30)
    assert purging.returncode == 0
    assert '"purged":2' in out
    assert ask(path, "SELECT count(*), sum(purged) FROM purges") == [(1, 2)]


@pytest.mark.usefixtures("path")
def test_a_purged_saga_is_shown_with_how_it_ended_R29(saga: Saga) -> None:
    saga("purge", "--older-than", "30d", "--yes")
    run = saga("show", "undone-1")
    assert run.exit_code == 0
    assert run.out.startswith("undone-1  order  COMPENSATED\nIt was purged on ")
    shown = saga("show", "done-1", "-o", "json").json
    assert (shown["state"], shown["purged"], shown["sagaType"]) == ("COMPLETED", True, "order")
    log = saga("log", "done-1")
    assert (log.exit_code, "was purged on" in log.err, "it was COMPLETED on" in log.err) == (3, True, True)
    assert saga("show", "done-1", "--type", "shipment").exit_code == 3


@pytest.mark.processes
def test_compact_makes_the_file_smaller_and_needs_the_store_for_itself(
    saga: Saga, fill_store: FillStore, tmp_path: Path
) -> None:
    path = fill_store(*[completed(f"done-{number}") for number in range(400)], ages_s=(90 * DAY_S,) * 400)
    before = path.stat().st_size
    run = saga("purge", "--older-than", "30d", "--yes", "--compact")
    assert run.exit_code == 0, run.err
    assert path.stat().st_size < before / 2
    assert "MB before" in run.err
    assert saga("show", "done-399", "-o", "json").json["purged"] is True

    command = [sys.executable, "-c", OWNER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owns\n"
        refused = saga("purge", "--older-than", "30d", "--yes", "--compact")
        process.kill()
    assert refused.exit_code == 4
    assert "stop it" in refused.err


@pytest.mark.processes
@pytest.mark.usefixtures("path")
def test_doctor_says_how_large_the_store_is_and_what_could_go(saga: Saga) -> None:
    def figures() -> dict[str, str]:
        run = saga("doctor", "-o", "jsonl", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
        return {row["check"]: row["found"] for row in run.rows}

    before = figures()
    assert "5 sagas, 0 purged" in before["store size"]
    assert before["oldest unfinished"].startswith("stuck-1, since ")
    assert "30 days; 2 are older" in before["retention"]
    assert "MB" in before["write-ahead log"]
    saga("purge", "--older-than", "30d", "--yes")
    after = figures()
    assert "3 sagas, 2 purged" in after["store size"]
    assert "0 are older" in after["retention"]


def _until(done: Callable[[], bool]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(30):
            while not done():
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)

    asyncio.run(wait())
