"""One vocabulary: a record that nobody can use has the same cause whoever met it, orchestrator or participant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from kafka_saga.messaging.dead_letters import CAUSE, MESSAGE
from kafka_saga.messaging.errors import RefusalReason
from kafka_saga.messaging.records import Message, Record
from kafka_saga.messaging.unreadable import UnreadableRecord
from kafka_saga.orchestrator.engine.inputs import Inputs
from kafka_saga.orchestrator.engine.intake import Intake as OrchestratorIntake
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.intake import Intake as ParticipantIntake
from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.limits import HEADERS_MAX
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.codec import decode_model, decode_object, encode
from kafka_saga.schemas.topics import TopicNames
from tests.engine.world import Kept

COMMAND_ID = b"order/order-1/process_payment/forward/1"
GOOD = {
    "ce_id": COMMAND_ID,
    "ce_causationid": COMMAND_ID,
    "ce_type": b"chargePayment",
    "ce_replyto": b"payment.replies",
    "ce_sagaoutcome": b"success",
}
"""The headers of a command and of a reply at once."""

STRUCTURED = {"content-type": b"application/cloudevents+json"}
FRAME = b"\0\0\0\0\x07"


class Anything(BaseModel):
    pass


def record(key: bytes | None = b"order-1", value: bytes | None = b"{}", **headers: bytes | None) -> Record:
    kept = {name: text for name, text in {**GOOD, **headers}.items() if text is not None}
    return Kept("", 0, 7, key, value, tuple(kept.items()))


def kept_on(topic: str, record: Record) -> Record:
    if isinstance(record, UnreadableRecord):
        return UnreadableRecord(topic, 0, 7, record.error)
    return Kept(topic, 0, 7, record.key, record.value, record.headers)


def at_the_orchestrator(record: Record) -> list[Message]:
    inputs = Inputs(now=0)
    intake = OrchestratorIntake(registry=Registry([order_saga]), topics=TopicNames(), group="orchestrator")
    intake.read([kept_on("payment.replies", record)], inputs)
    return inputs.dead_letters


def at_the_participant(record: Record) -> list[Message]:
    intake = ParticipantIntake(Participant("payment"), TopicNames(), group="payment")
    return intake.read([kept_on("payment.commands", record)], 0).dead_letters


def told(letters: Sequence[Message]) -> list[tuple[str, str]]:
    """Cause and message of each letter."""
    found = [dict(letter.headers) for letter in letters]
    return [(headers[CAUSE].decode(), headers[MESSAGE].decode()) for headers in found]


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (UnreadableRecord("", 0, 7, "UnicodeDecodeError: a header's name"), Cause.BAD_HEADER),
        (record(**{f"x{number}": b"" for number in range(HEADERS_MAX)}), Cause.BAD_HEADER),
        (record(x=b"1" * 20_000), Cause.BAD_HEADER),
        (record(ce_sagaattempt=b"two"), Cause.BAD_HEADER),
        (record(b"order-2"), Cause.BAD_HEADER),
        (record(FRAME + b"order-1"), Cause.BAD_HEADER),
        (record(None), Cause.MISSING_HEADER),
        (record(ce_id=b"order-1", ce_causationid=b"order-1"), Cause.BAD_ID),
        (record(ce_id=b"\xff", ce_causationid=b"\xff"), Cause.BAD_HEADER),
        (record(value=b"[]", **STRUCTURED), Cause.BAD_JSON),
        (record(value=b'{"data":{},"data":{}}', **STRUCTURED), Cause.BAD_JSON),
        (record(value=b'{"data":"text"}', **STRUCTURED), Cause.BAD_JSON),
        (record(value=None, **STRUCTURED), Cause.NULL_VALUE),
        (record(value=FRAME + b"{}", **STRUCTURED), Cause.BAD_JSON),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_same_fault_has_the_same_cause_and_words_on_both_sides(broken: Record, cause: Cause) -> None:
    [seen_by_one], [seen_by_other] = told(at_the_orchestrator(broken)), told(at_the_participant(broken))

    assert seen_by_one[0] == seen_by_other[0] == cause
    # Each names the header that it reads: a command's own id, or the one that a reply echoes.
    assert seen_by_one[1] == seen_by_other[1].replace("`ce_id`", "`ce_causationid`")


def test_a_record_that_is_both_is_read_by_both() -> None:
    assert at_the_orchestrator(record()) == at_the_participant(record()) == []


def test_why_a_broker_refused_a_message_is_a_cause_too() -> None:
    assert set(get_args(RefusalReason)) - {"unavailable"} <= set(Cause)  # that one is never given up


@pytest.mark.parametrize(
    "value", [None, b"", b"[]", b"null", b'"x"', b"\xef\xbb\xbf{}", FRAME + b"{}", b'{"x":1,"x":1}', b"{" * 40]
)
def test_a_bad_body_has_the_same_cause_with_a_model_and_without(value: bytes | None) -> None:
    causes = []
    for read in (decode_object, lambda body: decode_model(Anything, body)):
        with pytest.raises(ContractError) as caught:
            read(value)
        causes.append(caught.value.cause)

    assert causes[0] == causes[1]
    assert causes[0] in set(Cause)


def request(key: bytes | None, body: Any) -> list[tuple[str, str]]:
    inputs = Inputs(now=0)
    intake = OrchestratorIntake(registry=Registry([order_saga]), topics=TopicNames(), group="orchestrator")
    intake.read([Kept("order.requests", 0, 0, key, body if isinstance(body, bytes) else encode(body), ())], inputs)
    return told(inputs.dead_letters)


ORDER = {"order_id": "o-1", "customer_id": "c", "items": [{"sku": "a", "quantity": 1}], "amount": 1, "currency": "EUR"}


def test_a_request_with_a_doubled_key_is_refused_and_the_key_named() -> None:
    doubled = encode(ORDER)[:-1] + b',"amount":1000000}'

    assert request(b"o-1", doubled) == [("bad_json", "the key 'amount' comes twice in one object of the value")]
    assert request(b"o-1", ORDER) == []


def test_a_framed_request_says_what_to_do() -> None:
    [(cause, words)] = request(b"o-1", FRAME + encode(ORDER))

    assert cause == "bad_json"
    assert "framed for a schema registry (a zero byte and schema id 7 come first): send the plain JSON" in words
