"""The envelope: what we write reads back, the least that R6 asks for is enough, and nothing else gets through."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.limits import ACT_TEXT_LENGTH_MAX, HEADERS_BYTES_MAX, HEADERS_MAX
from kafka_saga.schemas import envelope
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.envelope import (
    CommandHead,
    Effect,
    Headers,
    Outcome,
    Reason,
    ReplyHead,
    actor_headers,
    command_headers,
    event_headers,
    read_actor,
    read_command,
    read_headers,
    read_reply,
    reply_headers,
    unwrap_structured,
)
from kafka_saga.schemas.ids import CommandId, Phase, parse_command_id

COMMAND_ID = "order/order-123/process_payment/forward/1"
KEY = b"order-123"
HEAD = CommandHead(
    COMMAND_ID,
    parse_command_id(COMMAND_ID),
    "chargePayment",
    "payment.replies",
    attempt=2,
    started_at_ms=1_700_000_000_000,
)
LEAST = {envelope.CAUSATION_ID: COMMAND_ID.encode(), envelope.OUTCOME: b"success"}


def command() -> Headers:
    return command_headers(
        COMMAND_ID,
        command_type="chargePayment",
        source="/saga/order",
        reply_to="payment.replies",
        attempt=2,
        started_at_ms=1_700_000_000_000,
    )


@pytest.mark.parametrize(
    ("told", "read"),
    [
        (b"ann@desk", "ann@desk"),
        ("\u00e5nn \u2603".encode(), "\u00e5nn \u2603"),
        (b"ann\r\n2026 eve\x00\x1b[2J", "ann2026 eve[2J"),
        ("eve\u202eann".encode(), "eveann"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"a" * 10_000, "a" * ACT_TEXT_LENGTH_MAX),
        (b"", None),
        (b" \t\n", None),
    ],
)
def test_who_asks_is_read_as_anybodys_words(told: bytes, read: str | None) -> None:
    assert read_actor({envelope.ACTOR: told}) == read


def test_who_asks_is_told_and_need_not_be() -> None:
    assert read_actor(dict(actor_headers("ann@desk"))) == "ann@desk"
    assert read_actor(dict(actor_headers("a\udce9"))) == "a?", "a user's name that is no UTF-8"
    assert read_actor({}) is None


def cause_of(headers: dict[str, bytes], key: bytes | None = KEY) -> Cause:
    with pytest.raises(ContractError) as caught:
        read_reply(headers, key)
    cause = caught.value.cause
    assert isinstance(cause, Cause)
    return cause


def test_a_command_reads_back() -> None:
    assert read_command(read_headers(command()), KEY) == HEAD


def test_a_commands_headers_are_eight_and_small() -> None:
    headers = command()

    assert [name for name, _ in headers] == [
        "ce_specversion",
        "content-type",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_replyto",
        "ce_sagaattempt",
        "ce_sagastarted",
    ]
    assert sum(len(name) + len(value) for name, value in headers) < 250


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("reason", [None, *Reason])
def test_a_reply_reads_back(outcome: Outcome, effect: Effect, reason: Reason | None) -> None:
    headers = reply_headers(
        HEAD, reply_type="paymentCharged", source="/participant/payment", outcome=outcome, effect=effect, reason=reason
    )

    assert read_reply(read_headers(headers), KEY) == ReplyHead(
        f"{COMMAND_ID}/r2", HEAD.parsed_id, outcome, 2, effect, reason
    )


def test_an_event_says_its_sequence_R26() -> None:
    headers = dict(event_headers("order/order-123/7", event_type="order.saga.completed", source="/saga", sequence=7))

    assert (headers["ce_id"], headers["ce_type"], headers["ce_sequence"]) == (
        b"order/order-123/7",
        b"order.saga.completed",
        b"7",
    )


@pytest.mark.parametrize("by_key", [True, False])
def test_key_or_correlation_id_causation_id_and_outcome_are_enough_for_a_reply_R6(by_key: bool) -> None:
    headers = LEAST if by_key else {**LEAST, envelope.CORRELATION_ID: KEY}

    head = read_reply(headers, KEY if by_key else None)

    assert head == ReplyHead(None, HEAD.parsed_id, Outcome.SUCCESS, None, Effect.DONE, None)


def test_another_key_is_forgiven_where_the_correlation_id_is_right_R6() -> None:
    head = read_reply({**LEAST, envelope.CORRELATION_ID: KEY}, b"a key of its own")

    assert head.command.saga_id == "order-123"


@pytest.mark.parametrize("missing", list(LEAST))
def test_a_reply_without_one_of_them_is_refused_R6(missing: str) -> None:
    assert cause_of({name: value for name, value in LEAST.items() if name != missing}) is Cause.MISSING_HEADER
    assert cause_of({**LEAST, missing: b""}) is Cause.MISSING_HEADER


def test_a_reply_that_names_no_saga_or_another_one_is_refused_R6() -> None:
    assert cause_of(LEAST, None) is Cause.MISSING_HEADER
    assert cause_of(LEAST, b"order-124") is Cause.BAD_HEADER
    assert cause_of({**LEAST, envelope.CORRELATION_ID: b"order-124"}, None) is Cause.BAD_HEADER


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        (envelope.OUTCOME, b"Success", Cause.BAD_HEADER),
        (envelope.OUTCOME, b"\xff", Cause.BAD_HEADER),
        (envelope.EFFECT, b"some", Cause.BAD_HEADER),
        (envelope.EFFECT, b"\xff", Cause.BAD_HEADER),
        (envelope.ATTEMPT, b"two", Cause.BAD_HEADER),
        (envelope.ATTEMPT, b"-1", Cause.BAD_HEADER),
        (envelope.ATTEMPT, b"", Cause.BAD_HEADER),
        (envelope.ATTEMPT, "٣".encode(), Cause.BAD_HEADER),
        (envelope.ATTEMPT, b"9" * 17, Cause.BAD_HEADER),
        (envelope.ID, b"\xff", Cause.BAD_HEADER),
        (envelope.CAUSATION_ID, b"order-123", Cause.BAD_ID),
        (envelope.CAUSATION_ID, b"\xff", Cause.BAD_HEADER),
    ],
)
def test_a_reply_with_a_wrong_header_is_refused(name: str, value: bytes, cause: Cause) -> None:
    assert cause_of({**LEAST, name: value}) is cause


def test_a_reason_of_a_foreign_participants_own_loses_no_reply() -> None:
    assert read_reply({**LEAST, envelope.REASON: b"phase of the moon"}, KEY).reason is None


@pytest.mark.parametrize("missing", [envelope.ID, envelope.TYPE, envelope.REPLY_TO])
def test_a_command_without_a_required_header_is_refused(missing: str) -> None:
    headers = {name: value for name, value in command() if name != missing}

    with pytest.raises(ContractError) as caught:
        read_command(headers, KEY)

    assert caught.value.cause is Cause.MISSING_HEADER
    assert f"`{missing}`" in str(caught.value)


def test_a_command_of_a_foreign_orchestrator_may_leave_out_attempt_and_start_R16() -> None:
    headers = {name: value for name, value in command() if name not in (envelope.ATTEMPT, envelope.STARTED)}

    head = read_command(headers, KEY)

    assert (head.attempt, head.started_at_ms) == (1, 0)


def test_the_last_of_a_repeated_header_counts_and_empty_ones_do_not_exist() -> None:
    assert read_headers([("a", b"1"), ("a", b"2"), ("b", None)]) == {"a": b"2"}


def test_headers_are_limited_in_number_and_size() -> None:
    assert len(read_headers([(f"h{n}", b"") for n in range(HEADERS_MAX)])) == HEADERS_MAX
    assert read_headers([("a", b"x" * (HEADERS_BYTES_MAX - 1))])
    for hostile in ([(f"h{n}", b"") for n in range(HEADERS_MAX + 1)], [("a", b"x" * HEADERS_BYTES_MAX)]):
        with pytest.raises(ContractError) as caught:
            read_headers(hostile)
        assert caught.value.cause is Cause.BAD_HEADER


# --- structured mode ------------------------------------------------------------------------------


def structured(**event: object) -> tuple[dict[str, bytes], bytes]:
    return {"content-type": b"application/cloudevents+json; charset=utf-8"}, encode(event)


def test_a_structured_event_is_read_as_if_it_were_binary() -> None:
    headers, value = structured(
        specversion="1.0",
        id="r-1",
        type="paymentCharged",
        source="/payment",
        causationid=COMMAND_ID,
        sagaoutcome="success",
        sagaattempt=2,
        data={"charge_id": "ch-1"},
    )

    unwrapped, body = unwrap_structured(headers, value)

    assert read_reply(unwrapped, KEY) == ReplyHead("r-1", HEAD.parsed_id, Outcome.SUCCESS, 2, Effect.DONE, None)
    assert body is not None
    assert decode_trusted(body) == {"charge_id": "ch-1"}


def test_an_attribute_that_is_null_is_absent() -> None:
    headers, value = structured(id="r-1", sagareason=None, sagaeffect=None, causationid=COMMAND_ID, data={})

    assert set(unwrap_structured(headers, value)[0]) == {"content-type", "ce_id", "ce_causationid"}


@pytest.mark.parametrize("attribute", [{"a": 1}, [1], 1.5], ids=str)
def test_an_attribute_that_is_no_text_number_or_truth_value_is_refused(attribute: object) -> None:
    headers, value = structured(id=attribute, data={})

    with pytest.raises(ContractError) as caught:
        unwrap_structured(headers, value)

    assert caught.value.cause is Cause.BAD_HEADER


def test_a_structured_event_is_limited_in_attributes_as_in_headers() -> None:
    headers, value = structured(data={}, **{f"a{n}": "x" for n in range(HEADERS_MAX)})

    with pytest.raises(ContractError) as caught:
        unwrap_structured(headers, value)

    assert caught.value.cause is Cause.BAD_HEADER


@pytest.mark.parametrize(
    "value", [None, b"", b"[]", b"{}", b'{"data":null}', b'{"data":[]}', b'{"data_base64":"e30="}']
)
def test_what_only_says_it_is_structured_is_refused(value: bytes | None) -> None:
    with pytest.raises(ContractError):
        unwrap_structured({"content-type": b"application/cloudevents+json"}, value)


@pytest.mark.parametrize("content_type", [None, b"application/json", b"text/plain", b"\xff"])
def test_anything_else_is_left_as_it_is(content_type: bytes | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}

    assert unwrap_structured(headers, b"whatever") == (headers, b"whatever")


def test_media_types_are_read_without_regard_to_case() -> None:
    _headers, value = structured(id="r-1", data={"a": 1})

    assert unwrap_structured({"content-type": b"Application/CloudEvents+JSON"}, value)[1] == b'{"a":1}'


# --- nothing but contract errors ------------------------------------------------------------------

known_names = st.sampled_from(
    [value for name, value in vars(envelope).items() if name.isupper() and isinstance(value, str)]
)
likely_values = st.sampled_from(
    [COMMAND_ID.encode(), KEY, b"success", b"retry", b"none", b"1", b"", b"\xff", b"application/cloudevents+json"]
)
any_headers = st.lists(
    st.tuples(known_names | st.text(max_size=20), st.none() | likely_values | st.binary(max_size=40)), max_size=70
)
any_key = st.none() | st.just(KEY) | st.binary(max_size=10)


@settings(max_examples=500, deadline=None)
@given(any_headers, any_key, st.none() | st.binary(max_size=60) | st.just(b'{"id":"r","data":{}}'))
def test_no_record_raises_anything_but_a_contract_error(
    headers: list[tuple[str, bytes | None]], key: bytes | None, value: bytes | None
) -> None:
    for read in (read_reply, read_command):
        try:
            found, _body = unwrap_structured(read_headers(headers), value)
            head = read(found, key)
        except ContractError:
            continue
        assert isinstance(head, ReplyHead | CommandHead)


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"[A-Za-z0-9._:\-]{1,128}", fullmatch=True), st.sampled_from(list(Phase)), st.integers(1, 99_999))
def test_every_command_we_can_send_is_answered_to_the_same_saga(saga_id: str, phase: Phase, epoch: int) -> None:
    command_id = CommandId("order", saga_id, "process_payment", phase, epoch)
    head = CommandHead(str(command_id), command_id, "chargePayment", "payment.replies", 1, 0)

    headers = reply_headers(head, reply_type="t", source="/p", outcome=Outcome.SUCCESS)

    assert read_reply(read_headers(headers), saga_id.encode()).command == command_id
