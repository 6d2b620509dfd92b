"""The spans of one engine, batch by batch: what is rolled back leaves none, and what is not traced costs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from kafka_saga.orchestrator.engine.meters import EngineMeters
from kafka_saga.orchestrator.engine.spans import EngineSpans
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import Outcome
from tests.contracts.stores import REQUEST
from tests.engine.world import GROUP, REQUESTS, World

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = 0x0AF7651916CD43DD8448EB211C80319C


class Traced(World):
    """A world whose engine makes spans."""

    def __init__(self, provider: TracerProvider) -> None:
        super().__init__()
        self.exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        spans = EngineSpans(provider.get_tracer("test"), Registry((order_saga,)), GROUP, self.clock)
        self.meters = EngineMeters(spans)

    def names(self) -> list[str]:
        return [span.name for span in self.spans()]

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())


@pytest.fixture
async def traced() -> AsyncIterator[Traced]:
    world = Traced(TracerProvider())
    await world.start()
    yield world
    await world.stop()


async def test_a_saga_without_a_caller_begins_a_trace_that_a_timer_goes_on_with(traced: Traced) -> None:
    await traced.begin()
    await traced.pass_time(30_000)
    await traced.pass_time(5_000)
    sent = traced.sent("reserveItems")
    assert [one.head.attempt for one in sent][:2] == [1, 2]
    traces = {(one.head.trace or "")[3:35] for one in sent}
    assert traces == {format(span.context.trace_id, "032x") for span in traced.spans() if span.name != "commit"}
    [step] = [span for span in traced.spans() if span.name == "step reserve_inventory"]
    assert (step.attributes or {})["saga.outcome"] == "retried"
    assert not step.status.is_ok


async def test_every_message_has_a_context_of_its_own(traced: Traced) -> None:
    traced.put(REQUESTS, encode(REQUEST), headers=(("traceparent", PARENT),))
    await traced.turn(2)
    created = {span.context.span_id: span.name for span in traced.spans() if span.name.startswith("create ")}
    events = traced.kafka.logs["order.events"]
    carried = [dict(kept.headers)["traceparent"] or b"" for kept in [*events, traced.sent()[0].message]]
    assert len(carried) == len(set(carried)) == len(created)
    assert {int(text.split(b"-")[2], 16) for text in carried} == set(created)
    assert {int(text.split(b"-")[1], 16) for text in carried} == {TRACE}


async def test_a_batch_that_was_rolled_back_leaves_no_span_of_its_processing(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, failures = traced.store.commit, iter([ConflictError("somebody was first", what="offsets")])

    async def once_refused(batch: object) -> object:
        for error in failures:
            raise error
        return await commit(batch)  # type: ignore[arg-type] # as it came

    monkeypatch.setattr(traced.store, "commit", once_refused)
    traced.request()
    await traced.pass_time(1_000, turns=6)
    assert traced.names().count(f"process {REQUESTS}") == 1


async def test_a_dead_letter_keeps_the_context_it_came_with(traced: Traced) -> None:
    traced.put(REQUESTS, b"{", headers=(("traceparent", PARENT),))
    await traced.turn(2)
    [(_, kept)] = traced.dead_letters(REQUESTS)
    assert dict(kept.headers)["traceparent"] == PARENT


async def test_a_trace_that_is_not_sampled_is_carried_on_and_not_recorded() -> None:
    world = Traced(TracerProvider(sampler=ALWAYS_OFF))
    await world.start()
    sent = await world.begin()
    assert int((sent.head.trace or "")[-2:], 16) % 2 == 0, "the flag that says sampled"
    assert world.names() == []
    await world.stop()


async def test_a_compensated_saga_is_told_as_a_whole_when_it_has_ended(traced: Traced) -> None:
    await traced.begin()
    await traced.succeed("reserveItems")
    traced.answer(traced.sent("chargePayment")[-1], Outcome.FAILURE)
    await traced.turn()
    assert "saga order" not in traced.names()
    await traced.succeed("releaseItems")
    [whole] = [span for span in traced.spans() if span.name == "saga order"]
    assert (whole.attributes or {})["saga.outcome"] == "compensated"
