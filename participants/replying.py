"""A reply as the message that carries it."""

from __future__ import annotations

from kafka_saga.messaging.records import Message
from kafka_saga.participants.command import Command
from kafka_saga.participants.outcomes import Reply
from kafka_saga.schemas.envelope import Effect, Outcome, reply_headers


def message_of(command: Command, reply: Reply, source: str) -> Message:
    """What is published to answer `command`; `source` names the service."""
    head, handler = command.head, command.handler
    if reply.outcome is Outcome.SUCCESS and reply.effect is Effect.DONE and handler is not None:
        reply_type = handler.reply_type
    else:
        reply_type = f"{head.command_type}.{reply.outcome.value}"
    headers = reply_headers(
        head,
        reply_type=reply_type,
        source=source,
        outcome=reply.outcome,
        effect=reply.effect,
        reason=reply.reason,
    )
    return Message(head.reply_to, head.parsed_id.saga_id.encode(), reply.body, headers)
