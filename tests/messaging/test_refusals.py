"""The table of refusals, and the page that prints it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from kafka_saga.messaging.errors import RefusalReason
from kafka_saga.messaging.refusals import ANSWERS, Answer, MessageKind, answer, kind_of

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"


def test_every_kind_of_refusal_has_an_answer_for_every_kind_of_message() -> None:
    assert set(ANSWERS) == set(get_args(RefusalReason))
    assert all(set(row) == set(MessageKind) for row in ANSWERS.values())


def test_the_page_prints_the_table() -> None:
    page = PAGE.read_text()
    for reason, row in ANSWERS.items():
        cells = " | ".join(row[kind].value for kind in MessageKind)
        assert f"| `{reason}` | {cells} |" in page
    given_up = " | ".join(answer("unknown_topic", kind, held_too_long=True).value for kind in MessageKind)
    assert f"| held for 10 minutes | {given_up} |" in page


def test_what_only_passes_with_time_is_never_given_up() -> None:
    assert all(answer("unavailable", kind, held_too_long=True) is Answer.HOLD for kind in MessageKind)


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("shop.payment.commands", MessageKind.COMMAND),
        ("order.events", MessageKind.EVENT),
        ("dlq.payment.commands", MessageKind.DEAD_LETTER),
        ("payment.replies.store-2", MessageKind.REPLY),
    ],
)
def test_a_topic_says_what_is_published_to_it(topic: str, kind: MessageKind) -> None:
    assert kind_of(topic) is kind
