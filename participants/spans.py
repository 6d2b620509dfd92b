"""What a participant's traces are made of: a `process` span around each command, and one around each call it makes.

Handlers run inside their span's context, so what they and their libraries trace nests there; the reply carries it on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Tracer

from kafka_saga.messaging.records import Message
from kafka_saga.messaging.spans import about_record, about_saga, created, operation
from kafka_saga.participants.calls import Settled
from kafka_saga.participants.command import Command
from kafka_saga.participants.guard import Handled, Work, command_of_work
from kafka_saga.participants.outcomes import Reply
from kafka_saga.participants.replying import message_of
from kafka_saga.runtime.tracing import context_of, failed, text_of
from kafka_saga.schemas.envelope import Outcome


class WorkerSpans:
    """Makes the spans of one worker."""

    def __init__(self, tracer: Tracer, group: str) -> None:
        self._tracer = tracer
        self._group = group

    async def around(self, work: Work, answer: Callable[[], Awaitable[Handled]]) -> Handled:
        """What `answer` makes of `work`, inside a span, whose context the reply and a call go on with."""
        command = command_of_work(work)
        attributes = operation("process", "process") | about_saga(command.head.parsed_id, command.head.attempt)
        if command.record is not None:
            attributes |= about_record(command.record, self._group)
        name = "settle" if isinstance(work, Settled) else "process"
        where = command.record.topic if command.record is not None else command.head.command_type
        span = self._tracer.start_span(f"{name} {where}", context_of(command.head.trace), SpanKind.CONSUMER, attributes)
        with _current(span):
            handled = await answer()
        if handled.reply is not None:
            span.set_attribute("saga.outcome", handled.reply.outcome.value)
            if handled.reply.outcome is Outcome.RETRY:
                failed(span, "retry", handled.reply.error or "")
        span.end()
        carried = _in_trace(handled.command, text_of(span))
        call = handled.call and handled.call._replace(command=_in_trace(handled.call.command, text_of(span)))
        return handled._replace(command=carried, call=call)

    def message_of(self, command: Command, reply: Reply, source: str) -> Message:
        """The message of a reply, with a context of its own inside the span of its command."""
        return created(self._tracer, message_of(command, reply, source), {})

    @contextmanager
    def calling(self, command: Command) -> Iterator[None]:
        """Around a call to the outside, which is made between two transactions."""
        span = self._tracer.start_span(
            f"call {command.head.command_type}",
            context_of(command.head.trace),
            attributes=about_saga(command.head.parsed_id, command.head.attempt),
        )
        with _current(span):
            yield
        span.end()


def _in_trace(command: Command, text: str) -> Command:
    return command._replace(head=command.head._replace(trace=text))


@contextmanager
def _current(span: Span) -> Iterator[None]:
    """Let what is traced inside nest in `span`, which is ended where it fails."""
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield
    except BaseException as error:
        failed(span, type(error).__name__, str(error))
        span.end()
        raise
    finally:
        context.detach(token)
