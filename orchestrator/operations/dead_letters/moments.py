"""Moments that dead letters are chosen by."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from kafka_saga.runtime.clock import rfc3339
from kafka_saga.runtime.errors import UsageError

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def read_date(text: str) -> int:
    """`2026-11-23`, or with a time and an offset, UTC where there is none, as milliseconds since 1970.

    Raises:
        UsageError: it is no date.

    """
    try:
        moment = datetime.fromisoformat(text)
        at = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(0, int(at.timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"'{text}' is no moment: write 2026-11-23T10:00:00Z") from error


def as_written(text: str | None) -> str | None:
    """A moment in RFC 3339, of any offset, as dead letters say theirs.

    Raises:
        UsageError: it is none.

    """
    if text is None:
        return None
    if _RFC_3339.fullmatch(text) is None:
        raise UsageError(f"'{text}' is no moment: write 2026-11-23T10:00:00Z")
    return rfc3339(read_date(text.upper()))
