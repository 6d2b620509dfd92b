"""Sagas with whole lives, for pages that show one: an ordinary one, and one that operators retried again and again."""

from __future__ import annotations

from collections.abc import Iterable

from kafka_saga.orchestrator.machine.saga import accepted
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.port import Batch, Started, Store
from kafka_saga.orchestrator.testing import Story
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.orders import (
    ChargePayment,
    CreateOrder,
    ItemsReserved,
    OrderCreated,
    OrderItem,
    OrderRequested,
    PaymentCharged,
    ReleaseItems,
    ReserveItems,
)

LOG_ROWS_LONG = 300
"""Of a saga that nobody could help for hours: some thirty retries by hand, with the attempts of each."""


def lives(began: int) -> list[Story]:
    """Both, from the moment `began` on."""
    return [ordinary("life-ordinary", began), long("life-long", began)]


def ordinary(saga_id: str, began: int) -> Story:
    """All of it done, one step at its second attempt."""
    story = _begun(saga_id, began)
    story.expect_command("payment", ChargePayment).retry("the card network is away")
    _next_timer(story)
    story.expect_command("payment", ChargePayment, attempt=2).succeed(PaymentCharged(charge_id="c-1"))
    story.expect_command("orders", CreateOrder).succeed(OrderCreated(order_number="o-1"))
    story.expect_completed()
    return story


def long(saga_id: str, began: int) -> Story:
    """Declined, and its reservation is not released however often it is tried."""
    story = _begun(saga_id, began)
    story.expect_command("payment", ChargePayment).fail("card declined")
    while len(story.log) < LOG_ROWS_LONG or story.saga.state is not SagaState.PARKED:
        if story.saga.state is SagaState.PARKED:
            story.wait(60_000)
            story.act(EventKind.RETRY_NOW, actor="ann@desk", reason="the shelf should be open now")
        elif story.unread is None:
            _next_timer(story)
        else:
            story.expect_command("inventory", ReleaseItems).retry("the shelf is locked: nobody answers at the gate")
    return story


def _begun(saga_id: str, began: int) -> Story:
    items = [OrderItem(sku="lamp", quantity=2), OrderItem(sku="book", quantity=1)]
    request = OrderRequested(order_id=saga_id, customer_id="bob", items=items, amount=4_990, currency="EUR")
    document = request.model_dump(mode="json")
    size = len(request.model_dump_json())
    story = Story(order_saga, accepted(order_saga, SagaRef("order", saga_id), document, size, began))
    story.admit()
    story.expect_command("inventory", ReserveItems).succeed(ItemsReserved(reservation_id="r-1"))
    return story


def _next_timer(story: Story) -> None:
    assert story.saga.wake_at is not None, f"nothing will happen: {story!r}"
    story.now = story.saga.wake_at
    story.fire_timer()


async def keep(store: Store, stories: Iterable[Story]) -> None:
    """Write them and their logs into a store."""
    for story in stories:
        log = [(story.saga.ref, entry) for entry in story.log]
        await store.commit(Batch(store.now(), started=[Started(story.saga, b"\0" * 32)], log=log))
