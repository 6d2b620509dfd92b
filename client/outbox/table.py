"""The outbox table: Debezium's five columns, an order and a time."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.ids import SagaRef

TABLE = "saga_outbox"

Database = Literal["postgresql", "sqlite"]

_NAME = re.compile(r"([a-z_][a-z0-9_]{0,50}\.)?[a-z_][a-z0-9_]{0,50}")

_POSTGRESQL = """\
-- Requests for sagas, written in the transaction of whatever they belong to, and deleted once Kafka has them.
-- id, aggregatetype, aggregateid, type and payload are those of Debezium's outbox event router, which may take the
-- relay's place: route by aggregatetype, with `.requests` after it.
CREATE TABLE {table} (
    seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of publishing
    id            uuid NOT NULL UNIQUE,                            -- of the same request always the same
    aggregatetype text NOT NULL,                                   -- the saga's type
    aggregateid   text NOT NULL,                                   -- the saga's id: the record's key
    type          text NOT NULL,
    payload       text NOT NULL,                                   -- the request's JSON
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- What lies before a row, of the same saga, is found by it.
CREATE INDEX {index}_saga ON {table} (aggregatetype, aggregateid, seq);
"""

_SQLITE = """\
-- Requests for sagas, written in the transaction of whatever they belong to, and deleted once Kafka has them.
CREATE TABLE {table} (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of publishing
    id            TEXT NOT NULL UNIQUE,              -- of the same request always the same
    aggregatetype TEXT NOT NULL,                     -- the saga's type
    aggregateid   TEXT NOT NULL,                     -- the saga's id: the record's key
    type          TEXT NOT NULL,
    payload       TEXT NOT NULL,                     -- the request's JSON
    created_at    TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""


def check_table(name: str) -> str:
    """`name`, which needs no quotes anywhere.

    Raises:
        UsageError: it would.

    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"'{name}' is no name for the outbox table: use small letters, digits and _, or schema.table")
    return name


def ddl(database: Database, table: str = TABLE) -> str:
    """What makes the table.

    Raises:
        UsageError: there is no such database, or the table's name would need quotes.

    """
    texts = {"postgresql": _POSTGRESQL, "sqlite": _SQLITE}
    if database not in texts:
        raise UsageError(f"the outbox is for postgresql and for sqlite, not for '{database}'")
    name = check_table(table)
    return texts[database].format(table=name, index=name.rpartition(".")[2])


def channel_of(table: str) -> str:
    """What a relay on PostgreSQL listens to."""
    return table.replace(".", "_")


def row_id(ref: SagaRef, value: bytes) -> str:
    """The id of a request, in the form of a UUID: of the same request always the same."""
    digest = hashlib.sha256(b"\0".join((ref.saga_type.encode(), ref.saga_id.encode(), value))).digest()[:16]
    digits = digest.hex()
    # RFC 9562, version 8: a UUID of one's own making.
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
