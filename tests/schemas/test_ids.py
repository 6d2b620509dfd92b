"""Names that travel: R1, R2."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_saga.runtime.errors import ContractError
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.ids import CommandId, Phase, SagaRef, check_saga_id, is_name, is_saga_id, parse_command_id

TEXT = "order/order-123/process_payment/forward/1"


@pytest.mark.parametrize("text", ["a", "order-123", "A.b_c:d-e", "0", "x" * 128, ".", "-"])
def test_an_id_may_be_128_letters_digits_and_a_few_marks_R1(text: str) -> None:
    assert is_saga_id(text)
    assert check_saga_id(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "x" * 129, "a b", "a/b", "a\n", "\n", "ä", "a\x00", "a%20", None, 7, b"a", ["a"], {"a": 1}, True],
    ids=repr,
)
def test_anything_else_is_no_id_R1(text: object) -> None:
    with pytest.raises(ContractError) as caught:
        check_saga_id(text)

    assert caught.value.cause is Cause.BAD_ID


@pytest.mark.parametrize("text", ["a", "order", "process_payment", "step-2", "x" * 64])
def test_a_name_is_lower_case_and_begins_with_a_letter(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "Order", "2nd", "_a", "a b", "a.b", "a\n", "x" * 65, "ä"])
def test_anything_else_is_no_name(text: str) -> None:
    assert not is_name(text)


def test_a_command_id_is_readable_text_R2() -> None:
    command_id = CommandId("order", "order-123", "process_payment", Phase.FORWARD, 1)

    assert str(command_id) == TEXT
    assert parse_command_id(TEXT) == command_id
    assert command_id.ref == SagaRef("order", "order-123")
    assert command_id.reply_id(2) == f"{TEXT}/r2"
    assert str(command_id.ref) == "order/order-123"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order-123",
        f"{TEXT}/r1",
        f"/{TEXT}",
        TEXT.replace("forward", "sideways"),
        TEXT.replace("forward", "FORWARD"),
        TEXT.replace("order-123", "order 123"),
        TEXT.replace("order-123", ""),
        TEXT.replace("process_payment", "Pay"),
        TEXT[:-1],
        TEXT[:-1] + "0",
        TEXT[:-1] + "01",
        TEXT[:-1] + "-1",
        TEXT[:-1] + "1.0",
        TEXT[:-1] + "²",
        TEXT[:-1] + "٣",
        TEXT[:-1] + "100000",
        TEXT + "\n",
    ],
)
def test_anything_else_is_no_command_id(text: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_command_id(text)

    assert caught.value.cause is Cause.BAD_ID


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(st.text(max_size=60), st.from_regex(r"[a-z]{1,3}/[A-z0-9]{1,3}/[a-z]{1,3}/(forward|compensate)/\d{1,6}"))
)
def test_a_command_id_that_is_read_is_written_the_same_way_R2(text: str) -> None:
    try:
        parsed = parse_command_id(text)
    except ContractError:
        return
    assert str(parsed) == text
