"""What every reader of records does first, so that the same fault has the same cause whoever meets it."""

from __future__ import annotations

from kafka_saga.messaging.records import Record
from kafka_saga.messaging.unreadable import UnreadableRecord
from kafka_saga.runtime.errors import ContractError
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.envelope import read_headers, unwrap_structured


def open_record(record: Record) -> tuple[dict[str, bytes], bytes | None]:
    """The headers by name and the value of `record`; a structured CloudEvent as if it had come in binary mode.

    Raises:
        ContractError: its bytes, its headers or its structure cannot be read.

    """
    if isinstance(record, UnreadableRecord):
        raise ContractError(Cause.BAD_HEADER, f"the record's bytes cannot be read: {record.error}")
    return unwrap_structured(read_headers(record.headers), record.value)
