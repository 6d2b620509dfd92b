"""The page of definitions: every version drawn with who stands where, also one that no code here has any more."""

from __future__ import annotations

import re

import httpx

from kafka_saga.orchestrator.dashboard.outline import Standing, standings, steps_of_code, steps_on_record, told
from kafka_saga.orchestrator.sagas.order import order_saga
from tests.machine.worlds import saga, step
from tests.operations.conftest import Desk

NODE = re.compile(r'<(?:a|g) class="node (\w+)"[^>]*aria-label="([^"]*)"')


def nodes(page: str) -> dict[str, str]:
    """What the picture says of each step and each undoing, with the class that colours it."""
    return {label: css for css, label in NODE.findall(page)}


async def test_every_step_says_how_many_sagas_are_at_it_and_on_which_way(desk: Desk, pages: httpx.AsyncClient) -> None:
    await desk.world.begin("order-1")
    await desk.park("order-2")
    page = (await pages.get("/definitions")).text
    found = nodes(page)
    out = "1 reserve_inventory: inventory, 4 × 5 s, reserveItems; 1 under way"
    assert found[out] == "forth", found
    back = "undo of 1 reserve_inventory, releaseItems: inventory, undoes it; 1 in need of a person"
    assert found[back] == "parked", found
    assert page.count("<desc>The way out: 1 reserve_inventory (inventory), then 2 ") == 2, "for a desk and for a phone"


async def test_a_version_without_code_is_drawn_from_what_the_store_has_on_record(
    desk: Desk, pages: httpx.AsyncClient
) -> None:
    await desk.park("order-1")
    table = f"{desk.schema}definitions"
    await desk.by_hand(f"UPDATE {table} SET version = 7")
    await desk.by_hand(f"UPDATE {desk.schema}sagas SET definition_version = 7")
    page = (await pages.get("/definitions")).text
    assert "No code here has order v7" in page
    assert '<details class="card version" id="v-order-7" open>' in page
    lost = page[page.index('id="v-order-7"') : page.index('id="v-order-1"')]
    assert (
        nodes(lost)["undo of 1 reserve_inventory, releaseItems: inventory, undoes it; 1 in need of a person"]
        == "parked"
    )
    await desk.by_hand(f"UPDATE {table} SET description = NULL")
    assert "Its steps were not stored" in (await pages.get("/definitions")).text


def test_the_record_tells_the_steps_that_the_code_has() -> None:
    pivot = saga("pivot", step("one"), step("two", compensation=None, pivot=True), step("three", compensation=None))
    for definition in (order_saga, pivot):
        at = {1: Standing(out=2)}
        code = steps_of_code(definition, at)
        record = steps_on_record(definition.saga_type, definition.description, at)
        told_of = [(one.label, one.service, one.command, one.undo, one.is_pivot, one.href, one.at) for one in code]
        assert told_of == [
            (one.label, one.service, one.command, one.undo, one.is_pivot, one.href, one.at) for one in record
        ]
        assert told(code) == told(record)
    assert "From 2 two on it only goes forward. What was done is undone in this order: " in told(code)


def test_who_moves_and_who_stopped_are_told_apart_by_their_way() -> None:
    found = standings({(1, False): 3, (1, True): 2}, {(1, True): 1, (2, False): 4})
    assert found == {1: Standing(3, 2, 0, 1), 2: Standing(parked_out=4)}
    assert found[1].parked == 1
