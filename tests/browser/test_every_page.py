"""Every page, opened by itself: nothing is refused, nothing fetched elsewhere, and everybody can read it."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Screens
from tests.browser.test_sagas import park
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

PAGES = {
    "overview": "/",
    "sagas": "/sagas",
    "parked": "/sagas?state=parked",
    "no-sagas": "/sagas?q=nobody",
    "failures": "/failures",
    "dead-letters": "/dead-letters",
    "timers": "/timers",
    "definitions": "/definitions",
    "workers": "/workers",
    "pauses": "/pauses",
    "audit": "/audit",
    "start": "/start/order",
}
LOOKS = {
    "light": {},
    "dark": {"dark": True},
    "phone": {"phone": True},
    "phone-dark": {"phone": True, "dark": True},
}


@pytest.mark.parametrize("look", LOOKS)
async def test_everybody_can_read_every_page(screens: Screens, site: str, system: World, look: str) -> None:
    await park(system, f"read-{look}-1", f"read-{look}-2")
    await system.order(*(f"done-{look}-{number}" for number in range(20)), customer_id="bob")
    screen = await screens(site, **LOOKS[look])
    wrong = []
    for name, path in PAGES.items():
        await screen.go(path)
        await screen.page.wait_for_selector("#live[data-live] span:text-is('Live'), #live:not([data-live])")
        wrong += [f"{name}: {found}" for found in await screen.violations()]
        if (wide := await screen.overflows()) > 0:
            wrong.append(f"{name}: {wide} px wider than the window")
        await screen.shot(f"{name}-{look}")
    assert not wrong, "\n".join(wrong)
