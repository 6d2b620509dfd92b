"""The list of sagas: found by anything, chosen from, and acted on as many; what came of it is said afterwards."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.machine.states import SagaState
from tests.browser.conftest import LOCKED, Screens, until
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]


async def park(system: World, *saga_ids: str) -> None:
    """Orders that are declined, and whose reservation cannot be released."""
    await system.order(*saga_ids, customer_id="broke")
    await reach(system, SagaState.PARKED, *saga_ids)


async def reach(system: World, state: SagaState, *saga_ids: str) -> None:
    async def there() -> bool:
        states = system.books.states()
        return all(states.get(saga_id) == state.value for saga_id in saga_ids)

    await until(f"{len(saga_ids)} sagas are {state.value}", there)


async def test_a_saga_is_found_by_its_id_its_error_its_data_and_its_state(
    screens: Screens, site: str, system: World
) -> None:
    await park(system, "found-1")
    await system.order("found-2", customer_id="bob")
    await reach(system, SagaState.COMPLETED, "found-2")
    screen = await screens(site)
    for address, there, not_there in (
        ("/sagas?q=found-1", "found-1", "found-2"),
        ("/sagas?q=SHELF", "found-1", "found-2"),
        ("/sagas?q=customer_id=bob", "found-2", "found-1"),
        ("/sagas?state=parked&type=order&step=reserve_inventory", "found-1", "found-2"),
        ("/sagas?state=completed&age=under-1h", "found-2", "found-1"),
    ):
        await screen.go(address)
        await screen.page.get_by_role("link", name=there, exact=True).wait_for()
        assert await screen.page.get_by_role("link", name=not_there, exact=True).count() == 0, address


async def test_300_parked_sagas_are_retried_as_one_list_and_each_is_followed(
    screens: Screens, site: str, system: World
) -> None:
    ids = [f"many-{number}" for number in range(300)]
    await park(system, *ids, "outside-1")
    screen = await screens(site)
    page = screen.page
    await screen.go("/sagas?state=parked&q=many-")
    await page.get_by_label("every saga that the filter lets through").check()
    await page.get_by_role("button", name="Retry…").click()
    await page.get_by_role("heading", name="Retry 300 sagas? Nothing is sent yet.").wait_for()
    await screen.shot("bulk-frozen")
    await park(system, "many-late")  # it is not on the list
    repaired = system.processes["inventory"]
    assert repaired.terminate() == 0
    repaired.start(SAGA_FAULT_REJECT="")
    await page.get_by_label("Why").fill("the shelf is open")
    await page.get_by_label("Type 300").fill("300")
    await page.get_by_role("button", name="Retry 300").click()
    await page.get_by_role("heading", name="300 sent, 300 succeeded, 0 failed again").wait_for(timeout=60_000)
    await screen.shot("bulk-done")
    await reach(system, SagaState.COMPENSATED, *ids)
    assert system.books.states()["many-late"] == "PARKED"
    assert system.books.states()["outside-1"] == "PARKED"
    repaired.terminate()
    repaired.start(SAGA_FAULT_REJECT=LOCKED)
