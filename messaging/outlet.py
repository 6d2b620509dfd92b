"""The way out: what is refused gets its answer, and a topic that takes nothing holds back its own messages only (R56).

A parcel is what its owner must not forget before every message of it is acknowledged or answered: a row of the
orchestrator's outbox, or a participant's batch with the offsets behind it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kafka_saga.messaging.dead_letters import instead_of
from kafka_saga.messaging.errors import PublishRefusedError, RefusalReason
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.refusals import IN_DOUBT, Answer, MessageKind, answer, kind_of
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.limits import HELD_MESSAGES_MAX, HOLD_MS_MAX
from kafka_saga.runtime.telemetry import log

_log = log("publish")

RETRY_MS_MIN = 100
RETRY_MS_MAX = 5_000
SAY_AGAIN = 4
"""A hold is told of when it begins, and again after so many times as long as the last time."""


class Sender(Protocol):
    """What publishing needs of a producer."""

    async def publish(self, messages: list[Message]) -> None: ...


@dataclass(slots=True, eq=False)
class Parcel:
    """Messages that belong together.

    Attributes:
        messages: in their order.
        ticket: by which its owner knows it.
        may_be_out: whether copies may be stored although that is not known: after a crash, or a broken connection.
        owed: how many are neither acknowledged nor answered, once it was sent.
        told: those that will not be sent and whose senders know, by identity.

    """

    messages: Sequence[Message]
    ticket: Any = None
    may_be_out: bool = False
    owed: int = 0
    told: set[int] = field(default_factory=set)

    @property
    def left(self) -> list[Message]:
        """What a next life may still publish: never what somebody was told will not be sent."""
        return [message for message in self.messages if id(message) not in self.told]


class Unsent(NamedTuple):
    """A message that will not be sent, whose sender must be told."""

    parcel: Parcel
    message: Message
    reason: RefusalReason
    detail: str
    may_be_out: bool


@dataclass(slots=True)
class Hold:
    """A topic that takes nothing, and what waits for it."""

    topic: str
    since_ms: int
    reason: RefusalReason
    detail: str
    next_at_ms: int
    wait_ms: int = RETRY_MS_MIN
    said_at_ms: int = 0
    items: deque[tuple[Parcel, Message]] = field(default_factory=deque)


class Outlet:
    """Publishes parcels; `settled` and `unsent` are for its owner to take."""

    def __init__(
        self,
        sender: Sender,
        clock: Clock,
        *,
        kind_of: Callable[[str], MessageKind] = kind_of,
        in_brief: Callable[[Message, PublishRefusedError], Message | None] = lambda *_: None,
        is_closing: Callable[[], bool] = lambda: False,
    ) -> None:
        """Nothing is sent before `send`.

        Args:
            sender: how.
            clock: for backoffs and holds.
            kind_of: what is published to a topic.
            in_brief: what a message that is too large is replaced by, beside its dead letter; None where nothing can.
            is_closing: whether to stop waiting for a broker that is away.

        """
        self._sender = sender
        self._clock = clock
        self._kind_of = kind_of
        self._in_brief = in_brief
        self._is_closing = is_closing
        self.holds: dict[str, Hold] = {}
        self.settled: list[Parcel] = []
        """Parcels of which nothing is owed any more."""
        self.unsent: list[Unsent] = []
        """Commands whose sagas must be told; their parcels owe them until `told`."""
        self.counts: Counter[str] = Counter()
        self.interrupted = False
        """Whether the broker was away, or a hold ended, since the owner last looked."""

    def __repr__(self) -> str:
        return f"Outlet(held={self.held}, holds={sorted(self.holds)})"

    @property
    def held(self) -> int:
        """How many messages wait for topics that take nothing."""
        return sum(len(hold.items) for hold in self.holds.values())

    @property
    def held_ms(self) -> int:
        """For how long the first of these topics takes nothing."""
        return max((self._clock.monotonic_ms() - hold.since_ms for hold in self.holds.values()), default=0)

    def held_of(self, kind: MessageKind) -> int:
        """How many of them are of this kind."""
        return sum(len(hold.items) for topic, hold in self.holds.items() if self._kind_of(topic) is kind)

    def held_alone(self) -> list[tuple[Parcel, str]]:
        """Parcels of which only what one topic does not take is left, each with that topic."""
        found: list[tuple[Parcel, str]] = []
        for hold in self.holds.values():
            parcels = {id(parcel): parcel for parcel, _ in hold.items}
            counts = Counter(id(parcel) for parcel, _ in hold.items)
            found += [(parcel, hold.topic) for place, parcel in parcels.items() if parcel.owed == counts[place]]
        return found

    @property
    def retry_in_ms(self) -> int | None:
        """When a held topic is to be tried again; None where none is."""
        if not self.holds:
            return None
        return max(0, min(hold.next_at_ms for hold in self.holds.values()) - self._clock.monotonic_ms())

    async def wait(self, arrived: asyncio.Event) -> None:
        """Until something has `arrived`, or a topic that takes nothing is to be tried again."""
        retry_in_ms = self.retry_in_ms
        if retry_in_ms is None or arrived.is_set():
            await arrived.wait()
            return
        if not retry_in_ms:
            return
        waits = {asyncio.ensure_future(arrived.wait()), asyncio.ensure_future(self._clock.sleep(retry_in_ms))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def send(self, parcels: Sequence[Parcel]) -> bool:
        """Publish `parcels`, however long the broker is away; false when closed meanwhile."""
        for parcel in parcels:
            parcel.owed += 1  # until all of them have been looked at
        messages = [message for parcel in parcels for message in parcel.messages]
        owners: dict[int, Parcel] = {}
        if self.holds:
            owners = _owners(parcels)
            messages = self._without_held(messages, owners)
        wait_ms = RETRY_MS_MIN
        while messages:
            try:
                await self._sender.publish(messages)
            except BrokerUnavailableError as error:
                if self._is_closing():
                    return False
                self.interrupted = True
                for parcel in parcels:
                    parcel.may_be_out = True
                _log.warning("publish.unavailable", messages=len(messages), error=str(error), retry_ms=wait_ms)
                await self._clock.sleep(wait_ms)
                wait_ms = min(RETRY_MS_MAX, wait_ms * 2)
            except PublishRefusedError as error:
                owners = owners or _owners(parcels)
                messages = self._without_refused(messages, error, owners)
            else:
                break
        for parcel in parcels:
            self._settle(parcel)
        return True

    async def retry(self) -> None:
        """Try again the held topic whose time has come first: one only, so that `interrupted` is heeded at once."""
        hold = min(self.holds.values(), key=lambda one: one.next_at_ms)
        if hold.next_at_ms <= self._clock.monotonic_ms():
            await self._try(hold)

    def told(self, unsent: Iterable[Unsent]) -> None:
        """The senders know: nothing is owed for these any more."""
        for one in unsent:
            one.parcel.told.add(id(one.message))
            self._settle(one.parcel)

    def untold(self, unsent: Sequence[Unsent]) -> None:
        """What was told is not true: it is owed again."""
        self.unsent[:0] = unsent
        for one in unsent:
            one.parcel.told.discard(id(one.message))
            one.parcel.owed += 1
            if one.parcel in self.settled:
                self.settled.remove(one.parcel)

    def forget(self) -> None:
        """Owe nothing of what waits here any more: somebody else does."""
        self.holds.clear()
        self.settled.clear()
        self.unsent.clear()

    async def _try(self, hold: Hold) -> None:
        items = list(hold.items)
        messages = [message for _, message in items]
        try:
            if messages:
                await self._sender.publish(messages)
        except BrokerUnavailableError as error:
            for parcel, _ in items:
                parcel.may_be_out = True
            self._again(hold, hold.reason, str(error))
        except PublishRefusedError as error:
            self._refused_again(hold, error)
        else:
            if self.holds.get(hold.topic) is hold:  # it may have been forgotten meanwhile
                del self.holds[hold.topic]
            if items:
                self.interrupted = True  # waits for what was held begin now
                _log.info("publish.topic_takes_again", topic=hold.topic, messages=len(items))
            for parcel, _ in items:
                self._settle(parcel)

    def _refused_again(self, hold: Hold, error: PublishRefusedError) -> None:
        """Some may be stored now; of the others, each has its answer."""
        waiting = dict.fromkeys(map(id, error.messages))
        if error.left is not None:
            waiting |= dict.fromkeys(map(id, error.left))
        refused = dict.fromkeys(map(id, error.messages))
        too_long = self._clock.monotonic_ms() - hold.since_ms >= HOLD_MS_MAX
        items, hold.items = list(hold.items), deque()
        for parcel, message in items:
            if id(message) in refused:
                what = answer(error.reason, self._kind_of(message.topic), held_too_long=too_long)
                if what is Answer.HOLD:
                    hold.items.append((parcel, message))
                else:
                    self._answer(what, parcel, message, error)
                    self._settle(parcel)
            elif error.left is None or id(message) in waiting:
                hold.items.append((parcel, message))
            else:
                self._settle(parcel)
        self._again(hold, error.reason, error.detail)

    def _again(self, hold: Hold, reason: RefusalReason, detail: str) -> None:
        now = self._clock.monotonic_ms()
        hold.reason, hold.detail = reason, detail
        hold.next_at_ms = now + hold.wait_ms
        hold.wait_ms = min(RETRY_MS_MAX, hold.wait_ms * 2)
        if now - hold.since_ms >= SAY_AGAIN * (hold.said_at_ms - hold.since_ms) + RETRY_MS_MAX:
            hold.said_at_ms = now
            _say(hold)

    def _without_held(self, messages: list[Message], owners: dict[int, Parcel]) -> list[Message]:
        """Those that may go out; the others wait behind what waits for their topic already."""
        free: list[Message] = []
        for message in messages:
            hold = self.holds.get(message.topic)
            if hold is None:
                free.append(message)
            else:
                self._keep(hold, owners[id(message)], message)
        return free

    def _keep(self, hold: Hold, parcel: Parcel, message: Message) -> None:
        parcel.owed += 1
        hold.items.append((parcel, message))
        if self.held > HELD_MESSAGES_MAX:
            largest = max(self.holds.values(), key=lambda one: len(one.items))
            oldest, given_up = largest.items.popleft()
            error = PublishRefusedError(largest.topic, largest.reason, largest.detail, [given_up])
            what = answer(largest.reason, self._kind_of(largest.topic), held_too_long=True)
            self._answer(Answer.COUNT if what is Answer.HOLD else what, oldest, given_up, error)
            self._settle(oldest)

    def _without_refused(
        self, messages: list[Message], error: PublishRefusedError, owners: dict[int, Parcel]
    ) -> list[Message]:
        """What is still to be published: the others of the call, and what takes the place of those refused."""
        parted = error.part(messages)
        refused, stored = set(map(id, parted.refused)), set(map(id, parted.stored))
        kinds = answer(error.reason, self._kind_of(error.topic))
        hold = self._hold(error) if kinds is Answer.HOLD else None
        rest: list[Message] = []
        for message in messages:
            parcel = owners[id(message)]
            if hold is not None and message.topic == error.topic and id(message) not in stored:
                if error.reason in IN_DOUBT:
                    parcel.may_be_out = True
                self._keep(hold, parcel, message)  # the whole topic, or later ones would overtake
            elif id(message) in refused:
                self._answer(kinds, parcel, message, error, rest, owners)
            elif id(message) not in stored:
                rest.append(message)
        return rest

    def _hold(self, error: PublishRefusedError) -> Hold:
        hold = self.holds.get(error.topic)
        if hold is None:
            now = self._clock.monotonic_ms()
            hold = Hold(error.topic, now, error.reason, error.detail, now + RETRY_MS_MIN, said_at_ms=now)
            self.holds[error.topic] = hold
            _say(hold)
        return hold

    def _answer(  # noqa: PLR0917 -- the last two say where a substitute goes
        self,
        what: Answer,
        parcel: Parcel,
        message: Message,
        error: PublishRefusedError,
        rest: list[Message] | None = None,
        owners: dict[int, Parcel] | None = None,
    ) -> None:
        """Do `what` the table says with a refused message; its substitute goes into `rest`, or is held."""
        if what is Answer.TELL_SAGA:
            parcel.owed += 1
            self.unsent.append(Unsent(parcel, message, error.reason, error.detail, parcel.may_be_out))
            _log.error("publish.unsendable", topic=message.topic, reason=error.reason, error=str(error))
            return
        substitutes = [] if what is Answer.COUNT else self._substitutes(message, error)
        if not substitutes:
            self.counts[f"unsent_{error.reason}"] += 1
            fields = {name: value.decode(errors="replace") for name, value in message.headers if name in _TOLD}
            _log.error("publish.lost", topic=message.topic, key=_text(message.key), error=str(error), **fields)
            return
        _log.error("publish.set_aside", topic=message.topic, reason=error.reason, error=str(error))
        for instead in substitutes:
            if rest is None or owners is None:
                now = self._clock.monotonic_ms()
                hold = self.holds.setdefault(
                    instead.topic, Hold(instead.topic, now, error.reason, error.detail, now, said_at_ms=now)
                )
                self._keep(hold, parcel, instead)
            else:
                owners[id(instead)] = parcel
                rest.append(instead)

    def _substitutes(self, message: Message, error: PublishRefusedError) -> list[Message]:
        found = [instead_of(message, error, self._clock.now_ms())]
        if error.reason == "too_large":
            found.append(self._in_brief(message, error))
        return [one for one in found if one is not None]

    def _settle(self, parcel: Parcel) -> None:
        parcel.owed -= 1
        if not parcel.owed:
            self.settled.append(parcel)


_TOLD = frozenset({"ce_id", "ce_type", "__dlq.errors.topic", "__dlq.errors.partition", "__dlq.errors.offset"})
"""What a line about a lost message names: it is all that is left of it."""


def _owners(parcels: Sequence[Parcel]) -> dict[int, Parcel]:
    return {id(message): parcel for parcel in parcels for message in parcel.messages}


def _text(key: bytes | None) -> str:
    return "" if key is None else key.decode(errors="replace")


def _say(hold: Hold) -> None:
    why = "its messages wait here, in their order; others go on"
    _log.error(
        "publish.refused", topic=hold.topic, reason=hold.reason, error=hold.detail, waiting=len(hold.items), why=why
    )
