"""`saga tail` and `saga dlq`: what lies on the topics."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import NamedTuple

import orjson
import pytest

from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.operations.dead_letters.marks import parse_position
from kafka_saga.orchestrator.operations.kafka.messages import concerns, describe, id_fields, kcat_commands
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.runtime.errors import ContractError, UsageError
from kafka_saga.schemas.envelope import Headers
from kafka_saga.schemas.topics import TopicNames
from tests.cli.conftest import PATIENCE_S, Saga, System

pytestmark = [pytest.mark.kafka, pytest.mark.processes]


@pytest.fixture(scope="module")
def poisoned(system: System) -> System:
    """Records that nobody can read were published; they are on their way to the dead letter topic."""
    prefix = system.variables["SAGA_TOPICS__PREFIX"]
    topic = f"{prefix}order.requests"
    messages = [
        Message(topic, b"poison-1", b"not \x1b[2J json", (("x-trace", b"abc"),)),
        Message(topic, b"poison-2", b'{"order_id": "poison-2"}'),
        Message(topic, b"poison-3", None),
    ]

    asyncio.run(publish(system, messages))
    return system


async def publish(system: System, messages: list[Message]) -> None:
    producer = Producer(KafkaSettings(bootstrap_servers=system.variables["KAFKA_BOOTSTRAP_SERVERS"]))
    await producer.publish(messages)
    await producer.stop()


def letters(saga: Saga, system: System, *arguments: str, wait_for: int = 0) -> list[dict[str, object]]:
    for _ in range(PATIENCE_S):
        run = saga("dlq", "list", "-o", "jsonl", *arguments, **system.variables)
        assert run.exit_code == 0, run.err
        if len(run.rows) >= wait_for:
            return run.rows
    pytest.fail(f"only {run.rows}")


def test_a_sagas_conversation_is_one_list_in_order(saga: Saga, system: System) -> None:
    saga("submit", "order", "--order-id", "told", "--wait", **system.variables)
    run = saga("tail", "told", "-o", "jsonl", **system.variables)
    assert run.exit_code == 0, run.err
    kinds = [row["kind"] for row in run.rows]
    assert (kinds.count("request"), kinds.count("command"), kinds.count("reply")) == (1, 3, 3)
    assert {row["sagaId"] for row in run.rows} == {"told"}
    charge = next(row for row in run.rows if row["type"] == "chargePayment")
    assert (charge["step"], charge["phase"], charge["attempt"]) == ("process_payment", "forward", "1")
    assert charge["value"]["amount"] == 4_990
    lines = saga("tail", "told", **system.variables).out.splitlines()
    assert len(lines) == len(kinds)


def test_a_topic_is_read_from_its_beginning_up_to_a_limit(saga: Saga, system: System) -> None:
    saga("submit", "order", "--wait", **system.variables)
    topic = f"{system.variables['SAGA_TOPICS__PREFIX']}order.events"
    arguments = ["tail", "--topic", topic, "--from-beginning", "--limit", "3", "-o", "jsonl"]
    run = saga(*arguments, **system.variables)
    assert [row["topic"] for row in run.rows] == [topic] * 3


def test_a_saga_without_messages_is_exit_code_3(saga: Saga, system: System) -> None:
    assert saga("tail", "nonesuch", **system.variables).exit_code == 3


def test_a_topic_that_does_not_exist_is_exit_code_3(saga: Saga, system: System) -> None:
    assert saga("tail", "--topic", "nonesuch", **system.variables).exit_code == 3


def test_dead_letters_are_listed_with_their_causes(saga: Saga, poisoned: System) -> None:
    found = letters(saga, poisoned, wait_for=3)
    assert {row["key"]: row["cause"] for row in found} == {
        "poison-1": "bad_json",
        "poison-2": "bad_schema",
        "poison-3": "null_value",
    }
    assert [row["key"] for row in letters(saga, poisoned, "--cause", "bad_json")] == ["poison-1"]
    assert [row["key"] for row in letters(saga, poisoned, "--saga", "poison-2")] == ["poison-2"]
    origin = f"{poisoned.variables['SAGA_TOPICS__PREFIX']}order.requests"
    assert len(letters(saga, poisoned, "--topic", origin)) == 3
    assert letters(saga, poisoned, "--topic", "another") == []


def test_dead_letters_are_counted(saga: Saga, poisoned: System) -> None:
    letters(saga, poisoned, wait_for=3)
    run = saga("dlq", "count", "--by", "topic", "-o", "jsonl", **poisoned.variables)
    topic = f"dlq.{poisoned.variables['SAGA_TOPICS__PREFIX']}order.requests"
    assert run.rows == [{"topic": topic, "dead letters": 3}]


def test_a_request_without_a_key_is_found_by_the_id_in_its_body(saga: Saga, system: System) -> None:
    topic = f"{system.variables['SAGA_TOPICS__PREFIX']}order.requests"
    asyncio.run(publish(system, [Message(topic, None, b'{"order_id": "keyless-1", "customer_id": 7}')]))
    [letter] = letters(saga, system, "--saga", "keyless-1", wait_for=1)
    assert (letter["sagaId"], letter["key"], letter["cause"]) == ("keyless-1", "", "bad_schema")
    shown = saga("dlq", "show", str(letter["position"]), "-o", "json", **system.variables)
    assert shown.json["sagaId"] == "keyless-1"
    counted = saga("dlq", "count", "--by", "saga", "-o", "jsonl", **system.variables)
    assert {"saga": "keyless-1", "dead letters": 1} in counted.rows
    told = saga("tail", "keyless-1", "-o", "jsonl", **system.variables)
    assert [row["kind"] for row in told.rows] == ["request", "dead letter"]
    planned = saga("dlq", "redrive", "--saga", "keyless-1", "--dry-run", "-o", "json", **system.variables)
    assert planned.json["redriven"] == 1
    put_away = saga("dlq", "discard", "--saga", "keyless-1", "--reason", "of a test", "--yes", **system.variables)
    assert put_away.exit_code == 0, put_away.err


class Letter(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@pytest.mark.parametrize(
    ("key", "value", "headers", "expected"),
    [
        (b"key", b'{"order_id": "body"}', (), "body"),
        (None, b'{"order_id": "body"}', (("ce_correlationid", b"correlated"),), "body"),
        (b"key", b'{"order_id": "bo', (), "key"),
        (b"key", b'{"order_id": 7}', (), "key"),
        (b"key", None, (), "key"),
        (None, b"[]", (), None),
        (None, b'{"data": {"order_id": "body"}}', (("content-type", b"application/cloudevents+json"),), "body"),
        (None, b'{"data": 7}', (("content-type", b"application/cloudevents+json"),), None),
    ],
)
@pytest.mark.parametrize("topic", ["order.requests", "dlq.order.requests"])
def test_a_request_is_about_the_saga_that_its_body_names(
    topic: str, key: bytes | None, value: bytes | None, headers: Headers, expected: str | None
) -> None:
    record = Letter(topic, 0, 7, 1_700_000_000_000, key, value, headers)
    fields = id_fields(Registry([order_saga]), TopicNames())
    assert describe(record, fields)["sagaId"] == expected
    assert expected is None or concerns(record, expected, fields)
    assert describe(record)["sagaId"] != "body", "only where the definition says which field it is"


def test_the_conversation_of_a_saga_is_found_by_the_beginning_of_its_id(saga: Saga, system: System) -> None:
    saga("submit", "order", "--order-id", "unlike-any-other", "--wait", **system.variables)
    run = saga("tail", "unlike", "-o", "jsonl", **system.variables)
    assert run.err == "'unlike' is unlike-any-other\n"
    assert {row["sagaId"] for row in run.rows} == {"unlike-any-other"}
    assert run.rows[0]["kind"] == "request"
    saga("submit", "order", "--order-id", "unlike-this-one", "--wait", **system.variables)
    several = saga("tail", "unlike", **system.variables)
    assert several.exit_code == 3
    assert several.err == "saga: several sagas begin with 'unlike': unlike-any-other, unlike-this-one\n"


def test_one_dead_letter_is_shown_whole_and_harmless(saga: Saga, poisoned: System) -> None:
    [letter] = letters(saga, poisoned, "--saga", "poison-1", wait_for=1)
    run = saga("dlq", "show", str(letter["position"]), **poisoned.variables)
    assert run.exit_code == 0, run.err
    for part in ("bad_json: the value is not JSON", "x-trace: abc", "poison-1", r"not \x1b[2J json"):
        assert part in run.out
    assert "\x1b" not in run.out


@pytest.mark.parametrize(("position", "exit_code"), [("dlq.nonesuch/0/1", 3), ("nonsense", 2)])
def test_a_dead_letter_that_is_not_there(saga: Saga, system: System, position: str, exit_code: int) -> None:
    assert saga("dlq", "show", position, **system.variables).exit_code == exit_code


def test_positions_are_read_in_both_ways_of_writing() -> None:
    assert parse_position("dlq.order.requests/0/17") == ("dlq.order.requests", 0, 17)
    assert parse_position("dlq.order.requests[0]@17") == ("dlq.order.requests", 0, 17)
    with pytest.raises(UsageError):
        parse_position("dlq.order.requests/17")


def test_the_kcat_command_cannot_be_broken_out_of() -> None:
    [line] = kcat_commands("kafka:9092", ["order.events"], saga_id="order-1", from_end=False)
    assert line.startswith("kcat -C -b kafka:9092 -t order.events -o beginning -e -J | jq")
    fields = {"order.requests": "order_id"}
    [line] = kcat_commands("k:1", ["dlq.order.requests"], saga_id="order-1", from_end=False, fields=fields)
    chosen = line.partition(" | ")[2]
    messages = [
        {"key": None, "payload": '{"order_id":"order-1"}'},
        {"key": "order-1", "payload": "oops"},
        {"key": None, "payload": "oops"},
        {"key": None, "payload": '["order-1"]'},
        {"key": "other", "payload": '{"order_id":"order-2"}'},
    ]
    if shutil.which("jq") is None:
        pytest.skip("needs jq")
    done = subprocess.run(
        ["bash", "-c", chosen], input=b"".join(map(orjson.dumps, messages)), capture_output=True, check=True
    )
    assert [orjson.loads(line)["key"] for line in done.stdout.splitlines()] == [None, "order-1"]
    with pytest.raises(ContractError):
        kcat_commands("kafka:9092", ["order.events"], saga_id="'; rm -rf /", from_end=False)


def test_a_store_that_does_not_answer_is_said_and_tail_goes_on(saga: Saga, system: System) -> None:
    saga("submit", "order", "--order-id", "away", "--wait", **system.variables)
    away = {"SAGA_STORE": "postgresql://u:secret@127.0.0.1:1/x"}
    run = saga("tail", "away", "-o", "jsonl", **{**system.variables, **away})
    assert (run.exit_code, len(run.rows) > 3, "secret" in run.err) == (0, True, False), run.err
    assert "the store was not asked: postgresql://u:***@127.0.0.1:1/x does not answer" in run.err


def test_lag_names_every_partition_that_a_group_reads_and_where_it_ends(saga: Saga, system: System) -> None:
    prefix = system.variables["SAGA_TOPICS__PREFIX"]
    assert saga("submit", "order", "--order-id", "lagging", "--wait", **system.variables).exit_code == 0
    run = saga("lag", "-o", "jsonl", **system.variables)
    assert run.exit_code == 0, run.err
    topics = {row["topic"] for row in run.rows}
    assert topics >= {f"{prefix}order.requests", f"{prefix}payment.commands", f"{prefix}payment.replies"}
    requests = [row for row in run.rows if row["topic"] == f"{prefix}order.requests"]
    assert sum(row["end"] for row in requests) > 0
    assert all(row["lag"] == max(0, row["end"] - max(row["first"], row["position"] or 0)) for row in run.rows)
    assert {row["member"] for row in run.rows} == {None}, "who keeps positions in a database of its own is no member"
    nobodys = saga("lag", "--topic", "order.request", **system.variables)
    assert nobodys.exit_code == 3
    assert f"nobody here reads a topic order.request: it is one of {prefix}inventory.commands, " in nobodys.err
    table = saga("lag", "--topic", f"{prefix}order.requests", **system.variables)
    assert len(table.out.splitlines()) == 1 + len(requests)
