"""The list of sagas and its failures: what the heading says, what links lead to, and what a filter means."""

from __future__ import annotations

import html
import re

import httpx
import pytest

from kafka_saga.orchestrator.dashboard.pages import sagas
from kafka_saga.orchestrator.operations.sagas import counting
from kafka_saga.orchestrator.store import looking
from kafka_saga.schemas.envelope import Outcome
from tests.operations.conftest import Desk


def heading(page: str) -> str:
    return html.unescape(re.findall(r"<h1>(.*?)</h1>", page)[0])


def ids(page: str) -> set[str]:
    return set(re.findall(r'href="/sagas/order/([^"?]+)"', page))


async def retrying(desk: Desk, saga_id: str, words: str) -> None:
    """A saga whose first step is tried again."""
    sent = await desk.world.begin(saga_id)
    desk.world.answer(sent, Outcome.RETRY, body={"error": words})
    await desk.world.turn(2)


async def test_the_heading_tells_of_what_the_filter_lets_through(desk: Desk, pages: httpx.AsyncClient) -> None:
    await desk.park("order-1")
    await desk.park("order-2")
    await desk.world.begin("other-3")
    for query, says in {
        "": "2 of all 3 sagas need a person, 1 is under way.",
        "?state=parked": "2 parked sagas.",
        "?state=running": "1 running saga.",
        "?state=completed": "No completed saga.",
        "?q=other": "1 saga whose id begins with “other”.",
        "?q=no&state=parked&step=reserve_inventory": "2 parked sagas at reserve_inventory whose error says “no”.",
        "?q=customer_id=nobody&type=order": "No saga of type order with customer_id=nobody.",
        "?age=under-1h": "No saga of the last hour.",  # the world's clock stands still, years ago
        "?held=1": "No held saga.",
    }.items():
        answer = await pages.get(f"/sagas{query}")
        while not query and "of all" not in answer.text:  # all are counted beside the first look
            answer = await pages.get("/sagas")
        assert heading(answer.text) == says, query


async def test_many_are_counted_up_to_a_bound(
    desk: Desk, pages: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await desk.park(f"order-{number}")
    monkeypatch.setattr(sagas, "ROWS", 2)
    assert heading((await pages.get("/sagas?state=parked")).text) == "4 parked sagas."
    assert heading((await pages.get("/sagas?type=order")).text) == "4 sagas of type order."
    monkeypatch.setattr(counting, "COUNTED_LIST_MAX", 3)
    for query, says in {"state=parked": "3+ parked sagas.", "type=order": "3+ sagas of type order."}.items():
        assert heading((await pages.get(f"/sagas?{query}")).text) == says
    assert heading((await pages.get("/sagas?q=order-")).text) == "2+ sagas whose id begins with “order-”."
    first = (await pages.get("/sagas?q=order-&state=parked")).text
    assert heading(first) == "3+ parked sagas whose id begins with “order-”."
    [older] = re.findall(r'href="(/sagas\?[^"]*after=[^"]*)">Older', first)
    second = (await pages.get(html.unescape(older))).text
    assert ids(first) | ids(second) == {f"order-{number}" for number in range(4)}


async def test_the_beginning_of_an_id_is_one_filter_among_the_others(
    desk: Desk, pages: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of a thousand ids must not hide the one that is wanted, and an act on all takes no others."""
    monkeypatch.setattr(sagas, "ROWS", 2)
    for number in range(4):
        await desk.world.begin(f"order-{number}")
    await desk.park("order-9")
    for query in ("state=parked&q=order-", "step=reserve_inventory&q=order-9", "age=over-1d&q=order-9"):
        assert ids((await pages.get(f"/sagas?{query}")).text) == {"order-9"}, query
    assert ids((await pages.get("/sagas?q=order-&step=process_payment")).text) == set()
    nobody = await pages.post("/bulk", data={"verb": "cancel", "listed": "?q=order-&step=create_order", "every": "1"})
    frozen = (await pages.get(nobody.headers["location"])).text if nobody.status_code == 303 else nobody.text
    assert "order-" not in "".join(ids(frozen))


async def test_links_of_failures_lead_to_what_they_count(desk: Desk, pages: httpx.AsyncClient) -> None:
    await retrying(desk, "order-1", "the shelf is busy")
    await retrying(desk, "order-2", "the shelf is busy")
    await retrying(desk, "order-3", "the lift stands still")
    await desk.world.begin("order-4")
    await desk.park("order-5")
    page = (await pages.get("/failures")).text
    found = {
        html.unescape(words): ids((await pages.get(html.unescape(href))).text)
        for href, words in re.findall(r'<td class="c-wide"><a class="id mono" href="([^"]+)">(.*?)</a>', page)
    }
    assert found == {
        "the shelf is busy": {"order-1", "order-2"},
        "the lift stands still": {"order-3"},
        "no": {"order-5"},
    }
    numbers = re.findall(r'data-l="Retrying"><a href="([^"]+)">(\d+)</a>', page)
    assert {number: len(ids((await pages.get(html.unescape(href))).text)) for href, number in numbers} == {
        "2": 2,
        "1": 1,
    }


async def test_failures_that_are_too_many_to_list_are_counted(
    desk: Desk, pages: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await retrying(desk, f"order-{number}", f"shelf {number} is busy")
    assert "failed in other words" not in (await pages.get("/failures")).text
    monkeypatch.setattr(looking, "FAILURE_GROUPS_MAX", 1)
    assert "2 more sagas failed in other words." in (await pages.get("/failures")).text
    assert (await pages.get("/definitions")).status_code == 200
