"""When somebody else was first: what is read again, what is tried again, and that both get on (R67)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest
from structlog.testing import capture_logs

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.engine.intake import Intake
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store.port import Advance, Batch
from kafka_saga.runtime.errors import UNWRITTEN, ConflictError
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import NOW
from tests.engine.world import REQUESTS, World

REQUESTED = TopicPartition(REQUESTS, 0)
Trouble = Callable[[Batch], str | None]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World().start()
    yield world
    await world.stop()


class Rival:
    """Somebody else, who is first for as long as a test says so; what the engine tries meanwhile is noted."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._commit = world.store.commit
        self.tried: list[Batch] = []
        self.locked: list[list[SagaRef]] = []
        self.asked: Counter[str] = Counter()
        self.trouble: Trouble = lambda _batch: None
        monkeypatch.setattr(world.store, "commit", self._try)
        monkeypatch.setattr(world.store, "locked", self._lock)
        for name in ("offsets", "pauses"):
            monkeypatch.setattr(world.store, name, self._counted(name, getattr(world.store, name)))

    async def write(self, batch: Batch) -> None:
        await self._commit(batch)

    @property
    def sizes(self) -> list[int]:
        """How many sagas began in each try."""
        return [len(batch.started) for batch in self.tried if batch.started]

    def _lock(self, refs: Iterable[SagaRef]) -> AbstractAsyncContextManager[None]:
        self.locked.append(list(refs))
        return nullcontext()

    def _counted(self, name: str, ask: Callable[[], object]) -> Callable[[], object]:
        def counted() -> object:
            self.asked[name] += 1
            return ask()

        return counted

    async def _try(self, batch: Batch) -> int | None:
        self.tried.append(batch)
        what = self.trouble(batch)
        if what is not None:
            raise ConflictError("somebody was first", what=what)
        return await self._commit(batch)


@pytest.fixture
def rival(world: World, monkeypatch: pytest.MonkeyPatch) -> Rival:
    return Rival(world, monkeypatch)


def times(number: int, what: str) -> Trouble:
    """So many batches that start something meet somebody who changed `what`."""
    left = [what] * number
    return lambda batch: left.pop() if left and batch.started else None


async def states(world: World, number: int) -> list[SagaState]:
    found = await world.store.load([SagaRef("order", f"order-{place}") for place in range(number)])
    return [known.saga.state for known in found.values()]


async def test_records_are_decoded_once_however_often_they_are_tried(
    world: World, rival: Rival, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Intake._request
    decoded: list[int] = []

    def counted(self: Intake, record: object, saga_type: str) -> object:
        decoded.append(1)
        return read(self, record, saga_type)  # type: ignore[arg-type] -- passed on

    monkeypatch.setattr(Intake, "_request", counted)
    rival.trouble = times(2, "sagas")
    world.request("order-0")
    await world.turn()
    assert await states(world, 1) == [SagaState.RUNNING]
    assert len(decoded) == 1


async def test_where_a_saga_was_changed_the_second_try_locks_what_it_decides_of(world: World, rival: Rival) -> None:
    rival.trouble = times(1, "sagas")
    world.request("order-0")
    await world.turn()
    assert rival.locked == [[SagaRef("order", "order-0")]]
    world.request("order-1")
    await world.turn()
    assert len(rival.locked) == 1, "and no batch after it"


@pytest.mark.parametrize("what", ["offsets", "settings", "acts"])
async def test_what_is_known_when_it_is_read_again_locks_nothing(world: World, rival: Rival, what: str) -> None:
    rival.trouble = times(1, what)
    world.request("order-0")
    await world.turn()
    assert await states(world, 1) == [SagaState.RUNNING]
    assert rival.locked == []


async def test_a_store_that_takes_nothing_for_a_while_is_no_conflict(world: World, rival: Rival) -> None:
    rival.trouble = times(12, UNWRITTEN)
    for place in range(4):
        world.request(f"order-{place}")
    with capture_logs() as logs:
        await world.turn()
    assert await states(world, 4) == [SagaState.RUNNING] * 4
    assert rival.sizes == [4] * 13, "nobody is in the way of a smaller batch either"
    assert (rival.locked, rival.asked["offsets"]) == ([], 0)
    assert {line["event"] for line in logs if line["log_level"] == "warning"} == set()
    assert [line["event"] for line in logs].count("batch.not_written") == 12


async def test_only_a_conflict_of_offsets_reads_them_again(world: World, rival: Rival) -> None:
    rival.trouble = times(2, "sagas")
    world.request("order-0")
    await world.turn()
    assert rival.asked["offsets"] == 0
    rival.trouble = times(1, "offsets")
    world.request("order-1")
    await world.turn()
    assert rival.asked["offsets"] == 1


async def test_what_somebody_else_has_committed_is_dropped_and_the_rest_goes_on(world: World, rival: Rival) -> None:
    for place in range(4):
        world.request(f"order-{place}")
    trouble = times(1, "offsets")
    await rival.write(Batch(NOW, offsets={REQUESTED: Advance(None, 3)}))
    rival.trouble = trouble
    await world.turn()
    assert [sorted(one.saga.ref.saga_id for one in batch.started) for batch in rival.tried[:2]] == [
        ["order-0", "order-1", "order-2", "order-3"],
        ["order-3"],
    ]
    assert rival.tried[1].offsets == {REQUESTED: Advance(3, 4)}
    assert (await world.reader.positions([REQUESTS]))[REQUESTED] == 4, "never back"


async def test_whoever_is_behind_goes_on_where_the_store_is(world: World, rival: Rival) -> None:
    for place in range(2):
        world.request(f"order-{place}")
    world.reader.records_max = 1
    await rival.write(Batch(NOW, offsets={REQUESTED: Advance(None, 2)}))
    rival.trouble = times(1, "offsets")
    await world.turn()
    assert (await world.reader.positions([REQUESTS]))[REQUESTED] == 2
    world.request("order-2")
    await world.turn(2)
    assert [new.saga.ref.saga_id for batch in rival.tried[1:] for new in batch.started] == ["order-2"]


async def test_who_set_a_partition_back_is_followed(world: World, rival: Rival) -> None:
    world.request("order-0")
    await world.turn()
    world.request("order-1")
    await rival.write(Batch(NOW, offsets={REQUESTED: Advance(1, 0)}))
    rival.trouble = times(1, "offsets")
    await world.turn(3)
    assert await world.store.offsets() == {REQUESTED: 2}
    assert await states(world, 2) == [SagaState.RUNNING] * 2


async def test_from_the_third_failure_on_half_is_tried_down_to_one_record_in_order(world: World, rival: Rival) -> None:
    hot = SagaRef("order", "order-5")
    left = [10]

    def one_is_hot(batch: Batch) -> str | None:
        if left[0] and any(new.saga.ref == hot for new in batch.started):
            left[0] -= 1
            return "ids"
        return None

    for place in range(8):
        world.request(f"order-{place}")
    rival.trouble = one_is_hot
    await world.turn()
    assert rival.sizes == [8, 8, 8, 4, 4, 4, 4, 2, 1, 1, 1, 1, 1, 2]
    await world.turn()
    assert await states(world, 8) == [SagaState.RUNNING] * 8
    assert await world.store.offsets() == {REQUESTED: 8}


async def test_after_five_failures_there_is_a_rest_and_then_another_try(world: World, rival: Rival) -> None:
    rival.trouble = times(5, "sagas")
    world.request("order-0")
    world.let_go()
    await world.settle()
    assert rival.sizes == [1] * 5
    world.clock.advance(59)
    await world.settle()
    assert rival.sizes == [1] * 5
    world.clock.advance(1)
    await world.settle()
    assert rival.sizes == [1] * 6
    assert await states(world, 1) == [SagaState.RUNNING]


async def test_a_record_that_was_set_aside_is_so_once_however_often_the_batch_is_tried(
    world: World, rival: Rival
) -> None:
    world.put(REQUESTS, b"not JSON")
    world.request("order-0")
    world.request("order-0", amount=1)  # another request of that id
    rival.trouble = times(3, "sagas")
    await world.turn(2)
    assert sorted(cause for cause, _ in world.dead_letters(REQUESTS)) == ["bad_json", "conflict"]


async def test_who_is_told_to_stop_does_so_between_two_tries(world: World, rival: Rival) -> None:
    rival.trouble = lambda batch: "sagas" if batch.started else None
    world.request("order-0")
    world.let_go()
    await world.settle()
    assert rival.sizes == [1] * 5
    await world.stop()
    assert await world.store.offsets() == {}, "it is read again by whoever comes next"
