"""The form that starts a saga: all that is wrong at once, each at its field; then the saga's page, begun or not."""

from __future__ import annotations

import html
import re
from pathlib import Path

import httpx
import pytest
from pydantic import BaseModel, Field

from kafka_saga.orchestrator.definition import Saga, Step
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.owners import BeatingReplicas, FileOwner
from kafka_saga.runtime.clock import SystemClock
from tests.contracts.stores import REQUEST
from tests.dashboard.conftest import served
from tests.operations.conftest import Desk


class ParcelSent(BaseModel):
    weight: int = Field(gt=0)
    labels: dict[str, str] = {}


class BookParcel(BaseModel):
    weight: int


PARCEL = Saga(
    "parcel", version=1, request=ParcelSent,
    steps=[Step("book", service="carrier", action=BookParcel)],
)  # fmt: skip


def wrong_at(page: str) -> dict[str, str]:
    """What a form says, by the field below which it stands and that names it as its description."""
    found = dict(re.findall(r'<span class="wrong" id="(.+?)-wrong">(.*?)</span>', page))
    assert all(
        re.search(rf'name="{name}" aria-describedby="[^"]*{name}-wrong" aria-invalid="true"', page) for name in found
    )
    return {name: html.unescape(text) for name, text in found.items()}


async def test_a_bad_id_and_everything_else_that_is_wrong_is_said_at_once(desk: Desk) -> None:
    async with served(desk, Registry([PARCEL], {})) as pages:
        answer = await pages.post("/start/parcel", data={"saga-id": "a b", "weight": "none", "labels": "{"})
        assert answer.status_code == 422
        wrong = wrong_at(answer.text)
        assert list(wrong) == ["saga-id", "weight", "labels"]
        assert wrong["saga-id"].startswith("the saga id must be text of 1 to 128 characters")
        assert wrong["labels"].startswith("it is not JSON")
        assert "3 fields have to be mended." in answer.text
        assert answer.text.count("autofocus") == 1, "whoever has only keys stands at the first that is wrong"
        assert 'value="a b"' in answer.text, "what was filled in stays"
        assert list(wrong_at((await pages.post("/start/parcel", data={"weight": "5"})).text)) == ["saga-id"]


async def test_an_id_that_another_request_has_is_said_at_its_field(desk: Desk, pages: httpx.AsyncClient) -> None:
    await desk.world.begin()
    taken = await pages.post("/start/order", data={**filled(), "amount": "1"})
    assert taken.status_code == 422
    assert "is there already" in wrong_at(taken.text)["order_id"]
    again = await pages.post("/start/order", data=filled())
    assert (again.status_code, again.headers["location"]) == (303, "/sagas/order/order-1")


def filled() -> dict[str, str]:
    """A form with the request of `order-1`."""
    texts = {name: str(value) for name, value in REQUEST.items() if name != "items"}
    items = {
        f"items.{index}.{name}": str(value)
        for index, item in enumerate(REQUEST["items"])
        for name, value in item.items()
    }
    return {**texts, **items, "order_id": "order-1", "items.#": str(len(REQUEST["items"]))}


async def test_a_saga_that_was_asked_for_has_a_page_before_it_begins(desk: Desk, pages: httpx.AsyncClient) -> None:
    assert (await pages.get("/sagas/order/order-1")).status_code == 404
    for address in ("order/order-1?asked=soon", "order/order%201?asked=5", "trip/order-1?asked=5"):
        assert (await pages.get(f"/sagas/{address}")).status_code == 404, address
    coming = await pages.get("/sagas/order/order-1?asked=5")
    assert coming.status_code == 200
    assert "no orchestrator runs on this store" in coming.text
    assert 'hx-sse:connect="/live/sagas/order/order-1?asked=5"' in coming.text
    await desk.world.begin()
    there = await pages.get("/sagas/order/order-1?asked=5")
    assert "was asked for" not in there.text
    places = re.findall(r'<(?:section|div) id="(head|ways|path|time|acts|talk)"', there.text)
    assert places == re.findall(r'<(?:section|div) id="(head|ways|path|time|acts|talk)"', coming.text)


async def test_while_an_orchestrator_runs_the_saga_is_on_its_way(
    pages: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def somebody(_owners: object, _clock: object) -> str:
        return "process 1"

    monkeypatch.chdir(tmp_path)
    for owners in (FileOwner, BeatingReplicas):
        monkeypatch.setattr(owners, "now", somebody)
    coming = (await pages.get(f"/sagas/order/order-1?asked={SystemClock().now_ms()}")).text
    assert "order-1 is on its way" in coming
    late = (await pages.get("/sagas/order/order-1?asked=5")).text
    assert "on its way:" not in late, "nothing is claimed"
    assert 'href="/dead-letters"' in late
