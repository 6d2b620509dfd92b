"""What an orchestrator's traces are made of: all of it belongs to the trace that the saga keeps.

A saga outlives every span, so none is held open for it: its request is processed in one, which the others are children
of, and what has ended is told afterwards, with the times that the store knows.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.trace import Span, SpanKind, Tracer

from kafka_saga.messaging.records import Record
from kafka_saga.messaging.spans import Attributes, about_record, about_saga, created, operation, settled, trace_of
from kafka_saga.orchestrator.engine.decide import Decided
from kafka_saga.orchestrator.engine.inputs import Reply, Request
from kafka_saga.orchestrator.machine.saga import Saga, StepState
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState, StepStatus
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.tracing import at_ns, context_of, failed, link_to, text_of
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX

_PHASES: Final = {StepStatus.IN_PROGRESS: Phase.FORWARD, StepStatus.COMPENSATING: Phase.COMPENSATE}
_OUTCOMES: Final = {
    StepStatus.SUCCESS: "success",
    StepStatus.FAILED: "failure",
    StepStatus.COMPENSATED: "compensated",
    StepStatus.NOTHING_TO_UNDO: "nothing_to_undo",
    StepStatus.IN_DOUBT: "in_doubt",
}


class EngineSpans:
    """Makes the spans of one engine, a batch at a time; what is rolled back leaves none."""

    def __init__(self, tracer: Tracer, registry: Registry, group: str, clock: Clock) -> None:
        self._tracer = tracer
        self._registry = registry
        self._group = group
        self._clock = clock
        self._open: list[Span] = []
        self._began_ns = 0

    def accepted(self, request: Request) -> str:
        """A request was accepted; the trace that its saga keeps: the caller's, where there is one."""
        attributes = self._processing(request.record) | {
            "saga.type": request.ref.saga_type,
            "messaging.message.conversation_id": request.ref.saga_id,
        }
        span = self._tracer.start_span(
            f"process {request.record.topic}", context_of(request.trace), SpanKind.CONSUMER, attributes
        )
        self._open.append(span)
        return text_of(span)

    def replied(self, reply: Reply, saga: Saga) -> None:
        """A reply was given to its saga."""
        if saga.trace is None:
            return  # it was accepted before anybody collected spans
        attributes = self._processing(reply.record) | about_saga(reply.head.command, reply.head.attempt)
        attributes["saga.outcome"] = reply.head.outcome.value
        link = link_to(trace_of(reply.record))
        span = self._tracer.start_span(
            f"process {reply.record.topic}",
            context_of(saga.trace),
            SpanKind.CONSUMER,
            attributes,
            [] if link is None else [link],
        )
        self._open.append(span)

    def decided(self, decided: Decided) -> None:
        """Give every message of the batch a context of its own; dead letters keep what they came with."""
        self._began_ns = at_ns(self._clock.now_ms())
        batch = decided.batch
        batch.messages = [
            message if message.topic.startswith(DEAD_LETTER_PREFIX) else created(self._tracer, message, {})
            for message in batch.messages
        ]

    def committed(self, decided: Decided) -> None:
        """The batch is written: end its spans, and tell of the steps and sagas that ended with it."""
        taken = len(self._open)
        for span in self._open:
            span.end()
        self._open.clear()
        if taken:
            settled(self._tracer, self._group, taken, self._began_ns)
        for before, saga in decided.moved:
            if saga.trace is not None:
                if before is not None:
                    self._tell_steps(before, saga)
                self._tell_end(before, saga)

    def undone(self) -> None:
        """It is not: what is done again has spans of its own."""
        self._open.clear()

    def _processing(self, record: Record) -> Attributes:
        return operation("process", "process") | about_record(record, self._group)

    def _tell_steps(self, before: Saga, saga: Saga) -> None:
        definition = self._registry.get(saga.ref.saga_type, saga.definition_version)
        if definition is None:
            return
        for step, was, now in zip(definition.steps, before.steps, saga.steps, strict=True):
            phase = _PHASES.get(was.status)
            outcome = _OUTCOMES.get(now.status, "retried")
            if phase is not None and was.sent_at is not None and _has_ended(was, now):
                attributes: Attributes = {
                    "saga.type": saga.ref.saga_type,
                    "saga.step": step.name,
                    "saga.phase": phase.value,
                    "saga.attempt": was.command_attempt(phase),
                    "saga.outcome": outcome,
                    "messaging.message.conversation_id": saga.ref.saga_id,
                }
                self._tell(f"step {step.name}", saga, was.sent_at, attributes, error=_ERRORS.get(outcome, ""))

    def _tell_end(self, before: Saga | None, saga: Saga) -> None:
        if before is not None and before.state is saga.state:
            return
        if saga.state in TERMINAL or saga.state is SagaState.PARKED:
            attributes: Attributes = {
                "saga.type": saga.ref.saga_type,
                "saga.outcome": saga.state.value.lower(),
                "messaging.message.conversation_id": saga.ref.saga_id,
            }
            error = "" if saga.state is not SagaState.PARKED or saga.parked is None else saga.parked.reason.value
            self._tell(f"saga {saga.ref.saga_type}", saga, saga.created_at, attributes, error=error)

    def _tell(self, name: str, saga: Saga, began_at: int, attributes: Attributes, *, error: str) -> None:
        span = self._tracer.start_span(name, context_of(saga.trace), attributes=attributes, start_time=at_ns(began_at))
        if error:
            failed(span, error)
        span.end(at_ns(saga.updated_at))


_ERRORS: Final = {"failure": "failure", "in_doubt": "in_doubt", "retried": "retried"}


def _has_ended(was: StepState, now: StepState) -> bool:
    """Whether the attempt that was under way is over: it has its answer, or its time is up. A backoff is no attempt."""
    if now.status is not was.status:
        return True
    return was.deadline_at is not None and (now.sent_at != was.sent_at or now.deadline_at is None)
