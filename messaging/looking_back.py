"""Where to begin reading so that the last minutes are read again: by time, and never more than so many records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.survey import EARLIEST, Survey
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.limits import REQUEST_TIMEOUT_MS

BEGINNING = EARLIEST
"""As a moment: from a topic's first record on."""

_RETRY_MS = 100


async def offsets_since(
    kafka: KafkaSettings, topics: Iterable[str], at_ms: int, *, clock: Clock, records_max: int | None = None
) -> dict[TopicPartition, int]:
    """The first offset of each partition whose record is of `at_ms` or later; where there is none, its end.

    Every partition of a topic that exists is in it: one that were left out would be read from its beginning, or its
    topic taken for one that is missing. A broker that cannot search by time, as the embedded one, is read from the
    beginning.

    Args:
        kafka: how to reach it.
        topics: which; one that does not exist is left out.
        at_ms: milliseconds since 1970, or BEGINNING, or `survey.LATEST`.
        clock: the time.
        records_max: at most so many records before the ends, of all partitions together; any number when not given.

    Raises:
        BrokerUnavailableError: no broker answers, or not for every partition within REQUEST_TIMEOUT_MS.

    """
    survey, names = Survey(kafka, clock=clock), set(topics)
    deadline = clock.monotonic_ms() + REQUEST_TIMEOUT_MS
    try:
        searched_ms = at_ms if await survey.administers_topics() else BEGINNING
        while True:
            try:
                return await _offsets_since(survey, names, searched_ms, records_max)
            except BrokerUnavailableError:  # a new topic's partitions answer one after the other
                if clock.monotonic_ms() >= deadline:
                    raise
            await clock.sleep(_RETRY_MS)
    finally:
        await survey.close()


async def _offsets_since(
    survey: Survey, names: Iterable[str], at_ms: int, records_max: int | None
) -> dict[TopicPartition, int]:
    leaders = await survey.leaders(names)
    # The ends come first: what is told between an end and the search is behind the end, and would be passed over.
    firsts, extents = await asyncio.gather(survey.first_offsets(leaders), survey.extents(leaders))
    hits = await survey.offsets_at(leaders, at_ms)
    back = None if records_max is None else records_max // max(1, len(leaders))
    return {
        tp: max(hits.get(tp, ends.stable), firsts[tp], 0 if back is None else ends.stable - back)
        for tp, ends in extents.items()
    }
