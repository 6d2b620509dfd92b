"""Stage 1: records into requests and replies; what cannot be read is set aside with its cause (I19)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.dead_letters import dead_letter
from kafka_saga.messaging.envelopes import open_record
from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.orchestrator.engine.inputs import Inputs, Reply, Request, SetAside, Taken, asked_by
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.port import Advance
from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.codec import decode_canonical, decode_trusted, fit, framing
from kafka_saga.schemas.envelope import read_reply
from kafka_saga.schemas.ids import SagaRef, check_saga_id
from kafka_saga.schemas.reading import rewritten
from kafka_saga.schemas.topics import TopicNames
from kafka_saga.schemas.traces import read_trace

_log = log("intake")


class Intake:
    """Reads records into the inputs of a batch, and keeps the offsets the store is at."""

    def __init__(self, *, registry: Registry, topics: TopicNames, group: str) -> None:
        self._registry = registry
        self._group = group
        self._request_types = {topics.requests(saga_type): saga_type for saga_type in registry.saga_types}
        self.request_topics = tuple(self._request_types)
        self.reply_topics = tuple(topics.replies_of(service) for service in registry.services)
        self.topics = self.request_topics + self.reply_topics
        self.stored: dict[TopicPartition, int] = {}
        """The next offset of each partition, as the store has it (R23)."""

    def read(self, records: Iterable[Record], inputs: Inputs) -> None:
        """Sort `records` into `inputs`."""
        ends: dict[tuple[str, int], int] = {}
        for record in records:
            topic, place = record.topic, (record.topic, record.partition)
            ends[place] = record.offset + 1
            try:
                saga_type = self._request_types.get(topic)
                if saga_type is None:
                    inputs.replies.append(self._reply(record))
                else:
                    inputs.requests.append(self._request(record, saga_type))
            except ContractError as error:
                self.set_aside(inputs.set_aside, record, error, inputs.now)
        self._advance(ends, inputs)

    def again(self, taken: Sequence[Taken], resets: Iterable[Reset], now: int) -> Inputs:
        """The inputs of another try with what is in hand: nothing is decoded twice (R67)."""
        inputs = Inputs(now)
        for reset in resets:
            self.reset(reset, inputs)
        for one in taken:
            match one:
                case Request():
                    inputs.requests.append(one)
                case Reply():
                    inputs.replies.append(one)
                case SetAside():
                    inputs.set_aside.append(one)
        self._advance({(one.record.topic, one.record.partition): one.record.offset + 1 for one in taken}, inputs)
        return inputs

    def _advance(self, ends: Mapping[tuple[str, int], int], inputs: Inputs) -> None:
        for place, end in ends.items():
            tp = TopicPartition(*place)
            inputs.offsets[tp] = Advance(self.stored.get(tp), end)

    def reset(self, reset: Reset, inputs: Inputs) -> None:
        """The topic has lost the stored offset, and is read on elsewhere.

        That is stored at once: a topic that was created anew may grow past the old offset while nobody reads, and a
        later start would pass over everything before it (R23).
        """
        known = self.stored.get(reset.partition)
        if known is not None:
            inputs.offsets[reset.partition] = Advance(known, reset.position)
            inputs.resets.append(reset)

    def set_aside(
        self, into: list[SetAside], record: Record, error: ContractError, now: int, stage: str = "decode"
    ) -> None:
        """Keep a record that cannot be used, with its cause, as a dead letter."""
        _log.warning(
            "message.dead_lettered",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            cause=error.cause,
            error=str(error),
        )
        letter = dead_letter(record, cause=error.cause, message=str(error), stage=stage, group=self._group, at_ms=now)
        into.append(SetAside(record, letter))

    def _request(self, record: Record, saga_type: str) -> Request:
        headers, value = open_record(record)
        definition = self._registry.active(saga_type)
        assert definition is not None, "only topics of registered types are read"
        document, canonical = decode_canonical(value)
        assert value is not None, "it was read"
        body = rewritten(definition.request, fit(definition.request, value), value)
        saga_id = document.get(definition.id_from) if definition.id_from is not None else None
        if saga_id is None:
            saga_id = _key_text(record.key, definition.id_from)
        ref = SagaRef(saga_type, check_saga_id(saga_id))
        return Request(
            ref=ref,
            definition=definition,
            document=decode_trusted(body),
            document_bytes=len(body),
            request_hash=hashlib.sha256(canonical).digest(),
            record=record,
            trace=read_trace(headers),
            asked_by=asked_by(ref, headers, record),
        )

    def _reply(self, record: Record) -> Reply:
        headers, value = open_record(record)
        head = read_reply(headers, record.key)
        return Reply(head.command.ref, head, value, record)


def _key_text(key: bytes | None, id_from: str | None) -> str:
    if key is None:
        where = f"the field '{id_from}' or the record key" if id_from is not None else "the record key"
        raise ContractError(Cause.BAD_ID, f"no saga id: set {where}")
    framed = framing(key)
    if framed is not None:
        raise ContractError(Cause.BAD_ID, f"the record key is {framed}: send the saga id as plain text")
    return key.decode(errors="replace")
