"""Requests are checked before they are sent, and a saga that was accepted with another one is noticed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from kafka_saga.client import SagaClient, SagaType
from kafka_saga.client.requests import request_of
from kafka_saga.client.types import SagaTypes
from kafka_saga.orchestrator.definition import Saga, Step
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.runtime.errors import ConfigError, UsageError
from kafka_saga.schemas.agreement import contradicts
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.orders import OrderRequested, ReserveItems
from kafka_saga.schemas.sensitive import MASK
from tests.client.conftest import ORDER, order


class Shipped(BaseModel):
    parcel: str
    weight: float = 1.5


class ExpressShipped(Shipped):
    courier: str = "own"


SHIPMENT = SagaType("shipment", Shipped)
TYPES = SagaTypes([ORDER, SHIPMENT])


def test_the_model_says_which_saga_and_which_id() -> None:
    request = request_of(TYPES, order("o-1"))
    assert request.ref == ("order", "o-1")
    assert decode_trusted(request.value)["amount"] == 4_990
    assert request_of(TYPES, Shipped(parcel="p"), saga_id="p-1").ref == ("shipment", "p-1")
    assert request_of(TYPES, ExpressShipped(parcel="p"), saga_id="p-1").ref == ("shipment", "p-1")


def test_a_document_and_a_model_are_the_same_request() -> None:
    document = order("o-1").model_dump(mode="json")
    assert request_of(TYPES, document, saga_type="order") == request_of(TYPES, order("o-1"))
    by_default = request_of(TYPES, {"parcel": "p"}, saga_type="shipment", saga_id="p-1")
    assert by_default.value == b'{"parcel":"p","weight":1.5}'


def test_a_definition_is_a_type() -> None:
    assert request_of(SagaTypes([order_saga]), order("o-1")).ref == ("order", "o-1")
    assert SagaTypes([order_saga]).step_name("order", 2) == "process_payment"
    assert SagaTypes([ORDER]).step_name("order", 2) is None


@pytest.mark.parametrize(
    ("request_", "more", "said"),
    [
        ({"order_id": "o-1"}, {"saga_type": "order"}, "customer_id: Field required"),
        ({"order_id": "o-1"}, {}, "say which saga: saga_type= is one of order, shipment"),
        ({}, {"saga_type": "trip"}, "this client knows no saga 'trip', only order, shipment"),
        (Shipped(parcel="p"), {}, r"say the saga's id: start\(request, saga_id=…\)"),
        (Shipped(parcel="p"), {"saga_id": "a b"}, "the saga id must be text of 1 to 128 characters"),
        (Shipped(parcel="p"), {"saga_id": "p", "saga_type": "order"}, "Shipped starts saga 'shipment', not 'order'"),
        (order("o-1"), {"saga_id": "o-2"}, "the request's order_id is o-1, not o-2"),
        (order("o-1").model_copy(update={"amount": -5}), {}, "amount: Input should be greater than 0"),
        (Shipped(parcel="p", weight=float("nan")), {"saga_id": "p-1"}, "does not start a saga 'shipment'"),
        ({"parcel": object()}, {"saga_type": "shipment"}, "does not start a saga 'shipment'"),
        ("x", {"saga_type": "order"}, "a str is no request: pass its model, or a JSON document as a dict"),
        (ReserveItems.model_construct(), {}, "ReserveItems starts none of this client's sagas"),
    ],
)
def test_what_would_be_a_dead_letter_is_refused(request_: Any, more: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        request_of(TYPES, request_, **more)


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ([], "names no saga"),
        (["order"], "'order' is neither"),
        ([SHIPMENT, SagaType("order", Shipped)], "Shipped starts 'shipment' and 'order'"),
        ([ORDER, SagaType("order", Shipped)], "two types are called 'order'"),
    ],
)
def test_types_that_are_none_are_refused(types: list[Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SagaClient(types=types)


def test_two_versions_of_a_definition_are_one_type() -> None:
    steps = [Step("reserve", service="inventory", action=ReserveItems, nothing_to_undo=True)]
    newer = Saga("order", version=2, request=OrderRequested, id_from="order_id", steps=steps)
    assert SagaTypes([order_saga, newer]).names == ("order",)


def test_settings_that_are_wrong_are_named() -> None:
    with pytest.raises(ConfigError, match="bootstrap_servers: "):
        SagaClient("localhost:abc")
    with pytest.raises(ConfigError, match="prefix: "):
        SagaClient(prefix="no dot")


def test_a_request_contradicts_only_in_what_both_say() -> None:
    ours = encode({"id": "1", "lines": [{"sku": "a", "count": 1}], "new": True})
    assert not contradicts(ours, {"id": "1", "lines": [{"sku": "a", "count": 1, "unit": "kg"}], "older": 3})
    assert not contradicts(ours, {"id": MASK, "lines": MASK})
    assert not contradicts(ours, None), "data that was too large says nothing"
    for other in ({"id": "2"}, {"lines": []}, {"lines": [{"sku": "b"}]}, {"new": 0.5}):
        assert contradicts(ours, other)
