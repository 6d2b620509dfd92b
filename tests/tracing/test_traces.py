"""One compensated order through real processes and Kafka, as a collector sees it: one trace, all of it connected."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kafka_saga.messaging.records import Message
from kafka_saga.schemas.codec import encode
from tests.examples.console import blocks_of
from tests.integration.fixtures import world
from tests.integration.processes import ROOT, Process, saga_command, until
from tests.integration.world import World, order

__all__ = ["world"]

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

CALLER = "0af7651916cd43dd8448eb211c80319c"
CALLERS_SPAN = "b7ad6b7169203331"
STATE = "shop=web"

PAGE = ROOT / "docs" / "observability.md"

Span = dict[str, Any]


@pytest.fixture
async def collected(world: World, tmp_path: Path) -> AsyncIterator[Path]:
    """Where the collector writes what it is sent; every process of the world is told to send there."""
    file = tmp_path / "spans.jsonl"
    receiver = Process(
        "receiver", [sys.executable, "-m", "tests.tracing.receiver", str(file)], {}, tmp_path / "receiver.log"
    )
    receiver.environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    receiver.start()
    await until("the collector says its port", lambda: receiver.output().endswith("\n"))
    world.environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.output().strip()}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    yield file
    receiver.kill()


FROM_CALLER = (("traceparent", f"00-{CALLER}-{CALLERS_SPAN}-01".encode()), ("tracestate", STATE.encode()))

FAULTS = {"orders": {"SAGA_ALLOW_FAULTS": "1", "SAGA_FAULT_REJECT": "createOrder:text=no shelf"}}


async def ordered(world: World, services: dict[str, str], told: int) -> None:
    """An order that is undone by some of these services, which tells so many events."""
    world.add("orchestrator", saga_command("orchestrator")).start()
    for service, where in services.items():
        world.add(service, saga_command("participant", where)).start(**FAULTS.get(service, {}))
    await world.ready()
    await asked(world)
    await world.read(world.topics.events("order"), told)


async def asked(world: World) -> None:
    """Somebody orders, within a trace."""
    topic = world.topics.requests("order")
    await world.producer.publish([Message(topic, b"order-1", encode(order("order-1")), FROM_CALLER)])


async def refused(world: World) -> None:
    """An order whose payment is refused, by a service that is not the shipped one."""
    services = {"inventory": "inventory", "payment": "tests.tracing.shop_services:payment"}
    await ordered(world, services, 4)  # started, step_succeeded, compensating, compensated


def spans_of(world: World, collected: Path) -> list[Span]:
    """All that the collector was sent; what is left is sent when the processes end."""
    for process in world.processes.values():
        assert process.terminate() == 0
    return [json.loads(line) for line in collected.read_text().splitlines()]


def connected(spans: list[Span]) -> list[Span]:
    """Those of the caller's trace, in which each has its parent."""
    ours = [span for span in spans if span["trace"] == CALLER]
    known = {span["span"] for span in ours} | {CALLERS_SPAN}
    assert [span for span in ours if span["parent"] not in known] == []
    return ours


async def test_a_compensated_order_is_one_connected_trace_from_its_caller_on(world: World, collected: Path) -> None:
    await refused(world)
    spans = spans_of(world, collected)
    ours = connected(spans)
    assert {span["service"] for span in ours} == {"saga-orchestrator", "inventory", "payment"}
    check_requests(world, ours)
    check_steps(ours)
    check_participants(world, ours)
    check_batches(spans)
    await check_messages(world, ours)


def check_requests(world: World, ours: list[Span]) -> None:
    """The request continues the caller's trace, and everything of the orchestrator's is below it."""
    [first] = [span for span in ours if span["parent"] == CALLERS_SPAN]
    assert (first["name"], first["kind"]) == (f"process {world.topics.requests('order')}", "CONSUMER")
    assert first["attributes"]["messaging.system"] == "kafka"
    assert first["attributes"]["messaging.operation.type"] == "process"
    assert first["attributes"]["messaging.message.conversation_id"] == "order-1"
    assert first["attributes"]["saga.type"] == "order"
    replies = [span for span in ours if span["name"].endswith(".replies") and span["kind"] == "CONSUMER"]
    assert [span["parent"] for span in replies] == [first["span"]] * 3, "reserved, refused, released"
    created = {(span["trace"], span["span"]) for span in ours if span["kind"] == "PRODUCER"}
    assert all(len(span["links"]) == 1 and tuple(span["links"][0]) in created for span in replies)


def check_steps(ours: list[Span]) -> None:
    """Every attempt and the saga itself are told afterwards, as long as they took."""
    steps = [
        (span["attributes"]["saga.step"], span["attributes"]["saga.phase"], span["attributes"]["saga.outcome"])
        for span in ours
        if span["name"].startswith("step ")
    ]
    assert steps == [
        ("reserve_inventory", "forward", "success"),
        ("process_payment", "forward", "failure"),
        ("reserve_inventory", "compensate", "compensated"),
    ]
    [whole] = [span for span in ours if span["name"] == "saga order"]
    assert whole["attributes"]["saga.outcome"] == "compensated"
    assert whole["took_ns"] >= max(span["took_ns"] for span in ours if span["name"].startswith("step "))


def check_participants(world: World, ours: list[Span]) -> None:
    """A command is processed inside the context it was created with, and what the handler traces nests there."""
    by_id = {span["span"]: span for span in ours}
    [asked] = [span for span in ours if span["name"] == "ask the bank"]
    assert (asked["scope"], asked["service"]) == ("shop", "payment")
    processed = by_id[asked["parent"]]
    assert (processed["name"], processed["kind"]) == (f"process {world.topics.commands('payment')}", "CONSUMER")
    assert processed["attributes"]["saga.outcome"] == "failure"
    assert processed["attributes"]["messaging.consumer.group.name"] == f"{world.topics.prefix}payment"
    assert by_id[processed["parent"]]["name"] == f"create {world.topics.commands('payment')}"
    [line] = [line for line in world.processes["payment"].output().splitlines() if '"asked"' in line]
    about = json.loads(line)
    assert (about["saga_id"], about["step"], about["attempt"]) == ("order-1", "process_payment", 1)
    assert (about["trace_id"], about["message_id"]) == (CALLER, "order/order-1/process_payment/forward/1")


def check_batches(spans: list[Span]) -> None:
    """Sending, polling and committing are spans of batches, which link to what is in them."""
    for name, operation in (("send", "send"), ("poll", "receive"), ("commit", "settle")):
        found = [span for span in spans if span["attributes"].get("messaging.operation.name") == name]
        assert found, name
        assert {span["kind"] for span in found} == {"CLIENT"}
        assert {span["attributes"]["messaging.operation.type"] for span in found} == {operation}
        assert all(span["attributes"]["messaging.batch.message_count"] >= 1 for span in found)
    assert any(CALLER in {link[0] for link in span["links"]} for span in spans if span["name"].startswith("send"))


async def check_messages(world: World, ours: list[Span]) -> None:
    """Commands, replies and events carry the contexts that they were created with, and the caller's state."""
    created = {span["span"]: span for span in ours if span["kind"] == "PRODUCER"}
    for topic in (
        world.topics.commands("payment"),
        world.topics.replies_of("payment"),
        world.topics.events("order"),
    ):
        for record in await world.read_all(topic):
            headers = {name: (value or b"").decode() for name, value in record.headers}
            _, trace_id, span_id, flags = headers["traceparent"].split("-")
            assert (trace_id, flags, headers["tracestate"]) == (CALLER, "01", STATE)
            assert created[span_id]["attributes"]["messaging.destination.name"] == topic
            assert created[span_id]["attributes"]["messaging.message.id"] == headers["ce_id"]


async def test_calls_to_the_outside_and_what_follows_in_them_are_in_the_trace(world: World, collected: Path) -> None:
    services = {"inventory": "inventory", "payment": "tests.tracing.calling_services:payment", "orders": "orders"}
    await ordered(world, services, 5)  # started, two steps succeeded, compensating, compensated
    ours = connected(spans_of(world, collected))
    commands = world.topics.commands("payment")
    handled = [span for span in ours if span["name"] == f"process {commands}"]
    calls, settled = named(ours, "call "), named(ours, f"settle {commands}")

    assert [about(span) for span in calls] == [("forward", 1), ("forward", 2), ("compensate", 1)]
    assert [span["name"] for span in calls] == ["call chargePayment", "call chargePayment", "call refundPayment"]
    assert [(span["kind"], span["failed"]) for span in calls] == [
        ("INTERNAL", True), ("INTERNAL", False), ("INTERNAL", False),
    ]  # fmt: skip
    assert [about(span) for span in settled] == [about(span) for span in calls]
    assert {span["kind"] for span in settled} == {"CONSUMER"}
    assert [span["attributes"]["saga.outcome"] for span in settled] == ["retry", "success", "success"]
    for call, settling in zip(calls, settled, strict=True):
        [began] = [span for span in handled if span["span"] == call["parent"]]
        assert settling["parent"] == began["span"], "beside the call, in what its command began"
        assert about(began) == about(call)
        assert "saga.outcome" not in began["attributes"], "nothing is known before the call"
        assert [span["name"] for span in ours if span["parent"] == call["span"]] == ["ask the bank"]
    [noted] = [span for span in ours if span["name"] == "note the charge"]
    assert noted["parent"] == settled[1]["span"]
    replies = [span for span in ours if span["name"] == f"create {world.topics.replies_of('payment')}"]
    assert sorted(span["parent"] for span in replies) == sorted(span["span"] for span in settled)


def named(spans: list[Span], beginning: str) -> list[Span]:
    """Those whose names begin so, in the order of the saga's life."""
    found = [span for span in spans if span["name"].startswith(beginning)]
    return sorted(found, key=lambda span: (span["attributes"]["saga.phase"] == "compensate", about(span)))


def about(span: Span) -> tuple[str, int]:
    return span["attributes"]["saga.phase"], span["attributes"]["saga.attempt"]


async def test_the_pages_command_sends_to_a_collector(world: World, collected: Path) -> None:
    [command] = [block for block in blocks_of(PAGE, "sh") if block.startswith("OTEL_")]
    collector = world.environment.pop("OTEL_EXPORTER_OTLP_ENDPOINT")
    shell = ["bash", "-c", f"exec env {command.replace('http://collector:4318', collector)}"]
    world.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    world.add("orchestrator", shell).start()
    await world.ready()
    await asked(world)
    await world.read(world.topics.events("order"), 1)
    assert {span["service"] for span in connected(spans_of(world, collected))} == {"saga-orchestrator"}


async def test_without_an_sdk_the_callers_trace_is_carried_through_every_message(world: World) -> None:
    await refused(world)
    topics = [world.topics.events("order")]
    for service in ("inventory", "payment"):
        topics += [world.topics.commands(service), world.topics.replies_of(service)]
    for topic in topics:
        records = await world.read_all(topic)
        assert records
        for record in records:
            assert set(FROM_CALLER) <= set(record.headers)
