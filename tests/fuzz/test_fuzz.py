"""A bounded part of the fuzzing in every run: the same examples each time, and as many new ones from a printed seed.

`make fuzz SECONDS=600` goes on for longer. What it finds stays in the tests of the code that was mended.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from structlog.testing import capture_logs

import kafka_saga.participants.intake
from kafka_saga.messaging.dead_letters import dead_letter
from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.engine import intake
from kafka_saga.schemas import envelope
from tests.fuzz import hostile
from tests.fuzz.targets import BYSTANDER, TARGETS, run_examples

SEED = int(os.environ.get("SAGA_FUZZ_SEED") or int.from_bytes(os.urandom(4)))
AS_EVER = settings(derandomize=True, deadline=None, database=None, suppress_health_check=[*HealthCheck])


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of dead letters are logged here; a failure shows its own example."""
    with capture_logs():
        yield


@pytest.mark.parametrize("name", TARGETS)
def test_the_same_hostile_input_as_ever_does_no_harm(name: str) -> None:
    strategy, target, examples = TARGETS[name]
    limits = settings(AS_EVER, max_examples=examples)
    limits(given(strategy)(target))()


@pytest.mark.parametrize("name", TARGETS)
def test_new_hostile_input_does_no_harm(name: str) -> None:
    print(f"to repeat this: SAGA_FUZZ_SEED={SEED} pytest {__file__} -k 'new and {name}'")  # noqa: T201 -- if it fails
    run_examples(name, SEED, TARGETS[name][2])


def harm(name: str) -> None:
    """A harmed target fails on a few of the same examples as ever."""
    strategy, target, examples = TARGETS[name]
    limits = settings(AS_EVER, max_examples=examples, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises((AssertionError, LookupError, UnicodeError)):
        limits(given(strategy)(target))()


def test_it_notices_an_error_that_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "_text", lambda headers, name: headers[name].decode())
    harm("heading")
    harm("orchestrating")


def test_it_notices_a_record_that_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake.Intake, "set_aside", lambda *_: None)
    harm("orchestrating")


def test_it_notices_a_letter_that_is_not_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_key(*arguments: Any, **more: Any) -> Message:
        return dead_letter(*arguments, **more)._replace(key=b"another")

    monkeypatch.setattr(intake, "dead_letter", without_key)
    monkeypatch.setattr(kafka_saga.participants.intake, "dead_letter", without_key)
    harm("orchestrating")
    harm("participating")


def test_it_notices_a_bystander_that_is_touched() -> None:
    assert BYSTANDER not in hostile.IDS
    record = hostile.Hostile(
        BYSTANDER.encode(),
        b'{"reservation_id": "r-1"}',
        (("ce_causationid", b"order/bystander/reserve_inventory/forward/1"), ("ce_sagaoutcome", b"success")),
    )
    with pytest.raises(AssertionError, match="nobody else is touched"):
        TARGETS["orchestrating"][1]([("inventory.replies", record)])
