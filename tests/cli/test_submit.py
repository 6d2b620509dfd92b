"""`saga submit`: checked before it is sent, followed to the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from kafka_saga.orchestrator.operations.sagas.requests import prepare, read_documents
from kafka_saga.orchestrator.operations.sagas.sample_orders import sample_orders
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.user import this_user
from kafka_saga.schemas.envelope import actor_headers
from kafka_saga.schemas.topics import TopicNames
from tests.brokers import BrokerUnderTest
from tests.cli.conftest import Saga, System, order


def prepared(*documents: Any, saga_id: str | None = None) -> list[str]:
    found = prepare(order_saga, TopicNames(), documents, saga_id=saga_id, origin="orders.json", actor="ann")
    return [request.saga_id for request in found]


def test_one_document_an_array_and_lines_are_all_requests() -> None:
    first, second = orjson.dumps(order("o-1")), orjson.dumps(order("o-2"))
    for text, expected in (
        (first, ["o-1"]),
        (b"[" + first + b"," + second + b"]", ["o-1", "o-2"]),
        (first + b"\n\n" + second + b"\n", ["o-1", "o-2"]),
    ):
        assert prepared(*read_documents(text, "-")) == expected


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({**order("o-1"), "amount": 0}, "amount: Input should be greater than 0"),
        ({"order_id": "o-1"}, "customer_id: Field required"),
        ({**order("o-1"), "order_id": "a b"}, "order_id"),
        (["not", "an", "object"], "orders.json: the value is a JSON array; send one JSON object"),
    ],
)
def test_a_request_that_would_be_a_dead_letter_is_refused_with_the_field(document: Any, said: str) -> None:
    with pytest.raises(UsageError, match="orders") as caught:
        prepared(document)
    assert said in str(caught.value)


def test_the_complaint_names_the_request_among_many() -> None:
    with pytest.raises(UsageError, match=r"orders\.json, request 2: .*amount"):
        prepared(order("o-1"), {**order("o-2"), "amount": -1})


def test_an_id_that_contradicts_the_request_is_refused() -> None:
    with pytest.raises(UsageError, match="its order_id is o-1, not o-2"):
        prepared(order("o-1"), saga_id="o-2")


def test_lines_that_are_not_json_are_counted() -> None:
    with pytest.raises(UsageError, match="orders, line 2: it is not JSON"):
        read_documents(b'{"a": 1}\n{"b"\n', "orders")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": 1, "a": 2}', "orders: the key 'a' comes twice in one object of the value"),
        (b'{"a": 1}\n{"b": {"c": 1, "c": 1}}\n', "orders, line 2: the key 'c' comes twice in one object of the value"),
        (b'[{"a": 18446744073709551616}]', "orders: a number in the value has more than 64 bits; send it as text"),
        (b"[" * 1_000 + b"]" * 1_000, "orders: it is nested too deeply"),
    ],
)
def test_what_would_vanish_or_change_on_the_way_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_documents(text, "orders")
    assert str(caught.value) == said


def test_a_request_says_who_asks() -> None:
    [request] = prepare(order_saga, TopicNames(), [order("o-1")], saga_id=None, origin="--json", actor="ann@desk")
    assert request.message.headers == actor_headers("ann@desk")


def test_made_up_orders_fit_the_model_and_some_are_declined() -> None:
    orders = list(sample_orders(200, run="o", declined_percent=5))
    assert len(set(prepared(*orders))) == 200
    assert sum(document["customer_id"] == "broke" for document in orders) == 10


def test_an_unknown_saga_type_names_the_known_ones(saga: Saga) -> None:
    run = saga("submit", "shipment", "--json", "{}")
    assert run.exit_code == 2
    assert "there is no saga 'shipment': it is one of order" in run.err


def test_a_wrong_request_is_refused_before_any_broker_is_asked(saga: Saga) -> None:
    run = saga("submit", "order", "--file", "-", "-b", "127.0.0.1:1", stdin='{"order_id": "o-1"}')
    assert run.exit_code == 2
    assert "standard input: the value does not fit OrderRequested" in run.err


@pytest.mark.kafka
@pytest.mark.processes
def test_a_completed_saga_is_exit_code_0_and_a_compensated_one_1(saga: Saga, system: System) -> None:
    done = saga("submit", "order", "--wait", "-o", "json", **system.variables)
    assert (done.exit_code, done.json["state"]) == (0, "COMPLETED"), done.err
    undone = saga("submit", "order", "--customer", "broke", "--wait", "-o", "json", **system.variables)
    [act] = saga("acts", undone.json["sagaId"], "-o", "json", **system.variables).json
    assert (act["verb"], act["outcome"], act["actor"]) == ("start", "done", this_user())
    assert (undone.exit_code, undone.json["state"]) == (1, "COMPENSATED")
    assert undone.json["error"] == "card declined: the balance is too low"


@pytest.mark.kafka
@pytest.mark.processes
def test_a_saga_that_had_ended_before_is_not_waited_for(saga: Saga, system: System) -> None:
    arguments = ["submit", "order", "--order-id", "twice", "--wait", "-o", "json"]
    assert saga(*arguments, **system.variables).exit_code == 0
    again = saga(*arguments, **system.variables)
    assert (again.exit_code, again.json["state"]) == (0, "COMPLETED")
    assert "had ended before" in again.err


@pytest.mark.kafka
@pytest.mark.processes
@pytest.mark.parametrize("knows", ["the store", "Kafka only"])
def test_another_request_for_an_id_that_exists_is_not_told_the_other_ones_outcome(
    saga: Saga, system: System, tmp_path: Path, knows: str
) -> None:
    variables = dict(system.variables)
    arguments = ["submit", "order", "--order-id", "mine", "--wait"]
    assert saga(*arguments, **variables).exit_code == 0
    if knows == "Kafka only":
        variables["SAGA_DATA_DIR"] = str(tmp_path / "another machine")

    other = saga(*arguments, "--customer", "bob", **variables)
    listed = saga(*arguments, "--customer", "bob", "-o", "json", **variables)

    why = "saga order/mine exists with another request; a new request needs a new id"
    assert (other.exit_code, other.out, other.err) == (4, "", f"saga: {why}\n")
    assert (listed.exit_code, listed.json) == (4, {"sagaId": "mine", "state": None, "refused": why})


@pytest.mark.kafka
@pytest.mark.processes
def test_an_end_tells_whether_it_is_that_of_this_request(saga: Saga, system: System, tmp_path: Path) -> None:
    named = (("o-1", "alice"), ("o-2", "alice"), ("o-1", "bob"))
    lines = [orjson.dumps(order(name, customer)) for name, customer in named]
    (tmp_path / "orders.jsonl").write_bytes(b"\n".join(lines))

    run = saga("submit", "order", "--file", "orders.jsonl", "--wait", "-o", "jsonl", **system.variables)

    assert run.exit_code == 4
    assert {row["sagaId"]: row["state"] for row in run.rows} == {"o-1": None, "o-2": "COMPLETED"}


@pytest.mark.kafka
@pytest.mark.processes
def test_many_are_followed_to_the_end(saga: Saga, system: System, tmp_path: Path) -> None:
    run = saga("submit", "order", "--count", "50", "--declined", "10", "-w", "-o", "jsonl", **system.variables)
    states = [row["state"] for row in run.rows]
    assert (run.exit_code, states.count("COMPLETED"), states.count("COMPENSATED")) == (1, 45, 5)
    (tmp_path / "orders.jsonl").write_bytes(b"\n".join(orjson.dumps(order(f"file-{n}")) for n in range(3)))
    run = saga("submit", "order", "--file", "orders.jsonl", "--wait", "-o", "jsonl", **system.variables)
    assert (run.exit_code, {row["sagaId"] for row in run.rows}) == (0, {"file-0", "file-1", "file-2"})


@pytest.mark.kafka
def test_nobody_who_carries_sagas_out_is_exit_code_124(saga: Saga, kafka: BrokerUnderTest, topic_prefix: str) -> None:
    variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "SAGA_TOPICS__PREFIX": topic_prefix}
    assert saga("topics", "create", **variables).exit_code == 0
    run = saga("submit", "order", "--order-id", "o-1", "--wait", "--timeout", "500ms", **variables)
    assert run.exit_code == 124
    assert "1 of 1 had not ended after 500 ms" in run.err
    sent = saga("submit", "order", "--order-id", "o-2", **variables)
    assert (sent.exit_code, sent.out) == (0, "o-2\n"), "the id alone is on standard output"


@pytest.mark.kafka
@pytest.mark.real_kafka
@pytest.mark.parametrize("more", [(), ("--wait",)])
def test_topics_that_are_not_there_are_exit_code_3_with_the_way_out(
    saga: Saga, kafka: BrokerUnderTest, topic_prefix: str, more: Sequence[str]
) -> None:
    variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "SAGA_TOPICS__PREFIX": topic_prefix}
    run = saga("submit", "order", "--order-id", "o-1", *more, **variables)
    missing = f"{topic_prefix}order.{'events' if more else 'requests'}"
    assert (run.exit_code, run.out) == (3, "")
    assert run.err == f"saga: the topic does not exist: {missing}. Create with: saga topics create\n"
