"""A place in a list as a text for whoever reads on: nothing to be read in, and nothing to be made up."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.codec import decode_trusted, encode


def write_place(place: Any) -> str:
    """The text of a place, which is a JSON document."""
    return urlsafe_b64encode(encode(place)).decode().rstrip("=")


def read_place(text: str, is_ours: Callable[[Any], bool]) -> Any:
    """The place that a text stands for; `is_ours` says of any JSON document whether it is one of this list.

    Raises:
        UsageError: it is none of ours.

    """
    try:
        place = decode_trusted(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        place = None
    if not is_ours(place):
        raise UsageError("the cursor is none of ours: give back what a page had as its next one, or none")
    return place
