"""The page of a saga in a browser: seen live, explained, acted on; on a desk, on a phone, in the dark, by keys."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from kafka_saga.runtime.limits import ID_LENGTH_MAX
from tests.brokers import BrokerUnderTest
from tests.browser.conftest import Keep, Screens, site_of, until
from tests.browser.screens import Screen
from tests.integration.world import World

WORDS = "Database connection failed"
FAULTS = {
    "orders": {"SAGA_FAULT_RAISE": f"createOrder:saga=order-123:text={WORDS}"},
    "payment": {
        "SAGA_FAULT_REJECT": "chargePayment:saga=order-1:text=card declined;chargePayment:saga=order-2:text=no"
    },
    # Each second release is refused: of two declined orders one is parked, and its retry works.
    "inventory": {"SAGA_FAULT_REJECT": "releaseItems:every=2:text=the shelf is locked"},
}
PICTURES = os.environ.get("SAGA_SCREENSHOTS", "")
"""Where `make screenshots` wants pictures for the documentation."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop(kafka: BrokerUnderTest, tmp_path_factory: pytest.TempPathFactory, keep: Keep) -> AsyncIterator[World]:
    """The shipped order saga, where things go wrong in ways of their own."""
    world = World(kafka.bootstrap_servers, tmp_path_factory.mktemp("shop"), f"shop-{os.urandom(4).hex()}.")
    await keep(world)
    try:
        await world.start("--http", "127.0.0.1:0", faults=FAULTS)
        yield world
    finally:
        await world.stop()


async def picture(screen: Screen, name: str, width: int = 1200, height: int = 740) -> None:
    """One of the whole page, for whoever looks at the build; its top for the documentation, where somebody asked."""
    await screen.shot(name)
    if PICTURES:
        before = screen.page.viewport_size
        assert before is not None
        await screen.page.set_viewport_size({"width": width, "height": height})
        await expect(screen.page.locator("#live span")).to_have_text("Live", timeout=30_000)
        await screen.page.screenshot(path=Path(PICTURES) / f"{name}.png")
        await screen.page.set_viewport_size(before)


async def opened(screens: Screens, shop: World, saga_id: str, **how: object) -> Screen:
    """The page of a saga, as soon as there is one."""
    screen = await screens(site_of(shop), **how)
    screen.forgiven.append(r"404")  # asked for before the orchestrator has taken the request

    async def is_there() -> bool:
        await screen.go(f"/sagas/order/{saga_id}")
        return await screen.page.locator("#head").count() > 0

    await until(f"the page of {saga_id}", is_there)
    return screen


async def test_a_saga_is_seen_live_from_its_start_to_its_undoing_without_a_reload(
    screens: Screens, shop: World
) -> None:
    await shop.order("order-123")
    screen = await opened(screens, shop, "order-123")
    page = screen.page
    await page.evaluate("window.stays = true")
    await page.locator("#turn-1 details").first.evaluate("one => { one.open = true; }")
    await page.locator("#ways-more > summary").click()
    await page.locator("#why-pause").press_sequentially("to look closer")
    rows = page.locator("#talk .talk > li")
    await expect(rows).not_to_have_count(await rows.count(), timeout=60_000)
    await expect(page.locator("#why-pause")).to_be_focused()
    await expect(page.locator("#why-pause")).to_have_value("to look closer")
    await expect(page.locator("#head .badge").first).to_have_text("COMPENSATED", timeout=60_000)
    await expect(page).to_have_title("order-123 COMPENSATED · saga")
    await expect(page.locator("#head h1")).to_contain_text(f"create_order failed 4 times ({WORDS})")
    await expect(page.locator("#path .undone").first).to_be_attached()
    await expect(page.locator("#talk details[open]")).to_have_count(1)
    assert await page.evaluate("window.stays") is True, "it was not loaded again"
    await picture(screen, "saga-compensated")
    assert await screen.overflows() <= 0
    assert await screen.violations() == []
    phone = await opened(screens, shop, "order-123", phone=True, dark=True)
    await expect(phone.page.locator("#path svg.tall")).to_be_visible()
    await expect(phone.page.locator("#path svg.wide")).to_be_hidden()
    await phone.page.locator("#path").evaluate("one => one.scrollIntoView()")
    assert await phone.overflows() <= 0
    assert await phone.violations() == []
    await picture(phone, "saga-compensated-phone", 390, 844)


async def test_a_message_is_opened_with_its_place_its_headers_and_a_kcat_line(screens: Screens, shop: World) -> None:
    await shop.order("order-7")
    screen = await opened(screens, shop, "order-7")
    page = screen.page
    await expect(page.locator("#head .badge").first).to_have_text("COMPLETED", timeout=60_000)
    for ident, topic, header in (
        ("#out-1-1", "inventory.commands", "ce_sagaattempt"),
        ("#in-2", "inventory.replies", "ce_sagaoutcome"),
    ):
        await page.locator(f"{ident} summary").click()
        there = page.locator(f"{ident}-is")
        await expect(there).to_contain_text(header, timeout=30_000)
        place = re.search(rf"\S*{topic}\[(\d+)\]@(\d+)", await there.inner_text())
        assert place is not None
        assert f"-p {place[1]} -o {place[2]} -c 1" in await there.locator(".cli code").inner_text()


async def test_a_parked_saga_is_explained_retried_and_ends_on_its_page(screens: Screens, shop: World) -> None:
    await shop.order("order-1")
    first = await opened(screens, shop, "order-1")
    await expect(first.page.locator("#head .badge").first).to_have_text(
        re.compile("PARKED|COMPENSATED"), timeout=60_000
    )
    screen = first
    if await first.page.locator("#head .badge").first.inner_text() != "PARKED":
        await shop.order("order-2")
        screen = await opened(screens, shop, "order-2")
    page = screen.page
    await expect(page.locator("#head .badge").first).to_have_text("PARKED", timeout=60_000)
    await expect(page.locator("#head h1")).to_contain_text(
        "reserve_inventory could not be undone (the shelf is locked)"
    )
    await expect(page.locator("#head .say p")).to_contain_text(
        "1 step is left behind: reserve_inventory (reservation_id"
    )
    await picture(screen, "saga-parked")
    assert await screen.violations() == []
    await page.keyboard.press("a")
    await expect(page.locator("#ways button:focus")).to_have_text("Retry")
    await page.locator("#ways input[name=reason]").first.fill("the shelf is unlocked")
    await page.locator("#ways input[name=reason]").first.press("Enter")
    await expect(page.locator("#head .badge").first).to_have_text("COMPENSATED", timeout=60_000)
    await expect(page.locator("#acts tbody tr")).to_contain_text("the shelf is unlocked")
    await expect(page.locator("#acts tbody tr")).to_contain_text("worked", timeout=30_000)
    await expect(page.locator("#ways form")).to_have_count(0)


async def test_keys_open_all_messages_and_an_unknown_saga_is_said_to_be_none(screens: Screens, shop: World) -> None:
    await shop.order("order-8")
    screen = await opened(screens, shop, "order-8")
    page = screen.page
    await expect(page.locator("#head .badge").first).to_have_text("COMPLETED", timeout=60_000)
    await page.keyboard.press("o")
    await expect(page.locator("#talk details:not([open])")).to_have_count(0)
    kept = await page.request.get(f"{screen.site}/sagas/order/order-8/raw")
    assert "attachment" in kept.headers["content-disposition"]
    document = await kept.json()
    assert (document["state"], len(document["log"]) > 0) == ("COMPLETED", True)
    await screen.go("/sagas/order/no-such-order")
    await expect(page.locator("main")).to_contain_text("here is no saga 'no-such-order'")
    assert await screen.violations() == []


async def test_long_names_and_values_break_no_page(screens: Screens, shop: World) -> None:
    name = ("order-" + "very-long-" * 40)[:ID_LENGTH_MAX]
    await shop.order(name)
    for how in ({}, {"phone": True}):
        screen = await opened(screens, shop, name, **how)
        await expect(screen.page.locator("#head .badge").first).to_have_text("COMPLETED", timeout=60_000)
        assert await screen.overflows() <= 0
        await screen.shot(f"saga-long-{'phone' if how else 'desk'}")
