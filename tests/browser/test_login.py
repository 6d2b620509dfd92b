"""Logging in with a token, in a browser: as reader and as operator, wrongly, out again; and what a session outlives."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.conftest import Screens, site_of
from tests.browser.screens import Screen
from tests.browser.test_sagas import park
from tests.integration.processes import saga_command
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

OPERATOR, READER = "operator-0123456789abcdef", "reader-0123456789abcdef"
TOKENS = {"SAGA_HTTP__OPERATOR_TOKEN": OPERATOR, "SAGA_HTTP__READER_TOKEN": READER}
LOOKS = {"light": {}, "dark": {"dark": True}, "phone": {"phone": True}, "phone-dark": {"phone": True, "dark": True}}


async def serve(system: World, name: str, **tokens: str) -> str:
    """A dashboard that asks who somebody is; where it is."""
    process = system.add(name, saga_command("dashboard", "--http", "127.0.0.1:0"))
    process.start(**tokens)
    await process.said("http.ready")
    return site_of(system, name)


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(system: World) -> AsyncIterator[str]:
    """A dashboard beside the orchestrator, with a token for each role."""
    yield await serve(system, "guarded", **TOKENS)
    for name in ("guarded", "second"):
        if name in system.processes:
            system.processes.pop(name).terminate()


async def log_in(screen: Screen, token: str) -> None:
    await screen.page.get_by_label("Token").fill(token)
    await screen.page.get_by_role("button", name="Log in").click()


async def test_a_reader_sees_and_an_operator_acts_and_both_come_to_the_page_that_they_wanted(
    screens: Screens, guarded: str, system: World
) -> None:
    await park(system, "login-1")
    for token, role, buttons in ((READER, "reader", 0), (OPERATOR, "operator", 1)):
        screen = await screens(guarded)
        page = screen.page
        await screen.go("/sagas?q=login-1")
        await expect(page).to_have_title("Log in · saga")
        await log_in(screen, token)
        await page.wait_for_url("**/sagas?q=login-1")
        await page.get_by_role("link", name="login-1", exact=True).wait_for()
        await expect(page.locator(".foot")).to_contain_text(f"{role} · {role}@127.0.0.1")
        await expect(page.get_by_role("button", name="Retry…")).to_have_count(buttons)
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_title("Log in · saga")
        await screen.go("/sagas")
        await expect(page).to_have_title("Log in · saga")


async def test_a_wrong_token_is_said_at_its_field_by_keys_alone(screens: Screens, guarded: str) -> None:
    screen = await screens(guarded)
    page = screen.page
    screen.forgiven.append("401")  # a browser's console names every answer that is an error
    await screen.go("/workers")
    await page.keyboard.type("wrong-0123456789abcdef")  # the field has the focus
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("That token is not known here.")
    await expect(page.get_by_label("Token")).to_have_attribute("aria-invalid", "true")
    assert await screen.violations() == []
    await screen.shot("login-wrong")
    await page.keyboard.type(READER)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/workers")


@pytest.mark.parametrize("look", LOOKS)
async def test_everybody_can_read_the_login(screens: Screens, guarded: str, look: str) -> None:
    screen = await screens(guarded, **LOOKS[look])
    await screen.go("/")
    await screen.shot(f"login-{look}")
    assert await screen.violations() == []
    assert await screen.overflows() <= 0


async def test_a_session_outlives_a_restart_is_known_to_a_second_dashboard_and_ends_with_its_token(
    screens: Screens, guarded: str, system: World
) -> None:
    screen = await screens(guarded)
    page = screen.page
    await screen.go("/sagas")
    await log_in(screen, OPERATOR)
    await page.wait_for_url("**/sagas")
    process = system.processes["guarded"]
    for tokens, title in (
        (TOKENS, "Sagas · saga"),
        ({**TOKENS, "SAGA_HTTP__OPERATOR_TOKEN": f"{OPERATOR}-2"}, "Log in · saga"),
    ):
        await page.goto("about:blank")
        assert process.terminate() == 0
        process.start(**tokens)
        await process.said("http.ready")
        screen.site = site_of(system, "guarded")
        await screen.go("/sagas")
        await expect(page).to_have_title(title)
    screen.site = await serve(system, "second", **TOKENS)
    await screen.go("/sagas")
    await expect(page).to_have_title("Sagas · saga")
