"""Why a message is set aside: a closed set, so that dead letters can be counted and filtered by cause."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why a record went to its dead letter topic."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    BAD_JSON = "bad_json"
    BAD_SCHEMA = "bad_schema"
    BAD_HEADER = "bad_header"
    MISSING_HEADER = "missing_header"
    BAD_ID = "bad_id"
    CONFLICT = "conflict"
    UNKNOWN_SAGA_TYPE = "unknown_saga_type"
    UNKNOWN_SAGA = "unknown_saga"
    DEFINITION_MISSING = "definition_missing"
    WRONG_TOPIC = "wrong_topic"
    BAD_REPLY_TOPIC = "bad_reply_topic"
    NOT_AUTHORISED = "not_authorised"
    UNKNOWN_TOPIC = "unknown_topic"
    REFUSED = "refused"
    TIMESTAMP = "timestamp"
    UNEXPLAINED = "unexplained"
    """These five and TOO_LARGE: the broker did not take a message of ours, which lies in its dead letter instead."""
