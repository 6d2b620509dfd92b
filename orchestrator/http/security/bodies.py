"""Bodies of requests, read whole before anything is done with them: so long, so slow, and no more."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.types import Message, Receive

from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.limits import HTTP_BODY_TIMEOUT_MS, HTTP_FORM_FIELDS_MAX


class TooLargeError(UsageError):
    """The request's body is too large."""

    code = "too_large"


class TooSlowError(UsageError):
    """The request's body did not come in time."""

    code = "too_slow"


class GoneError(UsageError):
    """Whoever sent the request has gone."""

    code = "gone"


async def read_body(receive: Receive, length: str | None, bytes_max: int) -> bytes:
    """The body of a request, whether or not it says how long it is.

    Raises:
        TooLargeError: it says, or turns out, to be longer than `bytes_max`.
        TooSlowError: it takes longer than `HTTP_BODY_TIMEOUT_MS`.
        GoneError: it will never be whole.

    """
    too_large = TooLargeError(f"a request's body may have {bytes_max:,} bytes")
    if length is not None and (not (length.isascii() and length.isdigit()) or int(length[:12]) > bytes_max):
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(HTTP_BODY_TIMEOUT_MS / 1000):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                body += message.get("body", b"")
                if len(body) > bytes_max:
                    raise too_large
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError as error:
        raise TooSlowError from error


def replayed(body: bytes, receive: Receive) -> Receive:
    """What a route reads instead: the body at once, and then what the connection says."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return left.pop() if left else await receive()

    return next_message


def form_field(body: bytes, content_type: str, name: str) -> str | None:
    """One field of a form; None where there is no such form, or the field is not there exactly once."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return None
    try:
        fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=HTTP_FORM_FIELDS_MAX)
    except ValueError:  # not text, or too many fields
        return None
    found = [value for field, value in fields if field == name]
    return found[0] if len(found) == 1 else None
