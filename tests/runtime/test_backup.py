"""A copy made while the owner writes: whole, checked, private, and of one moment."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_saga.runtime.backup import PAGES_PER_STEP, back_up
from kafka_saga.runtime.errors import BrokenStoreError, RefusedError, StoreUnavailableError
from kafka_saga.runtime.sqlite import open_inline

PAIRS = 20_000


def nothing(_done: int, _total: int) -> None:
    return


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(sql).fetchall()
    connection.close()
    return found


@pytest.fixture
async def source(tmp_path: Path) -> Path:
    """A database of some thousand pages, in WAL mode as ours are."""
    path = tmp_path / "source.db"
    connection = await open_inline(path)
    await connection.run_script("CREATE TABLE pairs (a INTEGER, b INTEGER, filling TEXT)")
    await connection.execute("BEGIN")
    await connection.execute_many("INSERT INTO pairs VALUES (0, 0, ?)", [("x" * 1_000,)] * PAIRS)
    await connection.commit()
    await connection.close()
    assert path.stat().st_size > 2 * PAGES_PER_STEP * 4_096, "it takes several steps to copy it"
    return path


@pytest.fixture
def writer(source: Path) -> Iterator[threading.Event]:
    """An owner that changes every pair's both halves again and again, each time in one transaction."""
    ended, wrote = threading.Event(), threading.Event()

    def write() -> None:
        connection = sqlite3.connect(source, isolation_level=None)
        connection.execute("PRAGMA synchronous=OFF")
        while not ended.is_set():
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE pairs SET a = a + 1 WHERE rowid <= 100 OR rowid > 19900")
            connection.execute("UPDATE pairs SET b = b + 1 WHERE rowid <= 100 OR rowid > 19900")
            connection.execute("COMMIT")
            wrote.set()
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    assert wrote.wait(10)
    yield wrote
    ended.set()
    thread.join()


def test_a_copy_has_everything_and_is_private(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    told: list[tuple[int, int]] = []
    size = back_up(source, copy, on_progress=lambda done, total: told.append((done, total)))
    assert size == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert rows(copy, "SELECT count(*) FROM pairs") == [(PAIRS,)]
    assert len(told) > 2
    assert told[-1][0] == told[-1][1] > 0
    assert {file.name for file in tmp_path.iterdir()} >= {"copy.db", "source.db"}
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


def test_a_copy_is_of_one_moment_however_much_is_written_meanwhile(
    source: Path, tmp_path: Path, writer: threading.Event
) -> None:
    copy = tmp_path / "copy.db"
    wrote_during = []

    def watch(_done: int, _total: int) -> None:
        writer.clear()
        wrote_during.append(writer.wait(10))

    back_up(source, copy, on_progress=watch)
    assert wrote_during
    assert all(wrote_during), "the owner goes on writing while the copy is made"
    [(least, most, halves)] = rows(
        copy, "SELECT min(a), max(a), sum(a <> b) FROM pairs WHERE rowid <= 100 OR rowid > 19900"
    )
    assert least == most, "the first and the last pages are of the same moment"
    assert halves == 0


def test_a_copy_that_exists_is_not_replaced_unless_it_is_asked_for(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("last week's")
    with pytest.raises(RefusedError, match=r"copy\.db exists"):
        back_up(source, copy, on_progress=nothing)
    assert copy.read_text() == "last week's"
    back_up(source, copy, replaces=True, on_progress=nothing)
    assert rows(copy, "SELECT count(*) FROM pairs") == [(PAIRS,)]


def test_a_damaged_source_gives_no_copy_and_keeps_the_old_one(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("last week's")
    with source.open("r+b") as file:
        file.seek(100 * 4_096)
        file.write(b"\xff" * 4_096)
    with pytest.raises(BrokenStoreError, match="damaged"):
        back_up(source, copy, replaces=True, on_progress=nothing)
    assert copy.read_text() == "last week's"
    assert {file.name for file in tmp_path.iterdir() if "partial" in file.name} == set()


def test_a_copy_that_is_interrupted_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(source, tmp_path / "copy.db", on_progress=interrupt)
    assert sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name) == []


def test_what_is_not_there_cannot_be_copied_nor_copied_to(source: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="there is no database"):
        back_up(tmp_path / "absent.db", tmp_path / "copy.db", on_progress=nothing)
    with pytest.raises(StoreUnavailableError, match="No such file"):
        back_up(source, tmp_path / "absent" / "copy.db", on_progress=nothing)
