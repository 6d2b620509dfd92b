"""Moments over HTTP are RFC 3339, of any offset."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.operations.dead_letters.moments import as_written
from kafka_saga.runtime.errors import UsageError


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (None, None),
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000Z"),
        ("2026-11-23T10:00:00+02:00", "2026-11-23T08:00:00.000Z"),
        ("2026-11-23t10:00:00.5z", "2026-11-23T10:00:00.500Z"),
    ],
)
def test_a_moment_of_any_offset_is_compared_in_utc(text: str | None, written: str | None) -> None:
    assert as_written(text) == written


@pytest.mark.parametrize(
    "text", ["yesterday", "9999999", "", "2026-11-23", "2026-11-23T10:00:00", "2026-13-23T10:00:00Z"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no moment"):
        as_written(text)
