"""Which sagas have ended since the last look, and what `saga up` prints of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kafka_saga.orchestrator.operations.sagas.endings import Endings
from kafka_saga.orchestrator.store.port import Batch, Changed, Started
from kafka_saga.orchestrator.store.reader import Ended, StoreReader
from kafka_saga.orchestrator.store.sqlite import SqliteStore, open_store
from kafka_saga.orchestrator.supervisor.endings import LINES_PER_LOOK_MAX, lines_of
from kafka_saga.orchestrator.supervisor.screen import ProcessScreen
from kafka_saga.orchestrator.testing import Story
from kafka_saga.runtime.clock import SystemClock
from tests.cli.conftest import compensated, completed, parked, running, waiting


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await open_store(tmp_path / "store.db", SystemClock())
    yield store
    await store.close()


@pytest.fixture
async def reader(store: SqliteStore, tmp_path: Path) -> AsyncIterator[StoreReader]:
    assert store.store_id
    reader = await StoreReader.open(tmp_path / "store.db")
    yield reader
    await reader.close()


async def accept(store: SqliteStore, *stories: Story) -> None:
    await store.commit(Batch(store.now(), started=[Started(story.saga, b"\0" * 32) for story in stories]))


async def become(store: SqliteStore, later: Story) -> None:
    """The saga of that id is now what it is in this story."""
    known = (await store.load([later.saga.ref]))[later.saga.ref].saga
    await store.commit(Batch(store.now(), changed=[Changed(later.saga.at_row(known.row), known.version)]))


def told(found: list[Ended]) -> list[tuple[str, str, str | None]]:
    return [(one.saga_id, one.state, one.error) for one in found]


async def test_a_saga_is_told_when_it_ends_and_once(store: SqliteStore, reader: StoreReader) -> None:
    await accept(store, completed("old"), running("one"), running("two"), waiting("three"))
    endings = Endings(reader)
    assert await endings.look() == [], "what had ended before is no news"
    assert await endings.look() == []
    await become(store, compensated("one", "card declined"))
    assert told(await endings.look()) == [("one", "COMPENSATED", "card declined")]
    await become(store, completed("two"))
    await accept(store, completed("begun-and-ended"), running("begun"))
    assert told(await endings.look()) == [("two", "COMPLETED", None), ("begun-and-ended", "COMPLETED", None)]
    assert await endings.look() == []
    await become(store, completed("begun"))
    assert told(await endings.look()) == [("begun", "COMPLETED", None)]


async def test_a_saga_that_needs_a_person_is_told_with_the_reason(store: SqliteStore, reader: StoreReader) -> None:
    await accept(store, running("stuck"))
    endings = Endings(reader)
    await endings.look()
    await become(store, parked("stuck"))
    assert told(await endings.look()) == [("stuck", "PARKED", "no such reservation")]
    assert await endings.look() == []


def ended(count: int, state: str = "COMPLETED", error: str | None = None) -> list[Ended]:
    return [Ended(number, "order", f"{state}-{number}", state, error, number) for number in range(count)]


def test_a_few_are_told_by_name() -> None:
    [(text, style, record)] = lines_of(ended(1, "COMPENSATED", "card\x1b[2J declined"))
    assert (text, style) == (r"COMPENSATED-0  order  COMPENSATED  0 ms  card\x1b[2J declined", "yellow")
    assert (record["event"], record["sagaId"], record["durationMs"]) == ("saga.ended", "COMPENSATED-0", 0)
    assert len(lines_of(ended(LINES_PER_LOOK_MAX))) == LINES_PER_LOOK_MAX
    assert lines_of([]) == []


def test_many_are_summed_up_but_for_those_that_need_a_person() -> None:
    lines = [text for text, *_ in lines_of([*ended(1_000), *ended(1, "COMPENSATED"), *ended(1, "PARKED", "why")])]
    assert lines == [
        "1,002 sagas ended: 1,000 COMPLETED, 1 COMPENSATED, 1 PARKED; half within 499 ms, 99 % within 989 ms",
        "PARKED-0  order  PARKED  0 ms  why",
    ]
    assert len(lines_of(ended(500, "PARKED"))) == 1 + LINES_PER_LOOK_MAX


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (False, "saga         │ COMPLETED-0  order  COMPLETED  0 ms\n"),
        (
            True,
            (
                '{"event":"saga.ended","sagaId":"COMPLETED-0","sagaType":"order","state":"COMPLETED","error":null,'
                '"durationMs":0}\n'
            ),
        ),
    ],
)
def test_they_are_shown_in_the_form_of_the_other_lines(
    capsys: pytest.CaptureFixture[str], expected: str, *, raw: bool
) -> None:
    screen = ProcessScreen(raw=raw)
    for line in lines_of(ended(1)):
        screen.tell(*line)
    assert capsys.readouterr().err == expected
