"""Topic names (design §4). Dots only, lower case, an optional prefix; one reply topic per service."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field

DEAD_LETTER_PREFIX = "dlq."

_REPLIES = r"^([a-zA-Z0-9_\-]+\.)*\{service\}\.replies([.\-][a-zA-Z0-9._\-]+)?$"


class TopicNames(BaseModel):
    """How topics are called here.

    Attributes:
        prefix: put before every name, for shared clusters: `shop.` gives `shop.order.requests`.
        replies: the reply topic of a service. A second orchestrator store on the same services sets its own (R13):
            `{service}.replies.store-2`. Participants answer to nothing else than what `reply_pattern` allows.

    """

    model_config = ConfigDict(frozen=True)

    prefix: str = Field(
        default="", pattern=r"^([a-zA-Z0-9_\-]+\.)*$", max_length=100, description="put before every topic's name"
    )
    replies: str = Field(
        default="{service}.replies",
        max_length=64,
        pattern=_REPLIES,
        description="a service's reply topic; a second orchestrator has its own",
    )

    def requests(self, saga_type: str) -> str:
        """Where anyone asks for a saga of this type."""
        return f"{self.prefix}{saga_type}.requests"

    def events(self, saga_type: str) -> str:
        """Where sagas of this type say what became of them."""
        return f"{self.prefix}{saga_type}.events"

    def commands(self, service: str) -> str:
        """Where a service reads its commands."""
        return f"{self.prefix}{service}.commands"

    def replies_of(self, service: str) -> str:
        """Where a service's replies are read by this orchestrator."""
        return self.prefix + self.replies.format(service=service)

    @property
    def handled_dead_letters(self) -> str:
        """Where it is noted which dead letters were sent again or discarded. It must not begin like one of theirs."""
        return f"{self.prefix}dead-letters.handled"

    def reply_pattern(self, service: str) -> re.Pattern[str]:
        """The reply topics a service answers to (R13): its own, of whichever orchestrator store."""
        word = r"[a-zA-Z0-9_\-]+"
        own = rf"{re.escape(self.prefix)}({word}\.)*{re.escape(service)}\.replies"
        return re.compile(rf"{own}([.\-][a-zA-Z0-9._\-]+)?\Z")


def dead_letter_topic(topic: str) -> str:
    """Where the unreadable records of `topic` go."""
    return DEAD_LETTER_PREFIX + topic
