"""Kafka goes away while a service starts sagas and waits for them: what it is told is true, and nobody is forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from deploy.kafka.kafka import Broker
from kafka_saga.client import OutcomeTimeoutError, SagaClient
from kafka_saga.client.outcome import Outcome
from kafka_saga.messaging.errors import BrokerUnreachableError
from kafka_saga.messaging.records import Record
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.schemas.events import LifecycleEvent
from kafka_saga.schemas.ids import SagaRef
from tests.brokers import BrokerUnderTest
from tests.client.conftest import Teller, client_of, order
from tests.client.outages import HOWS, Outage
from tests.integration.fixtures import fragile, own_broker
from tests.integration.processes import until
from tests.integration.world import World
from tests.messaging.conftest import stoppable

__all__ = ["fragile", "own_broker", "stoppable"]

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka]

LONG_MS = 180_000
"""Time enough for a broker to come back, on the slowest machine."""

COMPLETED = LifecycleEvent.COMPLETED


@pytest.fixture
def outage(stoppable: BrokerUnderTest, request: pytest.FixtureRequest) -> Outage:
    assert stoppable.process is not None
    return Outage(stoppable.process, getattr(request, "param", "frozen"))


in_every_way = pytest.mark.parametrize("outage", HOWS, indirect=True)


def copies(records: list[Record]) -> Counter[str]:
    """How often each saga was asked for."""
    return Counter((record.key or b"").decode() for record in records)


class Customer:
    """Starts one saga after the other; one that was not acknowledged it starts again, until it is."""

    def __init__(self, sagas: SagaClient, name: str) -> None:
        self._sagas = sagas
        self._name = name
        self.tries: Counter[str] = Counter()
        self.errors: list[BrokerUnavailableError] = []
        self.acknowledged = 0
        self.is_closing = False

    async def work(self) -> None:
        while not self.is_closing:
            await self._start(f"{self._name}-{len(self.tries)}")

    async def _start(self, saga_id: str) -> None:
        while True:
            self.tries[saga_id] += 1
            try:
                await self._sagas.start(order(saga_id))
            except BrokerUnavailableError as error:
                self.errors.append(error)
            else:
                self.acknowledged += 1
                return


@in_every_way
async def test_what_is_acknowledged_is_stored_once(
    outage: Outage, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PUBLISH_TIMEOUT_MS", 2_000)
    monkeypatch.setattr(limits, "CONNECT_TIMEOUT_MS", 2_000)
    async with client_of(teller, follow=False) as sagas:
        customers = [Customer(sagas, f"c{number}") for number in range(5)]
        working = [asyncio.create_task(customer.work()) for customer in customers]
        await until("they order", lambda: all(customer.acknowledged > 5 for customer in customers))
        await outage.begin()
        await until("they are told", lambda: all(customer.errors for customer in customers), LONG_MS)
        await outage.end()
        so_far = {customer: customer.acknowledged for customer in customers}
        await until("they go on", lambda: all(customer.acknowledged > so_far[customer] + 5 for customer in customers))
        for customer in customers:
            customer.is_closing = True
        await asyncio.gather(*working)

    tries = sum((customer.tries for customer in customers), Counter[str]())
    stored = copies(await teller.requests())
    assert stored.keys() == tries.keys()
    assert {saga_id for saga_id, count in stored.items() if not 1 <= count <= tries[saga_id]} == set()
    told = {str(error) for customer in customers for error in customer.errors}
    doubtful = [text for text in told if "may be stored or not: start the same one again" in text]
    assert doubtful, told


@in_every_way
async def test_everybody_who_waits_is_answered_when_kafka_is_back(outage: Outage, teller: Teller) -> None:
    async with client_of(teller) as sagas, sagas.events() as stream:
        reader = sagas._open().reader
        await reader.ready()
        asked_before = [f"o-{number}" for number in range(20)]
        run_before = [f"r-{number}" for number in range(20)]
        waiting = [asyncio.create_task(sagas.outcome(saga_id, timeout_ms=LONG_MS)) for saga_id in asked_before]
        running = [asyncio.create_task(sagas.run(order(saga_id), timeout_ms=LONG_MS)) for saga_id in run_before]
        await until("all are stored", lambda: all(reader.waiters.of(SagaRef("order", one)) for one in run_before))
        while len(await teller.requests()) < len(run_before):
            pass

        await outage.begin()
        asked_meanwhile = asyncio.create_task(sagas.outcome("late", timeout_ms=LONG_MS))
        await until("the reader hears nothing", lambda: reader.silent_ms > 3_000)
        with pytest.raises(OutcomeTimeoutError, match="as far as is known: Kafka has not answered for") as caught:
            await sagas.outcome("o-0", timeout_ms=1)
        assert not caught.value.is_stored
        await outage.end()

        everybody = [*asked_before, *run_before, "late"]
        await teller.producer.publish([teller.event(saga_id, COMPLETED, 9) for saga_id in everybody])
        outcomes: list[Outcome] = await asyncio.gather(*waiting, *running, asked_meanwhile)
        assert [outcome.ref.saga_id for outcome in outcomes] == everybody
        seen = [await anext(stream) for _ in everybody]
        assert sorted(event.ref.saga_id for event in seen) == sorted(everybody)
        assert reader.waiters.count == 0

        again = asyncio.create_task(sagas.run(order("again"), timeout_ms=LONG_MS))
        while "again" not in copies(await teller.requests()):
            pass
        await teller.tell("again", COMPLETED)
        assert (await again).completed, "the reader goes on"
    assert copies(await teller.requests()) == Counter([*run_before, "again"])


async def test_who_gives_up_is_told_whether_the_request_is_stored(outage: Outage, teller: Teller) -> None:
    async with client_of(teller) as sagas:
        reader = sagas._open().reader
        await reader.ready()
        before = asyncio.create_task(sagas.run(order("before"), timeout_ms=8_000))
        heard = asyncio.create_task(sagas.outcome("heard", timeout_ms=8_000))
        while not await teller.requests():
            pass
        [waiter] = reader.waiters.of(SagaRef("order", "before"))
        await until("it is acknowledged", lambda: waiter.was_sent)
        await teller.tell("heard", LifecycleEvent.STARTED, 1)
        [listener] = reader.waiters.of(SagaRef("order", "heard"))
        await until("it is heard of", lambda: listener.last_event is not None)

        await outage.begin()
        with pytest.raises(OutcomeTimeoutError, match="may be stored or not; run the same one again") as in_doubt:
            await sagas.run(order("doubtful"), timeout_ms=500)
        with pytest.raises(OutcomeTimeoutError) as stored:
            await before
        with pytest.raises(OutcomeTimeoutError) as told:
            await heard
        await outage.end()
        assert (in_doubt.value.is_stored, stored.value.is_stored, told.value.is_stored) == (False, True, True)

        again = asyncio.create_task(sagas.run(order("doubtful"), timeout_ms=LONG_MS))
        while "doubtful" not in copies(await teller.requests()):
            pass
        await teller.tell("doubtful", COMPLETED)
        assert (await again).completed
    counts = copies(await teller.requests())
    assert counts["before"] == 1
    assert 1 <= counts["doubtful"] <= 2


async def test_many_that_wait_their_turn_are_told_together(
    outage: Outage, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch would otherwise be tried for as long as the first."""
    for limit in ("PUBLISH_TIMEOUT_MS", "CONNECT_TIMEOUT_MS"):
        monkeypatch.setattr(limits, limit, 500)
    requests = [order(f"o-{number}") for number in range(3 * limits.CLIENT_STARTS_PER_BATCH_MAX)]
    async with client_of(teller, follow=False) as sagas:
        connected = sagas._open()
        tries, publish = [], connected.producer.publish

        async def counted(messages: list[object]) -> None:
            tries.append(len(messages))
            await publish(messages)  # type: ignore[arg-type]

        monkeypatch.setattr(connected.producer, "publish", counted)
        await outage.begin()
        results = await asyncio.gather(*map(sagas.start, requests), return_exceptions=True)
        assert tries == [limits.CLIENT_STARTS_PER_BATCH_MAX]
        assert {type(result) for result in results} == {BrokerUnavailableError}
        unsent = [number for number, result in enumerate(results) if "was not sent" in str(result)]
        assert unsent == list(range(limits.CLIENT_STARTS_PER_BATCH_MAX, len(requests)))
        with pytest.raises(BrokerUnavailableError):
            await sagas.start_many(requests)
        await outage.end()
        monkeypatch.undo()
        await sagas.start_many(requests)
    assert copies(await teller.requests()).keys() == {request.order_id for request in requests}


async def test_who_comes_while_kafka_is_away_is_told_so_or_waits_for_it(
    outage: Outage, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage.how = "stopped"
    monkeypatch.setattr(limits, "PUBLISH_TIMEOUT_MS", 1_000)
    async with client_of(teller, follow=False) as sagas:
        await outage.begin()
        stream = sagas.events()
        for asking in (sagas.outcome("o-1"), anext(stream), sagas.start(order("o-1"))):
            with pytest.raises(BrokerUnavailableError):
                await asking
        with pytest.raises(BrokerUnreachableError, match="is it running"):
            await client_of(teller).__aenter__()
        patient = client_of(teller, broker_wait_ms=LONG_MS)
        connecting = asyncio.create_task(patient.__aenter__())
        await outage.end()

        await connecting
        waiting = asyncio.create_task(patient.run(order("o-2"), timeout_ms=LONG_MS))
        while "o-2" not in copies(await teller.requests()):
            pass
        reading = asyncio.create_task(anext(stream))
        await until("the same stream reads", lambda: bool(stream.position.offsets))
        await teller.tell("o-2", COMPLETED)
        assert (await waiting).completed
        assert (await sagas.outcome("o-2", timeout_ms=LONG_MS)).completed
        assert (await reading).ref == SagaRef("order", "o-2")
        await patient.__aexit__()


@pytest.mark.processes
async def test_every_order_is_run_to_its_end_through_a_crash_of_the_broker(fragile: World, own_broker: Broker) -> None:
    await fragile.start()
    ended: dict[str, Outcome] = {}

    async def placed(sagas: SagaClient, saga_id: str) -> None:
        while saga_id not in ended:
            try:
                ended[saga_id] = await sagas.run(order(saga_id), timeout_ms=LONG_MS)
            except BrokerUnavailableError:
                continue

    async with SagaClient(kafka=fragile.kafka, prefix=fragile.topics.prefix) as sagas:
        placing = [asyncio.create_task(placed(sagas, f"order-{number}")) for number in range(300)]
        await until("some have ended", lambda: len(ended) > 10)
        crash = Outage(own_broker, "killed")
        await crash.begin()
        await crash.end()
        await asyncio.gather(*placing)
    assert {outcome.state for outcome in ended.values()} == {"COMPLETED"}
    outcomes = await fragile.ended(300)
    assert outcomes.keys() == ended.keys()
    fragile.books.check(outcomes)
