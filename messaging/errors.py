"""Kafka's errors in our words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar, Literal, NamedTuple

from kafka_saga.messaging.records import Message
from kafka_saga.runtime.errors import BrokerUnavailableError, NotFoundError, RefusedError, SagaError, StoreRefusedError
from kafka_saga.runtime.wording import counted

RefusalReason = Literal[
    "too_large", "timestamp", "unknown_topic", "not_authorised", "refused", "unexplained", "unavailable"
]
"""Why one topic does not take messages while the broker as such answers."""


class UnknownTopicError(NotFoundError):
    """The topic does not exist."""

    code = "unknown_topic"

    def __init__(self, topics: Sequence[str]) -> None:
        """`topics` are the missing ones."""
        names = ", ".join(topics)
        noun = "topic does" if len(topics) == 1 else "topics do"
        super().__init__(f"the {noun} not exist: {names}. Create with: saga topics create")
        self.topics = tuple(topics)


class GroupInUseError(StoreRefusedError):
    """A consumer group has members, and none of ours ever is one: another program reads by it."""

    def __init__(self, group: str) -> None:
        super().__init__(f"consumer group '{group}' has members, which are of a program that is not ours")


class NotAllowedError(RefusedError):
    """The broker's authorizer does not let this principal do it: grant the right, or log in as somebody else."""

    code = "not_allowed"

    def __init__(self, principal: str, right: str, kind: str, name: str = "") -> None:
        """`principal` lacks `right` (Read, Write …) on the `kind` (topic, group or cluster) called `name`."""
        super().__init__(f"{lacking(principal, right, kind, name)}: {GRANT}")
        self.principal, self.right, self.kind, self.name = principal, right, kind, name

    @classmethod
    def to_read(cls, principal: str, topics: str | Collection[str]) -> NotAllowedError:
        """For what aiokafka names: one topic, or a set of them."""
        return cls(principal, "Read", "topic", topics if isinstance(topics, str) else ", ".join(sorted(topics)))


GRANT = "have it granted (`saga topics acls` prints what each role needs)"


def lacking(principal: str, right: str, kind: str, name: str = "") -> str:
    """`User:payment lacks the right Write on topic payment.replies`."""
    return f"{principal} lacks the right {right} on {f'{kind} {name}'.strip() if name else f'the {kind}'}"


class BrokerUnreachableError(BrokerUnavailableError):
    """No broker answers at the address we were given; one may, later."""

    code = "broker_unreachable"

    def __init__(self, found: str, remedy: str) -> None:
        """`found` says what is wrong, `remedy` what to do about it."""
        super().__init__(f"{found}: {remedy}")
        self.found = found
        self.remedy = remedy

    @classmethod
    def nobody_at(cls, bootstrap_servers: str) -> BrokerUnreachableError:
        """Nothing listens there."""
        return cls(
            f"cannot reach Kafka at {bootstrap_servers}",
            "is it running? `saga up` starts one; "
            "another address is set with --bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS",
        )


class BrokerRefusesError(BrokerUnreachableError):
    """A broker is there and does not take us: a setting is wrong, and waiting does not help."""

    code = "broker_refuses"
    retryable = False


class Parted(NamedTuple):
    """The messages of a call that was refused, by what became of them; each in their order."""

    refused: list[Message]
    left: list[Message]
    """Not known to be stored, and nothing is against sending them again."""
    stored: list[Message]


class PublishRefusedError(SagaError):
    """The broker refused messages of one topic: sending the same ones again at once cannot help."""

    code: ClassVar[str] = "publish_refused"
    exit_code: ClassVar[int] = 4

    def __init__(
        self,
        topic: str,
        reason: RefusalReason,
        detail: str,
        messages: Sequence[Message],
        left: Sequence[Message] | None = None,
    ) -> None:
        """`messages`, all for `topic`, were refused; `left` of the same call are not stored and may be sent again.

        Without `left` nothing is known of the others: they may be stored or not.
        """
        noun = counted(len(messages), "message")
        super().__init__(f"the broker refused {noun} for topic {topic}: {detail}")
        self.topic = topic
        self.reason = reason
        self.detail = detail
        self.messages = tuple(messages)
        self.left = None if left is None else tuple(left)

    def part(self, messages: Iterable[Message]) -> Parted:
        """What became of `messages`, those of the refused call; all of the topic are refused where none is named."""
        refused = set(map(id, self.messages))
        left = None if self.left is None else set(map(id, self.left))
        parted = Parted([], [], [])
        for message in messages:
            if id(message) in refused or (not refused and message.topic == self.topic):
                parted.refused.append(message)
            elif left is None or id(message) in left:
                parted.left.append(message)
            else:
                parted.stored.append(message)
        return parted
