"""One verb for many sagas: every one is followed to its end, nothing is sent twice, and no flood is made (R20, R25)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from kafka_saga.orchestrator.machine.states import EventKind, ParkReason, SagaState
from kafka_saga.orchestrator.operations.acts import bulk as bulk_module
from kafka_saga.orchestrator.operations.acts.acting import UNATTENDED
from kafka_saga.orchestrator.operations.acts.bulk import Bulk, BulkRun, bulk_acts
from kafka_saga.orchestrator.operations.acts.choosing import Frozen, Wanted, choose, choose_ids
from kafka_saga.orchestrator.operations.acts.following import Result
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.listing import Filter
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import SagaRef
from tests.engine.world import Sent
from tests.machine.worlds import plain_saga
from tests.operations.conftest import Desk

REGISTRY = Registry([order_saga])
PARKED = Wanted(Filter(states=frozenset({SagaState.PARKED})))


class Inventory:
    """The inventory service, repaired: it answers every release that it has not answered, by `outcomes`."""

    def __init__(self, desk: Desk, **outcomes: Outcome) -> None:
        self._desk = desk
        self._outcomes = outcomes
        self._answered = {self._name(sent) for sent in desk.world.sent("releaseItems")}
        self.asked_at_once_max = 0

    def answer(self) -> None:
        asked = [sent for sent in self._desk.world.sent("releaseItems") if self._name(sent) not in self._answered]
        self.asked_at_once_max = max(self.asked_at_once_max, len(asked))
        for sent in asked:
            self._answered.add(self._name(sent))
            saga_id = (sent.message.key or b"").decode()
            self._desk.world.answer(sent, self._outcomes.get(saga_id.replace("-", "_"), Outcome.SUCCESS))

    @staticmethod
    def _name(sent: Sent) -> tuple[str, int]:
        return str(sent.head.command_id), sent.head.attempt


async def park(desk: Desk, count: int) -> Frozen:
    for number in range(1, count + 1):
        await desk.park(f"order-{number}")
    return await choose(desk.reader, REGISTRY, PARKED)


async def run(
    desk: Desk, frozen: Frozen, answer: Callable[[], None], *, bulk_id: str = "b1", timeout_ms: int = 60_000
) -> Bulk:
    acts = bulk_acts(bulk_id, desk.act(EventKind.RETRY_NOW), frozen.chosen)
    desk.clock.turns = [answer] * 200
    running = BulkRun(desk.reader, desk.queue, desk.clock, desk.held_by, timeout_ms, lambda _bulk: None)
    return await running.run(acts)


async def test_every_saga_of_a_bulk_retry_is_followed_to_its_reply(desk: Desk) -> None:
    frozen = await park(desk, 3)
    await desk.wait(await desk.send(desk.act(EventKind.RESOLVE, **{"as": "compensated"}), "order-3"))

    bulk = await run(desk, frozen, Inventory(desk, order_2=Outcome.FAILURE).answer)

    assert (bulk.total, bulk.sent, bulk.known, bulk.settled) == (3, 3, 0, 3)
    assert bulk.counts == Counter({Result.SUCCEEDED: 1, Result.FAILED: 1, Result.REFUSED: 1})
    assert bulk.standings[SagaRef("order", "order-2")].message == "'reserve_inventory' failed again: no"
    assert "was PARKED when you looked and is COMPENSATED now" in bulk.standings[SagaRef("order", "order-3")].message
    states = {saga_id: (await desk.world.saga(saga_id)).state.value for saga_id in ("order-1", "order-2")}
    assert states == {"order-1": "COMPENSATED", "order-2": "PARKED"}


async def test_a_repeated_run_sends_nothing_twice_and_counts_what_happened_R25(desk: Desk) -> None:
    frozen = await park(desk, 3)
    inventory = Inventory(desk)
    first = await run(desk, Frozen(frozen.chosen[:2]), inventory.answer)
    commands = len(desk.world.sent("releaseItems"))

    again = await run(desk, frozen, inventory.answer)

    assert (first.sent, again.sent, again.known) == (2, 1, 2)
    assert again.counts == Counter({Result.SUCCEEDED: 3})
    assert len(desk.world.sent("releaseItems")) == commands + 1


async def test_a_bulk_retry_does_not_flood_the_service_that_was_just_repaired_R20(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_module, "CHUNK", 2)
    monkeypatch.setattr(bulk_module, "BULK_UNSETTLED_MAX", 4)
    frozen = await park(desk, 9)
    inventory = Inventory(desk)

    bulk = await run(desk, frozen, inventory.answer)

    assert bulk.counts == Counter({Result.SUCCEEDED: 9})
    assert 2 <= inventory.asked_at_once_max <= 4


async def test_a_bulk_act_that_nobody_takes_ends_and_says_so(desk: Desk) -> None:
    frozen = await park(desk, 2)
    desk.holder = None

    bulk = await run(desk, frozen, lambda: None, timeout_ms=1)

    assert (bulk.sent, bulk.settled) == (2, 0)
    assert set(bulk.standings.values()) == {UNATTENDED}


async def test_a_frozen_list_does_not_change_with_what_happens_later(desk: Desk) -> None:
    frozen = await park(desk, 2)
    await desk.park("order-3")

    assert [one.ref.saga_id for one in frozen.chosen] == ["order-1", "order-2"]
    assert {one.status for one in frozen.chosen} == {"PARKED compensation_failed at reserve_inventory"}
    assert {one.error for one in frozen.chosen} == {"no"}


async def test_a_saga_whose_definition_no_code_has_is_chosen_by_its_cause_but_not_by_its_step(desk: Desk) -> None:
    await desk.park()
    others = Registry([plain_saga])

    by_cause = await choose(desk.reader, others, Wanted(PARKED.listed, cause=ParkReason.COMPENSATION_FAILED))
    by_step = await choose(desk.reader, others, Wanted(PARKED.listed, step="reserve_inventory"))

    assert ([one.status for one in by_cause.chosen], by_step.chosen) == (["PARKED compensation_failed"], [])


async def test_ids_that_are_given_twice_or_do_not_exist(desk: Desk) -> None:
    await desk.park()

    frozen = await choose_ids(desk.reader, REGISTRY, ["order-1", "", " order-1 ", "order-9"], None)

    assert ([one.ref.saga_id for one in frozen.chosen], frozen.missing) == (["order-1"], ["order-9"])
