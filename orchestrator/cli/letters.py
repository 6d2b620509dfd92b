"""Which dead letters: the flags that all `saga dlq` commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.options import read_duration
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.operations.dead_letters.letters import DeadLetterFilter
from kafka_saga.orchestrator.operations.dead_letters.moments import read_date
from kafka_saga.orchestrator.operations.kafka.messages import id_fields
from kafka_saga.orchestrator.operations.kafka.needed_topics import dead_letter_topics_of
from kafka_saga.runtime.clock import SystemClock, rfc3339
from kafka_saga.runtime.errors import UsageError

Handled = Annotated[
    bool, Parameter(name="--all", negative="", help="Also those that were redriven or discarded", show_default=False)
]


@Parameter(name="*", group=Group("Which dead letters", sort_key=1))
@dataclass(frozen=True, slots=True)
class LetterFlags:
    """What dead letters are chosen by."""

    topic: Annotated[str | None, Parameter(help="Only of this topic, e.g. order.requests")] = None
    cause: Annotated[str | None, Parameter(help="Only with this cause, e.g. conflict")] = None
    saga: Annotated[
        str | None, Parameter(help="Only of the saga with this id, by key, headers or the request itself")
    ] = None
    since: Annotated[str | None, Parameter(help="Set aside since: 2h ago, or 2026-11-23T10:00 (UTC)")] = None
    until: Annotated[str | None, Parameter(help="Set aside before: 15m ago, or 2026-11-23T11:00 (UTC)")] = None

    every_topic: Annotated[
        bool,
        Parameter("--all-topics", negative="", help="Also of topics that no saga here needs", show_default=False),
    ] = False

    def filter(self, settings: Settings, *, handled: bool = False) -> DeadLetterFilter:
        """The filter that they make; a length of time is counted back from now.

        Raises:
            UsageError: --since or --until is neither a length of time nor a moment.
            ConfigError, DefinitionError: a module or a definition is wrong, so nobody knows which topics are ours.

        """
        now = SystemClock().now_ms()
        since = None if self.since is None else rfc3339(read_moment(self.since, now))
        until = None if self.until is None else rfc3339(read_moment(self.until, now))
        registry = registry_of(settings)
        among = None if self.every_topic else dead_letter_topics_of(registry, settings.topics)
        fields = id_fields(registry, settings.topics)
        return DeadLetterFilter(
            self.topic, self.cause, self.saga, since, until, handled=handled, among=among, fields=fields
        )


LETTERS = LetterFlags()


def read_moment(text: str, now_ms: int) -> int:
    """`2h` (so long before `now_ms`), `2026-11-23` or `2026-11-23T10:00:00Z`, as milliseconds since 1970.

    Raises:
        UsageError: it is none of these.

    """
    try:
        if "-" not in text:
            return max(0, now_ms - read_duration(text))
        return read_date(text)
    except UsageError as error:
        raise UsageError(f"'{text}' is no moment: write 2h (ago), 2026-11-23 or 2026-11-23T10:00:00Z") from error
