"""Which rights were lacking when Kafka was asked: what could not be seen is no fault of the system's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from kafka_saga.messaging.errors import GRANT, NotAllowedError, lacking
from kafka_saga.orchestrator.operations.checks.finding import Finding, listed


def judge_rights(found: Sequence[NotAllowedError]) -> Iterator[Finding]:
    """A finding for each right and kind of thing; none where everything could be asked."""
    names: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for error in found:
        names[error.principal, error.right, error.kind].append(error.name)
    for (principal, right, kind), of in names.items():
        details = {"principal": principal, "right": right, "kind": kind, "names": of}
        yield Finding("warning", "rights", lacking(principal, right, kind, listed(of)), f"not seen: {GRANT}", details)


def hidden_from(found: Sequence[NotAllowedError]) -> frozenset[str]:
    """The topics that are hidden."""
    return frozenset(error.name for error in found if (error.kind, error.right) == ("topic", "Describe"))
