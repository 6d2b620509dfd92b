"""Pages of the audit: whole, in order, quick however many acts there are, and with nothing that is to be masked."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.operations.acts import auditing
from kafka_saga.orchestrator.operations.acts.auditing import read_acts
from kafka_saga.orchestrator.store.looking import WantedActs
from kafka_saga.orchestrator.store.port import NO_SAGA, NotedAct
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import SetClock
from tests.operations.conftest import Desk

ANYTHING = WantedActs()
WINDOW = 4


class Hurried(SetClock):
    """Whenever it is asked, the time for a page has passed."""

    def monotonic_ms(self) -> int:
        self.at_ms += 1_000
        return self.at_ms


@pytest.fixture(autouse=True)
async def noted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ann started ten sagas; before that Bob purged what had ended."""
    monkeypatch.setattr(auditing, "PAGE_WINDOW_ROWS", WINDOW)
    await desk.queue.note(
        NotedAct("p-1", NO_SAGA, "purge", "bob", "it is time", "3 sagas purged", {"scope": "sagas"}), 1
    )
    for number in range(10):
        ref = SagaRef("order", f"order-{number}")
        await desk.queue.note(NotedAct(f"start:order:{number}", ref, "start", "ann", "", "it began"), number + 2)


async def every(desk: Desk, wanted: WantedActs, limit: int, clock: SetClock) -> tuple[list[str], int]:
    """The ids of all pages, and how many pages there were."""
    ids, pages, cursor = list[str](), 0, None
    while True:
        page = await read_acts(desk.reader, wanted, cursor, limit, clock)
        assert len(page.acts) <= limit
        ids += [act.act_id for act in page.acts]
        pages, cursor = pages + 1, page.cursor
        if cursor is None:
            assert page.is_whole
            return ids, pages


@pytest.mark.parametrize("limit", [1, 3, WINDOW, 11, 100])
async def test_every_act_is_on_one_page_newest_first(desk: Desk, limit: int) -> None:
    ids, _ = await every(desk, ANYTHING, limit, SetClock())
    assert ids == [*(f"start:order:{number}" for number in reversed(range(10))), "p-1"]


async def test_what_few_did_is_found_behind_what_many_did(desk: Desk) -> None:
    for wanted in (WantedActs(actor="bob"), WantedActs(verb="purge"), WantedActs("bob", "purge", "done")):
        assert await every(desk, wanted, 5, SetClock()) == (["p-1"], 1)
    assert await every(desk, WantedActs(outcome="refused"), 5, SetClock()) == ([], 1)


async def test_a_page_that_takes_too_long_says_where_to_look_on(desk: Desk) -> None:
    first = await read_acts(desk.reader, WantedActs(actor="bob"), None, 5, Hurried())
    assert (list(first.acts), first.is_whole) == ([], False)
    ids, pages = await every(desk, WantedActs(actor="bob"), 5, Hurried())
    assert (ids, pages) == (["p-1"], 3)


async def test_a_cursor_is_one_of_ours(desk: Desk) -> None:
    with pytest.raises(UsageError, match="none of ours"):
        await read_acts(desk.reader, ANYTHING, "x", 5, SetClock())
