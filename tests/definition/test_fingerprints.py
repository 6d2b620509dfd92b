"""When a definition means something else than before, and when it only has other patience (R30)."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
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


def fingerprint(
    *, step: Mapping[str, Any] | None = None, saga: Mapping[str, Any] | None = None, more: tuple[Step, ...] = ()
) -> str:
    fields: dict[str, Any] = {"name": "one", "service": "stock", "action": Take, "compensation": GiveBack}
    first = Step(**{**fields, "reply": Taken, **(step or {})})
    options: dict[str, Any] = {"saga_type": "shop", "version": 1, "request": Wanted, "steps": (first, *more)}
    return Saga(**{**options, **(saga or {})}).fingerprint


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


def test_the_version_is_no_part_of_the_fingerprint_that_is_stored_beside_it_R30() -> None:
    assert fingerprint(saga={"version": 2}) == fingerprint()
