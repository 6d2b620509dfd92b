"""The generated contract: current, deterministic, valid, and true of the messages that we really send."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped, unused-ignore]
from pydantic import BaseModel

from kafka_saga.orchestrator import contract
from kafka_saga.orchestrator.asyncapi import document
from kafka_saga.orchestrator.contract import GENERATED, ROOT, contract_files, main, newest, stale, write
from kafka_saga.orchestrator.definition import Saga, Step
from kafka_saga.orchestrator.diagram import BEGIN, END, with_drawing
from kafka_saga.orchestrator.machine.saga import record
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.testing import given
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.schemas import envelope
from kafka_saga.schemas.envelope import (
    Outcome,
    Reason,
    command_headers,
    event_headers,
    read_command,
    read_headers,
    reply_headers,
)
from kafka_saga.schemas.failure import Failure
from kafka_saga.schemas.orders import (
    CancelOrder,
    ChargePayment,
    CreateOrder,
    ItemsReserved,
    OrderCreated,
    OrderItem,
    OrderRequested,
    PaymentCharged,
    RefundPayment,
    ReleaseItems,
    ReserveItems,
)
from kafka_saga.schemas.topics import TopicNames

ITEMS = [OrderItem(sku="lamp", quantity=2)]
PAID: dict[str, Any] = {"order_id": "order-123", "customer_id": "c-1", "amount": 4_990, "currency": "EUR"}
ORDER: dict[str, Any] = {**PAID, "items": ITEMS}
SAMPLES: list[BaseModel] = [
    OrderRequested(**ORDER),
    ReserveItems(order_id="order-123", items=ITEMS),
    ItemsReserved(reservation_id="r-1"),
    ReleaseItems(order_id="order-123"),
    ReleaseItems(order_id="order-123", reservation_id="r-1"),
    ChargePayment(**PAID),
    PaymentCharged(charge_id="ch-1"),
    RefundPayment(order_id="order-123", charge_id=None),
    CreateOrder(**ORDER, reservation_id="r-1", charge_id="ch-1"),
    OrderCreated(order_number="A-17"),
    CancelOrder(order_id="order-123"),
    Failure(error="Database connection failed"),
]


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(contract_files([order_saga], TopicNames())["asyncapi.json"])
    return made


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((GENERATED / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def wire_name(model: type[BaseModel]) -> str:
    return model.__name__[0].lower() + model.__name__[1:]


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def found(whole: dict[str, Any], reference: str) -> Any:
    node: Any = whole
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


# --- the committed files --------------------------------------------------------------------------


def test_the_committed_files_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert (main(["--check"]), capsys.readouterr().err) == (0, "")


def test_every_message_has_a_schema_of_its_own() -> None:
    names = {path.name.removesuffix(".schema.json") for path in GENERATED.glob("*.schema.json")}

    assert names == {wire_name(type(sample)) for sample in SAMPLES} | {"sagaRecord"}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_a_message_of_every_kind_fits_its_schema(sample: BaseModel) -> None:
    validator(wire_name(type(sample))).validate(json.loads(sample.model_dump_json()))


def test_the_record_of_a_saga_fits_its_schema() -> None:
    story = given(order_saga, OrderRequested(**ORDER))

    validator("sagaRecord").validate(json.loads(json.dumps(record(order_saga, story.saga).model_dump())))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("orderRequested", {"amount": 0}),
        ("orderRequested", {"amount": "4990"}),
        ("orderRequested", {"currency": "euro"}),
        ("orderRequested", {"items": []}),
        ("orderRequested", {"order_id": "a b"}),
        ("reserveItems", {"items": [{"sku": "lamp"}]}),
    ],
)
def test_a_wrong_message_does_not_fit_its_schema(name: str, change: dict[str, Any]) -> None:
    good = OrderRequested(**ORDER).model_dump(mode="json")
    validator(name).validate(good)

    with pytest.raises(ValidationError):
        validator(name).validate({**good, **change})


# --- the AsyncAPI document ------------------------------------------------------------------------


def test_every_topic_of_the_contract_is_a_channel(shipped: dict[str, Any]) -> None:
    services = ["inventory", "orders", "payment"]
    used = ["order.requests", *(f"{name}.commands" for name in services), *(f"{name}.replies" for name in services)]

    assert set(shipped["channels"]) == {*used, "order.events", *(f"dlq.{topic}" for topic in used)}
    for topic, channel in shipped["channels"].items():
        assert (channel["address"], channel["bindings"]["kafka"]["topic"]) == (topic, topic)
        assert channel["bindings"]["kafka"]["bindingVersion"] == "0.5.0"


def test_each_topic_carries_its_messages_and_no_others(shipped: dict[str, Any]) -> None:
    carried = {
        topic: sorted(channel["messages"]) for topic, channel in shipped["channels"].items() if topic[:4] != "dlq."
    }

    assert carried == {
        "order.requests": ["orderRequested"],
        "order.events": [
            "order.saga.compensated",
            "order.saga.compensating",
            "order.saga.completed",
            "order.saga.parked",
            "order.saga.started",
            "order.saga.step_succeeded",
        ],
        "inventory.commands": ["releaseItems", "reserveItems"],
        "inventory.replies": ["itemsReserved", "reply.failure", "reply.retry", "reply.undone"],
        "payment.commands": ["chargePayment", "refundPayment"],
        "payment.replies": ["paymentCharged", "reply.failure", "reply.retry", "reply.undone"],
        "orders.commands": ["cancelOrder", "createOrder"],
        "orders.replies": ["orderCreated", "reply.failure", "reply.retry", "reply.undone"],
    }


def test_every_reference_leads_somewhere(shipped: dict[str, Any]) -> None:
    targets = list(references(shipped))

    assert len(targets) > 50
    for target in targets:
        assert isinstance(found(shipped, target), dict), target


def test_the_orchestrator_receives_requests_and_replies_and_sends_all_else(shipped: dict[str, Any]) -> None:
    received = {name for name, operation in shipped["operations"].items() if operation["action"] == "receive"}

    assert received == {
        "receive.order.requests",
        "receive.inventory.replies",
        "receive.orders.replies",
        "receive.payment.replies",
    }
    assert shipped["operations"]["send.payment.commands"]["reply"] == {
        "channel": {"$ref": "#/channels/payment.replies"}
    }


def test_our_own_headers_are_the_documented_ones(shipped: dict[str, Any]) -> None:
    messages = shipped["components"]["messages"]
    command_id = "order/order-123/process_payment/forward/1"
    command = command_headers(
        command_id,
        command_type="chargePayment",
        source="/sagas/order",
        reply_to="payment.replies",
        attempt=1,
        started_at_ms=1_700_000_000_000,
    )
    head = read_command(read_headers(command), b"order-123")
    sent = {
        "payment.commands.chargePayment": command,
        "payment.replies.paymentCharged": reply_headers(
            head, reply_type="paymentCharged", source="/p", outcome=Outcome.SUCCESS
        ),
        "payment.replies.reply.failure": reply_headers(
            head, reply_type="failure", source="/p", outcome=Outcome.FAILURE, reason=Reason.REJECTED
        ),
        "order.events.order.saga.completed": event_headers(
            "e-1", event_type="order.saga.completed", source="/sagas/order", sequence=7
        ),
    }

    for name, headers in sent.items():
        schema = messages[name]["headers"]
        document_ = {key: value.decode() for key, value in headers}
        Draft202012Validator(schema).validate(document_)
        assert set(document_) <= set(schema["properties"]), name


def test_what_a_reply_must_have_is_what_we_require_R6(shipped: dict[str, Any]) -> None:
    for name, message in shipped["components"]["messages"].items():
        if ".replies." in name:
            assert message["headers"]["required"] == [envelope.CAUSATION_ID, envelope.OUTCOME]


def test_payloads_are_the_models_schemas(shipped: dict[str, Any]) -> None:
    whole = {"$defs": {}, **shipped}
    for sample in SAMPLES:
        names = [name for name in shipped["components"]["messages"] if name.endswith(f".{wire_name(type(sample))}")]
        for name in names:
            payload = shipped["components"]["messages"][name]["payload"]
            Draft202012Validator({**whole, **payload}).validate(json.loads(sample.model_dump_json()))


def test_a_prefix_stands_before_every_topic() -> None:
    made = document([order_saga], TopicNames(prefix="shop."))

    assert all(re.match(r"(dlq\.)?shop\.", topic) for topic in made["channels"])


# --- several definitions --------------------------------------------------------------------------


class Booked(BaseModel):
    trip_id: str


class Book(BaseModel):
    trip_id: str


def trip(version: int = 1, **options: Any) -> Saga:
    steps = [Step("book", service="payment", action=Book, **options)]
    return Saga("trip", version=version, request=Booked, id_from="trip_id", steps=steps)


def test_a_service_of_two_sagas_has_the_commands_of_both() -> None:
    made = document([order_saga, trip()], TopicNames())

    assert sorted(made["channels"]["payment.commands"]["messages"]) == ["book", "chargePayment", "refundPayment"]
    assert sorted(made["channels"]["payment.replies"]["messages"]) == [
        "paymentCharged",
        "reply.done",
        "reply.failure",
        "reply.retry",
        "reply.undone",
    ]


def test_the_contract_is_that_of_the_newest_version_R30() -> None:
    assert [saga.key for saga in newest([trip(2), order_saga, trip(1)])] == [("order", 1), ("trip", 2)]


def test_two_messages_of_one_name_are_refused() -> None:
    other = type("OrderRequested", (BaseModel,), {"__annotations__": {"trip_id": str}, "__module__": "elsewhere"})
    clash = Saga("trip", version=1, request=other, steps=[Step("book", service="travel", action=Book)])

    both = r"elsewhere\.OrderRequested and kafka_saga\.schemas\.orders\.OrderRequested"
    with pytest.raises(DefinitionError, match=both):
        contract_files([order_saga, clash], TopicNames())


# --- the command ----------------------------------------------------------------------------------


def test_the_same_definitions_give_the_same_bytes() -> None:
    program = (
        "import sys; from kafka_saga.orchestrator.contract import contract_files; "
        "from kafka_saga.orchestrator.sagas.order import order_saga; from kafka_saga.schemas.topics import TopicNames; "
        "sys.stdout.buffer.write(b''.join(contract_files([order_saga], TopicNames()).values()))"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
                       capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }  # fmt: skip

    assert outputs == {b"".join(contract_files([order_saga], TopicNames()).values())}


def test_a_check_names_what_is_stale_and_the_command_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = ["--app", contract.SHIPPED]
    assert main([*app, str(tmp_path)]) == 0
    assert main(["--check", *app, str(tmp_path)]) == 0
    (tmp_path / "asyncapi.json").write_text("{}")
    (tmp_path / "failure.schema.json").unlink()
    (tmp_path / "gone.schema.json").write_text("{}")

    code = main(["--check", *app, str(tmp_path)])

    assert code == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/failure.schema.json is out of date",
        f"{tmp_path}/asyncapi.json is out of date",
        f"{tmp_path}/gone.schema.json is left over: delete it",
        "run `python -m kafka_saga.orchestrator.contract` and commit what it writes",
    ]


def test_a_check_of_files_that_were_never_written_names_them_all(tmp_path: Path) -> None:
    files = contract_files([order_saga], TopicNames())

    assert [path.name for path in stale(tmp_path / "none", files)] == list(files)
    write(tmp_path / "new", files)
    assert stale(tmp_path / "new", files) == []


def test_an_unknown_module_is_an_error_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--app", "no.such.module", str(tmp_path)]) == 2

    assert capsys.readouterr().err.startswith("contract: --app no.such.module: cannot import it")
    assert list(tmp_path.iterdir()) == []


# --- the drawing ----------------------------------------------------------------------------------


def test_the_drawing_has_every_state_and_every_event() -> None:
    page = with_drawing(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "old" not in page
    assert [line for line in page.splitlines() if line.startswith("### ")] == [
        f"### {state.value}" for state in SagaState
    ]
    assert page.count("\n| ") == len(SagaState) * (len(EventKind) + 1)


def test_drawing_twice_is_drawing_once() -> None:
    page = with_drawing(f"{BEGIN}{END}")

    assert with_drawing(page) == page
