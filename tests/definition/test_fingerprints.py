"""When a definition means something else than before, and when it only has other patience (R30)."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import types
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from kafka_saga.orchestrator.definition import NoReply, Retry, Saga, SagaData, Step, from_reply, from_request
from kafka_saga.orchestrator.sagas.order import order_saga

ORDER_V1 = "ed352034c866f72b65671132f53d9552fd6f33b59bf326bd79785235c348cbb0"


class Wanted(BaseModel):
    shop_id: str
    other_id: str


class WantedToo(Wanted):
    pass


class Take(BaseModel):
    shop_id: str


class TakeMore(Take):
    pass


class GiveBack(BaseModel):
    shop_id: str


class Taken(BaseModel):
    receipt: str


def shouted(data: SagaData) -> str:
    return str(data.request["shop_id"]).upper()


def whispered(data: SagaData) -> str:
    return str(data.request["shop_id"]).lower()


class Shouting:
    def __call__(self, data: SagaData) -> str:
        return shouted(data)


def fingerprint(**options: Any) -> str:
    return shop(**options).fingerprint


def shop(
    *, step: Mapping[str, Any] | None = None, saga: Mapping[str, Any] | None = None, more: tuple[Step, ...] = ()
) -> Saga:
    fields: dict[str, Any] = {"name": "one", "service": "stock", "action": Take, "compensation": GiveBack}
    first = Step(**{**fields, "reply": Taken, **(step or {})})
    options: dict[str, Any] = {"saga_type": "shop", "version": 1, "request": Wanted, "steps": (first, *more)}
    return Saga(**{**options, **(saga or {})})


def test_the_shipped_sagas_fingerprint_is_the_one_that_stores_remember_R30() -> None:
    """When this fails, sagas that run in somebody's store mean something else: raise the version instead."""
    assert order_saga.fingerprint == ORDER_V1


def test_a_fingerprint_is_the_same_in_another_process_R30() -> None:
    program = "from kafka_saga.orchestrator.sagas.order import order_saga; print(order_saga.fingerprint)"
    for seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == order_saga.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"step": {"name": "uno"}},
        {"step": {"service": "shelf"}},
        {"step": {"action": TakeMore}},
        {"step": {"compensation": TakeMore}},
        {"step": {"reply": NoReply}},
        {"step": {"compensation": None}},
        {"step": {"compensation": None, "nothing_to_undo": True}},
        {"step": {"action_fields": {"shop_id": from_request("other_id")}}},
        {"step": {"action_fields": {"shop_id": shouted}}},
        {"step": {"action_fields": {"shop_id": whispered}}},
        {"step": {"action_fields": {"shop_id": Shouting()}}},
        {"step": {"action_fields": {"shop_id": functools.partial(shouted)}}},
        {"step": {"compensation_fields": {"shop_id": from_request("other_id")}}},
        {"saga": {"saga_type": "store"}},
        {"saga": {"id_from": "shop_id"}},
        {"saga": {"request": WantedToo}},
        {"more": (Step("two", service="stock", action=Take, compensation=GiveBack),)},
        {
            "more": (
                Step(
                    "two",
                    service="stock",
                    action=Take,
                    compensation=GiveBack,
                    action_fields={"shop_id": from_reply("one", "receipt")},
                ),
            )
        },
    ],
)
def test_another_meaning_is_another_fingerprint_R30(changed: dict[str, Any]) -> None:
    assert fingerprint(**changed) != fingerprint()


def test_every_other_meaning_has_a_fingerprint_of_its_own_R30() -> None:
    functions: list[Any] = [shouted, whispered, Shouting(), functools.partial(shouted)]
    sources = [from_request("shop_id"), from_request("other_id"), *functions]

    told = [fingerprint(step={"action_fields": {"shop_id": source}}) for source in sources]

    assert len(set(told)) == len(told)


@pytest.mark.parametrize(
    "patience",
    [
        {"timeout_ms": 60_000},
        {"compensation_timeout_ms": 60_000},
        {"retry": Retry(retries_max=0)},
        {"compensation_retry": Retry(retries_max=9, backoff_ms=1)},
    ],
    ids=str,
)
def test_other_patience_is_the_same_definition_R30(patience: dict[str, Any]) -> None:
    assert fingerprint(step=patience) == fingerprint()


def test_a_source_that_is_spelled_out_means_what_it_means_by_name_R30() -> None:
    assert fingerprint(step={"action_fields": {"shop_id": from_request("shop_id")}}) == fingerprint()


def moved(function: Any, module: str) -> Any:
    """The same function as if it lay in another module."""
    again = types.FunctionType(function.__code__, function.__globals__, function.__name__)
    again.__module__, again.__qualname__ = module, function.__qualname__
    return again


def test_a_function_is_what_it_is_called_in_the_step_wherever_it_lies_R30() -> None:
    def made_here(data: SagaData) -> str:
        return shouted(data)

    def by(function: Any) -> str:
        return fingerprint(step={"action_fields": {"shop_id": function}})

    assert by(moved(shouted, "elsewhere.rules")) == by(shouted)
    assert by(functools.partial(moved(shouted, "elsewhere"))) == by(functools.partial(shouted))
    assert by(made_here) == by(moved(made_here, "elsewhere"))
    assert by(lambda _data: "one") == by(lambda _data: "two")
    assert by(lambda _data: "one") != by(shouted)


def test_what_was_stored_while_functions_had_modules_means_the_same_R30() -> None:
    saga = shop(step={"action_fields": {"shop_id": shouted}})

    assert saga.change_since(saga.earlier_fingerprint, None) is None
    assert saga.change_since("another", None) == "what it was in detail was not stored then"
    assert order_saga.earlier_fingerprint == order_saga.fingerprint == ORDER_V1


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"step": {"name": "uno"}}, "step 'one' is gone; step 'uno' is new"),
        ({"step": {"service": "shelf"}}, "step 'one': service was stock and is shelf"),
        ({"step": {"action": TakeMore}}, "step 'one': its action's type was take and is takeMore"),
        ({"step": {"reply": None}}, "step 'one': reply was Taken and is NoReply"),
        (
            {"step": {"compensation": None}},
            "step 'one': pivot was False and is True; step 'one': its compensation is gone",
        ),
        (
            {"step": {"action_fields": {"shop_id": from_request("other_id")}}},
            "step 'one': its action's field shop_id was request.shop_id and is request.other_id",
        ),
        (
            {"step": {"compensation_fields": {"shop_id": shouted}}},
            "step 'one': its compensation's field shop_id was request.shop_id and is function shouted",
        ),
        ({"saga": {"id_from": "shop_id"}}, "the id_from was nothing and is shop_id"),
        ({"saga": {"request": WantedToo}}, "the request was Wanted and is WantedToo"),
        ({"more": (Step("two", service="stock", action=Take, compensation=GiveBack),)}, "step 'two' is new"),
    ],
)
def test_what_differs_is_said_R30(changed: dict[str, Any], says: str) -> None:
    before = shop()

    assert shop(**changed).change_since(before.fingerprint, before.description) == says
    assert shop().change_since(before.fingerprint, before.description) is None


def test_steps_in_another_order_are_said_R30() -> None:
    one, two = (Step(name, service="stock", action=Take, compensation=GiveBack) for name in ("one", "two"))
    before, after = (Saga("shop", version=1, request=Wanted, steps=steps) for steps in ([one, two], [two, one]))

    assert after.change_since(before.fingerprint, before.description) == "the steps were one, two and are two, one"


def test_the_version_is_no_part_of_the_fingerprint_that_is_stored_beside_it_R30() -> None:
    assert fingerprint(saga={"version": 2}) == fingerprint()
