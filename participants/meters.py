"""What a participant counts, once a batch, after it is committed; and what it tells when it is scraped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import Metric

from kafka_saga.messaging.meters import BATCH_SIZE, DEAD_LETTERED, DUPLICATES
from kafka_saga.participants.command import Command
from kafka_saga.participants.guard import Handled
from kafka_saga.runtime.metrics import SECONDS, SIZES, Histogram, Meter
from kafka_saga.schemas.envelope import Outcome

COMMANDS: Final = Meter(
    "saga_participant_commands_total",
    "Commands that were answered, by outcome; of a type that is not known: unknown",
    ("service", "command", "outcome"),
)
HANDLING: Final = Meter(
    "saga_participant_handling_seconds",
    "How long a command took in its transaction, before the commit",
    ("service", "command"),
)
CALLS: Final = Meter("saga_participant_calls_total", "Calls to the outside that were begun", ("service", "command"))

_UNKNOWN = "unknown"
"""A stranger may make up types of commands; a label must not grow with them."""


class WorkerMeters:
    """Counts of one worker's life."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.dead_lettered: Counter[tuple[str, str]] = Counter()
        """By topic and stage."""
        self._commands: Counter[tuple[str, str, str]] = Counter()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._duplicates: Counter[str] = Counter()
        self._handling = Histogram(HANDLING, SECONDS)
        self._batch_sizes = Histogram(BATCH_SIZE, SIZES)

    def took(self, command: Command, seconds: float) -> None:
        """A command was handled, or answered with what is stored."""
        self._handling.observe((self._service, _name(command)), seconds)

    def handled(self, handled: Sequence[Handled]) -> None:
        """A batch was written."""
        if handled:
            self._batch_sizes.observe((), len(handled))
        service = self._service
        for command, reply, is_fresh, call, _ in handled:
            name = _name(command)
            if reply is not None:
                outcome = "success" if reply.outcome is Outcome.SUCCESS else reply.outcome.value
                self._commands[service, name, outcome] += 1
                if not is_fresh and command.record is not None and name is not _UNKNOWN:
                    self._duplicates[command.record.topic] += 1
            if call is not None:
                self._calls[service, name] += 1

    def families(self) -> Iterator[Metric]:
        """What a scrape shows."""
        yield COMMANDS.counted(self._commands)
        yield self._handling.family()
        yield CALLS.counted(self._calls)
        yield DUPLICATES.counted(self._duplicates)
        yield DEAD_LETTERED.counted(self.dead_lettered)
        yield self._batch_sizes.family()


def _name(command: Command) -> str:
    return _UNKNOWN if command.handler is None else command.head.command_type
