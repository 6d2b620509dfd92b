"""From records to commands. What cannot be a command becomes a dead letter; nothing here can fail (R12, R13)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from kafka_saga.messaging.dead_letters import dead_letter
from kafka_saga.messaging.envelopes import open_record
from kafka_saga.messaging.records import Message, Record, TopicPartition
from kafka_saga.participants.command import Command, command_of
from kafka_saga.participants.handlers import Participant
from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.envelope import read_command
from kafka_saga.schemas.topics import TopicNames

_log = log("intake")


@dataclass(slots=True)
class Batch:
    """Records, read."""

    commands: list[Command] = field(default_factory=list)
    dead_letters: list[Message] = field(default_factory=list)
    following: dict[TopicPartition, int] = field(default_factory=dict)
    """The offset after the last record, per partition."""


class Intake:
    """Reads the headers of a participant's commands."""

    def __init__(
        self,
        participant: Participant,
        topics: TopicNames,
        *,
        group: str,
        counts: Counter[tuple[str, str]] | None = None,
    ) -> None:
        """`group` is the consumer group that dead letters name; `counts` are of dead letters, by topic and stage."""
        self._counts = Counter() if counts is None else counts
        self._participant = participant
        self._reply_pattern = topics.reply_pattern(participant.name)
        self._reply_topics: set[str] = set()
        self._group = group

    def read(self, records: Sequence[Record], now_ms: int) -> Batch:
        """Sort `records` into commands and dead letters, each in their order."""
        batch = Batch()
        following: dict[tuple[str, int], int] = {}
        for record in records:
            try:
                batch.commands.append(self._command(record))
            except ContractError as error:
                batch.dead_letters.append(self.set_aside(record, error, stage="decode", now_ms=now_ms))
            following[record.topic, record.partition] = record.offset + 1
        batch.following = {TopicPartition(*partition): offset for partition, offset in following.items()}
        return batch

    def set_aside(self, record: Record, error: ContractError, *, stage: str, now_ms: int) -> Message:
        """The dead letter of `record`, counted and logged."""
        self._counts[record.topic, stage] += 1
        _log.warning(
            "message.dead_lettered",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            cause=str(error.cause),
            error=str(error),
        )
        return dead_letter(
            record,
            cause=str(error.cause),
            message=str(error),
            stage=stage,
            group=self._group,
            at_ms=now_ms,
            exception_class=type(error).__name__,
        )

    def _command(self, record: Record) -> Command:
        headers, value = open_record(record)
        head = read_command(headers, record.key)
        if head.reply_to not in self._reply_topics:
            self._check_reply_topic(head.reply_to)
        handler = self._participant.handlers.get(head.command_type)
        if handler is not None and handler.phase is not head.parsed_id.phase:
            raise ContractError(
                Cause.BAD_HEADER,
                f"the command's id says {head.parsed_id.phase}, but {head.command_type} is for {handler.phase}",
            )
        return command_of(head, value, handler, record)

    def _check_reply_topic(self, topic: str) -> None:
        if not self._reply_pattern.match(topic):
            name = self._participant.name
            raise ContractError(
                Cause.BAD_REPLY_TOPIC, f"{name} answers to its own reply topics, not to {topic[:250]!r}"
            )
        # Few exist; a sender who makes up names of the right form must not fill the memory.
        if len(self._reply_topics) < _REPLY_TOPICS_KNOWN_MAX:
            self._reply_topics.add(topic)


_REPLY_TOPICS_KNOWN_MAX = 1_000
