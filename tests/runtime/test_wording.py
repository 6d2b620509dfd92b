from __future__ import annotations

import pytest

from kafka_saga.runtime.wording import with_article


@pytest.mark.parametrize(
    "spoken",
    [
        "a str", "an int", "a list[int]", "an int | None", "a Transaction", "an asyncpg.Connection", "an AsyncSession",
        "a UUID", "a URL", "a uri", "a User", "an Undo", "an Update", "a Unit", "an Order", "a OneTimeCode", "an ipv4",
        "an email", "an Event", "a Euro", "a date-time", "a 7", "a ",
    ],
)  # fmt: skip
def test_nouns_are_spoken_with_their_article(spoken: str) -> None:
    assert with_article(spoken.partition(" ")[2]) == spoken
