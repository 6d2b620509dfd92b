"""The lives of a store: each restore from a backup begins a new one (R59). What a life must know of those before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.orchestrator.store.tables import Tables
from kafka_saga.runtime.sqlite import SqlConnection
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.ids import SagaRef

SEQUENCES_A_LIFE = 1_000_000
"""`ce_sequence` of a life begins at its number times this: far more versions than any saga comes to."""

LIFE = "life"
"""Where it stands in `meta`."""


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a store.

    Attributes:
        number: 0 for the first; of a later one the second it began, which no backup can be ahead of.
        ahead: services whose databases were not restored with the store's: they may know of more than it does.
        horizon: the requests before these offsets were there in an earlier life, which may have begun their sagas.
        errors: why sagas failed in an earlier life, as far as it was told.

    """

    number: int = 0
    ahead: tuple[str, ...] = ()
    horizon: Mapping[TopicPartition, int] = field(default_factory=dict)
    errors: Mapping[SagaRef, str] = field(default_factory=dict)

    @property
    def first_sequence(self) -> int:
        """What is added to a saga's version where its events are told of."""
        return self.number * SEQUENCES_A_LIFE

    def was_there(self, record: Record) -> bool:
        """Whether an earlier life may have taken this request."""
        return record.offset < self.horizon.get(TopicPartition(record.topic, record.partition), 0)


async def read_life(connection: SqlConnection) -> Life:
    """The store's present life."""
    meta: dict[str, str] = dict(await connection.fetch_all(SQL["meta"]))
    found = meta.get(LIFE)
    return Life() if found is None else read_fields(found, await connection.fetch_all(SQL["told_errors"]))


def read_fields(found: str, errors: Iterable[tuple[Any, ...]]) -> Life:
    """A life from what `meta` has of it, and the rows of `told_errors`."""
    fields = decode_trusted(found)
    return Life(
        fields["number"],
        tuple(fields["ahead"]),
        {TopicPartition(topic, number): offset for topic, number, offset in fields["horizon"]},
        {SagaRef(saga_type, saga_id): error for saga_type, saga_id, error in errors},
    )


async def begin_life(tables: Tables, life: Life, positions: Mapping[TopicPartition, int]) -> None:
    """Begin `life`, which reads on at `positions`; and its waits when the broker has been heard of."""
    fields = {
        "number": life.number,
        "ahead": life.ahead,
        "horizon": [(*partition, offset) for partition, offset in sorted(life.horizon.items())],
    }
    async with tables.transaction():
        await tables.execute_many("note", [(LIFE, encode(fields).decode())])
        await tables.execute("outage_on")
        await tables.execute("forget_told_errors")
        await tables.execute_many("note_error", [(*ref, error) for ref, error in life.errors.items()])
        await tables.execute_many("set_offset", [(*tp, offset) for tp, offset in positions.items()])
