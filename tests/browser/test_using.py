"""The dashboard in use: by keys alone, on a phone, live, read-only, starting a saga, and with what was set aside."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Route

from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.runtime.clock import SystemClock
from tests.browser.conftest import Screens, site_of, until
from tests.browser.test_sagas import park, reach
from tests.integration.processes import saga_command
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]


async def test_everything_can_be_done_with_keys(screens: Screens, site: str, system: World) -> None:
    await park(system, "keys-1", "keys-2")
    screen = await screens(site)
    page = screen.page
    await screen.go("/")
    await page.keyboard.press("?")
    await page.get_by_role("heading", name="Keys").wait_for()
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await page.wait_for_url("**/sagas")
    await page.keyboard.press("/")
    await page.keyboard.type("keys-")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**q=keys-**")
    for key in ("j", "x", "j", "x"):
        await page.keyboard.press(key)
    await page.get_by_text("2 chosen").wait_for()
    await page.keyboard.press("a")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Retry 2 sagas?").wait_for()
    await screen.go("/sagas?q=keys-")
    await page.keyboard.press("t")
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/sagas/order/keys-*")
    screen.forgiven.append("404")  # the saga's own page comes with another part


PLACES = {
    "o": "/",
    "s": "/sagas",
    "f": "/failures",
    "d": "/dead-letters",
    "t": "/timers",
    "w": "/workers",
}


async def test_every_place_has_its_keys_and_none_of_them_is_taken_from_who_writes(
    screens: Screens, site: str, system: World
) -> None:
    await park(system, "range-1", "range-2", "range-3", "range-4")
    screen = await screens(site)
    page = screen.page
    await screen.go("/audit")
    for key, path in PLACES.items():
        await page.keyboard.press("g")
        await page.keyboard.press(key)
        await page.wait_for_url(site + path)
    await screen.go("/sagas?q=range-")
    await page.keyboard.press("/")
    await page.keyboard.press("End")
    await page.keyboard.type("gojkxat?")  # into the field
    assert (await page.evaluate("document.activeElement.value")).endswith("gojkxat?")
    assert page.url.endswith("q=range-")
    await page.keyboard.press("Escape")
    for key in ("j", "j", "j", "k", "x", "j", "j", "Shift+X"):  # down to the third, up to the second; to the fourth
        await page.keyboard.press(key)
    await page.get_by_text("3 chosen").wait_for()


async def test_times_are_the_readers_own_and_utc_stands_behind_them(screens: Screens, site: str, system: World) -> None:
    """The browser is in Berlin: an hour or two ahead, and what comes in later is changed as well."""
    await system.order("times-1", customer_id="bob")
    await reach(system, SagaState.COMPLETED, "times-1")
    screen = await screens(site)
    page = screen.page
    for path in ("/sagas/order/times-1", "/audit", "/sagas?q=times-"):
        await screen.go(path)
        shown = await page.evaluate(CLOCKS)
        assert all(one["title"].endswith(" UTC") for one in shown), shown
        clocks = [one for one in shown if one["local"] is not None]
        assert [one for one in clocks if one["local"] not in one["text"]] == [], path
        assert [one for one in clocks if one["utc"] not in one["title"]] == [], path
        assert clocks or path != "/sagas/order/times-1"
    await screen.go("/sagas?q=times-")
    await system.order("times-2", customer_id="bob")
    await page.get_by_role("link", name="times-2", exact=True).wait_for()
    later = await page.evaluate(CLOCKS)
    assert len(later) > len(shown)
    assert all(one["title"].endswith(" UTC") for one in later)


CLOCKS = """
[...document.querySelectorAll("main time")].map((one) => {
  const at = new Date(one.getAttribute("datetime")), two = (number) => String(number).padStart(2, "0");
  const isClock = /\\d\\d:\\d\\d:\\d\\d/.test(one.textContent);
  return {
    text: one.textContent, title: one.title,
    local: isClock ? `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}` : null,
    utc: `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`,
  };
})
"""
"""What every time on the page says, whether it shows a time of day, and what that is here and in UTC."""


async def test_a_page_that_is_open_shows_what_changes_without_a_reload(
    screens: Screens, site: str, system: World
) -> None:
    screen = await screens(site)
    page = screen.page
    await screen.go("/sagas?q=live-")
    await page.evaluate("window.opened = true")
    await system.order("live-1", customer_id="bob")
    await page.get_by_role("link", name="live-1", exact=True).wait_for()
    await page.locator("#rows").get_by_text("COMPLETED").wait_for()
    assert await page.evaluate("window.opened") is True


async def test_a_page_is_live_however_late_its_scripts_come(screens: Screens, site: str) -> None:
    """htmx began before its extension was there, and the page stood still, now and then on a busy machine."""
    screen = await screens(site)

    async def late(route: Route) -> None:
        await SystemClock().sleep(500)
        await route.continue_()

    await screen.page.route("**/hx-sse*", late)
    async with screen.page.expect_request("**/live/sagas*"):
        await screen.go("/sagas")


async def test_a_form_starts_a_saga_and_says_at_its_fields_what_is_wrong(
    screens: Screens, site: str, system: World
) -> None:
    screen = await screens(site)
    page = screen.page
    await screen.go("/start/order")
    for name, text in (("order_id", "formed-1"), ("customer_id", "bob"), ("amount", "990"), ("currency", "euro")):
        await page.locator(f"[name={name}]").fill(text)
    await page.locator("[name='items.0.sku']").fill("lamp")
    await page.locator("[name='items.0.quantity']").fill("1")
    await page.get_by_role("button", name="One more").click()
    await page.locator("[name='items.1.sku']").fill("book")
    await page.locator("[name='items.1.quantity']").fill("2")
    screen.forgiven.append("422")  # a browser's console names every answer that is an error
    await page.get_by_role("button", name="Start it", exact=True).last.click()
    await page.locator("#currency-wrong").wait_for()
    assert await screen.violations() == []
    await screen.shot("start-wrong")
    await page.locator("[name=currency]").fill("EUR")
    await page.get_by_role("button", name="Start it", exact=True).last.click()
    await page.wait_for_url(f"{site}/sagas/order/formed-1*")
    await page.locator("#head").get_by_text("COMPLETED", exact=True).wait_for()  # without a reload
    assert await screen.violations() == []
    await reach(system, SagaState.COMPLETED, "formed-1")
    await screen.go("/audit?verb=start")
    await page.get_by_role("row").filter(has_text="formed-1").get_by_text("taken", exact=True).wait_for()


@pytest_asyncio.fixture(loop_scope="session")
async def beside(system: World) -> AsyncIterator[str]:
    """A dashboard beside the orchestrator."""
    process = system.add("dashboard", saga_command("dashboard", "--http", "127.0.0.1:0"))
    process.start()
    await process.said("http.ready")
    yield site_of(system, "dashboard")
    process.terminate()
    del system.processes["dashboard"]


async def test_a_saga_that_was_asked_for_is_on_its_way_until_its_page_becomes_it(
    screens: Screens, beside: str, system: World
) -> None:
    """The orchestrator stands still while the form is sent, as behind a long queue; a dashboard beside it does not."""
    screen = await screens(beside)
    page = screen.page
    orchestrator = system.processes["orchestrator"]
    await screen.go("/start/order")
    for name, text in (("order_id", "awaited-1"), ("customer_id", "bob"), ("amount", "990"), ("currency", "EUR")):
        await page.locator(f"[name={name}]").fill(text)
    await page.locator("[name='items.0.sku']").fill("lamp")
    await page.locator("[name='items.0.quantity']").fill("1")
    orchestrator.signal(signal.SIGSTOP)
    try:
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="awaited-1 is on its way").wait_for()
        assert await screen.violations() == []
        await screen.shot("awaited")
        await page.evaluate("window.opened = true")
    finally:
        orchestrator.signal(signal.SIGCONT)
    await page.locator("#head").get_by_text("COMPLETED", exact=True).wait_for()
    for part in ("#path", "#time", "#talk"):
        await page.locator(part).get_by_role("heading").first.wait_for()
    assert await page.evaluate("window.opened") is True
    assert await screen.violations() == []
    await page.close()  # before its server goes


async def test_a_dead_letter_is_looked_at_and_sent_again(screens: Screens, site: str, system: World) -> None:
    topic = system.topics.requests("order")
    await system.publish(topic, b'{"order_id": "poison-1", "amo', b"poison-1")
    await system.dead_letters(topic, 1)
    screen = await screens(site)
    page = screen.page
    await screen.go("/dead-letters")
    await page.get_by_role("link", name="poison-1", exact=True).click()
    await page.get_by_role("heading", name="bad_json").wait_for()
    assert await screen.violations() == []
    await screen.shot("dead-letter")
    await page.get_by_role("button", name="Redrive…").click()
    await page.get_by_role("heading", name="Redrive 1 dead letter? Nothing is done yet.").wait_for()
    await page.get_by_label("Why").fill("sent again to see")
    await page.get_by_role("button", name="Redrive 1").click()
    await page.get_by_text("sent again to see").wait_for()
    assert len(await system.dead_letters(topic, 2)) == 2  # it was sent, and is as broken as before


@pytest_asyncio.fixture(loop_scope="session")
async def read_only(system: World) -> AsyncIterator[str]:
    """A dashboard beside the orchestrator that changes nothing."""
    process = system.add("dashboard", saga_command("dashboard", "--http", "127.0.0.1:0", "--read-only"))
    process.start()
    await process.said("http.ready")
    yield site_of(system, "dashboard")
    process.terminate()
    del system.processes["dashboard"]


async def test_who_may_only_look_has_no_buttons_and_is_refused(screens: Screens, read_only: str, system: World) -> None:
    await park(system, "looked-at-1")
    screen = await screens(read_only)
    page = screen.page
    await screen.go("/sagas?q=looked-at-1")
    await page.get_by_role("link", name="looked-at-1", exact=True).wait_for()
    assert await page.get_by_role("button", name="Retry…").count() == 0
    screen.forgiven.append("403")
    await page.evaluate(
        """() => { const form = document.getElementById('choose');
        for (const [name, value] of [['saga', 'order/looked-at-1'], ['verb', 'retry']])
          form.insertAdjacentHTML('beforeend', `<input name="${name}" value="${value}">`);
        form.submit(); }"""
    )
    await page.get_by_role("heading", name="Forbidden").wait_for()

    async def untouched() -> bool:
        return system.books.states()["looked-at-1"] == "PARKED"

    await until("the saga is as it was", untouched)
    assert system.books.ask("orchestrator", "SELECT count(*) FROM acts WHERE saga_id = 'looked-at-1'") == [(0,)]


async def test_a_participant_that_hangs_turns_the_headline_of_workers(
    screens: Screens, site: str, system: World
) -> None:
    hung = system.processes["payment"]
    screen = await screens(site)
    await screen.go("/workers")
    services = screen.page.get_by_role("group", name="Services").get_by_role("row")
    await services.filter(has_text="payment").get_by_text("ready", exact=True).wait_for()
    hung.signal(signal.SIGSTOP)
    try:
        await screen.page.get_by_role("heading", name="payment has said nothing for").wait_for(timeout=60_000)
        await services.filter(has_text="payment").get_by_text("silent", exact=True).wait_for()
    finally:
        hung.signal(signal.SIGCONT)
    await services.filter(has_text="payment").get_by_text("ready", exact=True).wait_for()


async def test_when_the_server_goes_the_page_says_how_old_it_is(screens: Screens, system: World) -> None:
    process = system.add("dashboard", saga_command("dashboard", "--http", "127.0.0.1:0"))
    process.start()
    await process.said("http.ready")
    screen = await screens(site_of(system, "dashboard"))
    screen.forgiven += ["ERR_", "htmx:sse:error", "htmx:error: Failed to fetch"]
    await screen.go("/")
    await screen.page.locator("#live").get_by_text("Live", exact=True).wait_for()
    process.kill()
    del system.processes["dashboard"]
    await screen.page.locator("#live").get_by_text("Lost").wait_for()
