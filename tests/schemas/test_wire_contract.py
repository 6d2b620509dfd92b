"""docs/wire-contract.md is true: its numbers are ours, and what it says of odd messages is what happens to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kafka_saga.messaging.dead_letters import CAUSE, MESSAGE
from kafka_saga.orchestrator.definition import Retry, Step
from kafka_saga.orchestrator.engine.inputs import Inputs
from kafka_saga.orchestrator.engine.intake import Intake
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import ContractError
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.codec import decode_model, decode_object, encode
from kafka_saga.schemas.envelope import Effect, read_headers, read_reply, unwrap_structured
from kafka_saga.schemas.orders import PaymentCharged
from kafka_saga.schemas.topics import TopicNames
from tests.engine.world import Kept

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "wire-contract.md").read_text()
PROSE = " ".join(PAGE.split())

COMMAND_ID = "order/order-1/process_payment/forward/1"
REPLY = {"ce_causationid": COMMAND_ID.encode(), "ce_sagaoutcome": b"success"}
ORDER: dict[str, Any] = {
    "order_id": "order-1",
    "customer_id": "c-1",
    "items": [{"sku": "lamp", "quantity": 1}],
    "amount": 4_990,
    "currency": "EUR",
}


def requested(value: bytes) -> Inputs:
    inputs = Inputs(now=0)
    intake = Intake(registry=Registry([order_saga]), topics=TopicNames(), group="orchestrator")
    intake.read([Kept("order.requests", 0, 0, None, value, ())], inputs)
    return inputs


def request_hash(value: bytes) -> bytes:
    [request] = requested(value).requests
    return request.request_hash


# --- the numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        f"at most {limits.PAYLOAD_BYTES_MAX:,} bytes",
        f"nested at most {limits.JSON_DEPTH_MAX} levels deep",
        f"at most {limits.HEADERS_MAX}, and {limits.HEADERS_BYTES_MAX:,} bytes with their names",
        f"1 to {limits.ID_LENGTH_MAX} characters of `A-Z a-z 0-9 . _ : -`",
    ],
)
def test_the_limits_are_ours(words: str) -> None:
    assert words in PROSE


def test_the_time_to_answer_in_is_that_of_the_defaults() -> None:
    timeouts = {step.timeout_ms for step in order_saga.steps} | {
        Step("s", service="v", action=PaymentCharged, nothing_to_undo=True).timeout_ms
    }
    retry = Retry()
    waits = [int(retry.backoff_ms * retry.factor**n) for n in range(retry.attempts_max - 1)]
    [timeout_ms] = timeouts
    total_ms = retry.attempts_max * timeout_ms + sum(waits)
    assert f"{timeout_ms // 1000} s unless its definition says otherwise" in PROSE
    assert (
        f"{', '.join(f'{wait // 1000} s' for wait in waits)} in between: four times in all, {total_ms // 1000} s"
        in PROSE
    )
    assert retry.attempts_max == 4


def test_every_cause_is_in_the_table_and_no_other() -> None:
    table = PAGE[PAGE.index("| cause | what was wrong |") :]
    named = {
        word
        for line in table.splitlines()
        if line.startswith("|")
        for word in re.findall(r"`([a-z_]+)`", line.split("|")[1])
    }
    assert named - {"publish"} == {cause.value for cause in Cause}


def test_what_the_page_sends_the_reader_to_is_there() -> None:
    for path in re.findall(r"`((?:examples|tests|schemas)/[a-zA-Z_/.-]+)`", PAGE):
        assert (Path(__file__).resolve().parents[2] / path).exists(), path


def test_the_questions_to_a_participant_are_those_that_the_examples_are_asked() -> None:
    asked = (Path(__file__).resolve().parents[1] / "examples" / "test_participants.py").read_text()
    for question in (
        "a_command_of_the_orchestrator_that_comes_twice_charges_once",
        "after_a_kill_a_duplicate_still_gets_the_stored_reply",
        "a_refund_that_comes_twice_gives_back_once",
        "a_refund_of_an_unknown_step_undoes_nothing_and_the_late_charge_is_refused",
        "a_command_it_does_not_know_is_answered_with_retry_and_blocks_nothing",
        "its_refusal_undoes_our_step_and_charges_nothing",
    ):
        assert f"test_{question}" in asked


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["-9223372036854775808", "18446744073709551615", "0.1", "1e300"])
def test_numbers_of_64_bits_and_finite_fractions_are_taken(number: str) -> None:
    assert decode_object(b'{"x":%s}' % number.encode())


@pytest.mark.parametrize("number", ["-9223372036854775809", "18446744073709551616", "NaN", "Infinity", "1e400"])
def test_larger_ones_and_what_is_no_number_are_refused(number: str) -> None:
    with pytest.raises(ContractError):
        decode_object(b'{"x":%s}' % number.encode())


def test_a_doubled_key_a_mark_and_a_frame_are_refused_as_bad_json_and_named() -> None:
    body = encode(ORDER)
    for value, words in (
        (body[:-1] + b',"amount":1}', "'amount' comes twice"),
        (b"\xef\xbb\xbf" + body, "byte order mark"),
        (b"\0\0\0\0\x07" + body, "framed for a schema registry"),
    ):
        [letter] = requested(value).dead_letters
        headers = dict(letter.headers)
        assert headers[CAUSE] == b"bad_json"
        assert words in headers[MESSAGE].decode()


# --- headers and structured mode ------------------------------------------------------------------


def test_of_a_repeated_header_the_last_counts_and_one_without_a_value_is_absent() -> None:
    assert read_headers([("a", b"1"), ("b", b"1"), ("a", b"2"), ("c", None)]) == {"a": b"2", "b": b"1"}


def test_a_structured_reply_is_read_like_a_binary_one() -> None:
    event = {
        "specversion": "1.0",
        "id": "r-1",
        "source": "/payment",
        "type": "paymentCharged",
        "causationid": COMMAND_ID,
        "sagaoutcome": "success",
        "sagaattempt": 2,
        "data": {"charge_id": "ch-1"},
    }
    given = {"content-type": b"application/cloudevents+json; charset=utf-8", "ce_sagaoutcome": b"failure"}
    headers, value = unwrap_structured(given, encode(event))
    head = read_reply(headers, b"order-1")
    assert (head.outcome.value, head.attempt, value) == ("success", 2, b'{"charge_id":"ch-1"}')


@pytest.mark.parametrize(
    ("content_type", "event"),
    [
        (b"application/cloudevents+json", {"data_base64": "e30="}),
        (b"application/cloudevents+json", {"data": "text"}),
        (b"application/cloudevents-batch+json", [{"data": {}}]),
    ],
)
def test_other_structured_events_are_bad_json(content_type: bytes, event: Any) -> None:
    with pytest.raises(ContractError) as caught:
        unwrap_structured({"content-type": content_type}, encode(event))
    assert caught.value.cause is Cause.BAD_JSON


# --- requests and replies -------------------------------------------------------------------------


def test_a_request_is_the_same_whatever_the_order_and_white_space_and_another_with_an_unknown_field_R3() -> None:
    same = b'{ "currency": "EUR", %s }' % encode({k: v for k, v in ORDER.items() if k != "currency"})[1:-1]
    assert request_hash(same) == request_hash(encode(ORDER))
    assert request_hash(encode({**ORDER, "note": "soon"})) != request_hash(encode(ORDER))
    [request] = requested(encode({**ORDER, "note": "soon"})).requests
    assert "note" not in request.document
    notes = [encode(ORDER)[:-1] + b',"note":%s}' % number for number in (b"1", b"1.0")]
    assert request_hash(notes[0]) != request_hash(notes[1])


def test_unknown_fields_of_a_reply_are_left_out_and_one_that_does_not_fit_is_refused() -> None:
    assert decode_model(PaymentCharged, b'{"charge_id":"ch-1","fee":3}').model_dump() == {"charge_id": "ch-1"}
    with pytest.raises(ContractError) as caught:
        decode_model(PaymentCharged, b'{"chargeId":"ch-1"}')
    assert caught.value.cause is Cause.BAD_SCHEMA


def test_an_effect_that_is_not_told_is_done() -> None:
    assert read_reply(REPLY, b"order-1").effect is Effect.DONE
    assert read_reply({**REPLY, "ce_sagaeffect": b"none"}, b"order-1").effect is Effect.NONE
