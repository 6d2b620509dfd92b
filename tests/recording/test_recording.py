"""A linear saga comes out as it did before steps were on a graph: rows, log, commands, events, headers (I34)."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.schemas.codec import decode_trusted
from tests.recording.stories import replay

_HEAD, *_STORIES = gzip.decompress(Path(__file__).with_name("decisions.jsonl.gz").read_bytes()).splitlines()


def test_the_definition_is_known_by_the_same_fingerprint() -> None:
    told = {"saga": order_saga.saga_type, "version": order_saga.version, "fingerprint": order_saga.fingerprint}
    assert told == decode_trusted(_HEAD)


def test_every_recorded_event_is_decided_as_it_was() -> None:
    decided: Counter[str] = Counter()
    for line in _STORIES:
        row, moves = decode_trusted(line)
        for number, (found, (_, event, _, came)) in enumerate(zip(replay(order_saga, row, moves), moves, strict=True)):
            assert found == came, f"{row[2]}, event {number}: {event}"
            decided[f"{event['event']} {came[0]}"] += 1
    assert decided["Replied Decision"] > 1_000, decided
    assert {"TimerFired Decision", "Act Decision", "NotSent Decision", "Restored Decision"} <= decided.keys(), decided
