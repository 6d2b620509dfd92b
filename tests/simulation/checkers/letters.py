"""I19, R3: poison and conflicts are set aside with their bytes, each at least once, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.broker import SimRecord
from tests.simulation.checkers.evidence import Evidence

Causes = dict[str, set[tuple[bytes, bytes]]]

FORGED = {"dlq.inventory.replies wrong_topic", "dlq.inventory.replies unknown_saga"}
"""What becomes of replies that a service gives for another's step."""


def check(evidence: Evidence) -> Iterator[str]:
    world = evidence.world
    causes: Causes = {}
    for topic in [topic for topic in world.broker.history if topic.startswith("dlq.")]:
        for record in evidence.records(topic):
            headers = dict(record.headers)
            place = (headers["__dlq.errors.partition"], headers["__dlq.errors.offset"])
            causes.setdefault(f"{topic} {headers['__saga.errors.cause'].decode()}", set()).add(place)
            if not any(_is_of(record, original, place) for original in evidence.records(topic.removeprefix("dlq."))):
                yield f"I19: a dead letter of {topic} is of no record: {record}"
    requests = {name: places for name, places in causes.items() if name.startswith("dlq.order.requests")}
    poison = sum(len(places) for name, places in requests.items() if "conflict" not in name)
    if poison != world.poison:
        yield f"I19: {world.poison} poison requests, {poison} dead letters: {_counts(causes)}"
    conflicts = len(requests.get("dlq.order.requests conflict", ()))
    if conflicts != world.conflicts:
        yield f"R3: {world.conflicts} conflicting requests, {conflicts} dead letters"
    if set(causes) - set(requests) - FORGED:
        yield f"I19: dead letters that nobody provoked: {_counts(causes)}"


def _is_of(letter: SimRecord, original: SimRecord, place: tuple[bytes, bytes]) -> bool:
    """The same place, key and bytes; a topic that was created anew has several records of one place."""
    here = (str(original.partition).encode(), str(original.offset).encode())
    return here == place and (original.key, original.value) == (letter.key, letter.value)


def _counts(causes: Causes) -> dict[str, int]:
    return {name: len(places) for name, places in causes.items()}
