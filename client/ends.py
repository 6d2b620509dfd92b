"""What a client remembers of sagas: ends, refusals, and where they turned back. Bounded in time, number and bytes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from kafka_saga.client.outcome import PARKED
from kafka_saga.runtime.limits import CLIENT_ENDS_BYTES_MAX, CLIENT_ENDS_MAX, CLIENT_REFUSALS_MAX
from kafka_saga.schemas.ids import SagaRef


class End(NamedTuple):
    """The last event of a saga, as it was read."""

    state: str
    sequence: int
    value: bytes
    at_ms: int
    """When it was told."""
    read_at_ms: int
    """When it was read here."""
    turned_at: int | None


class Refusal(NamedTuple):
    """The dead letter of a request."""

    cause: str
    message: str
    position: str


@dataclass(slots=True)
class Ends:
    """The newest ends, by saga. What is older than `window_ms`, or is crowded out by newer ones, is forgotten."""

    window_ms: int
    count_max: int = CLIENT_ENDS_MAX
    bytes_max: int = CLIENT_ENDS_BYTES_MAX
    bytes: int = 0
    _ends: OrderedDict[SagaRef, End] = field(default_factory=OrderedDict)
    _turned: OrderedDict[SagaRef, int] = field(default_factory=OrderedDict)
    _refusals: OrderedDict[SagaRef, Refusal] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._ends)

    def end_of(self, ref: SagaRef, now_ms: int) -> End | None:
        """How a saga ended, where that is known."""
        self._forget(now_ms)
        return self._ends.get(ref)

    def refusal_of(self, ref: SagaRef) -> Refusal | None:
        """Why a saga's request was set aside, where nothing was heard of the saga since."""
        return self._refusals.get(ref)

    def ended(self, ref: SagaRef, end: End) -> bool:
        """Note an end; False where a newer one is known, or this one was read before."""
        known = self._ends.get(ref)
        if known is not None and _rank(known) >= _rank(end):
            return False
        if known is not None:
            self._drop(ref)
        self._ends[ref] = end
        self.bytes += len(end.value)
        self._refusals.pop(ref, None)
        if end.state != PARKED:  # who is parked may go on undoing
            self._turned.pop(ref, None)
        self._forget(end.read_at_ms)
        return True

    def goes_on(self, ref: SagaRef, sequence: int) -> None:
        """A saga told something that is no end: what was parked is not any more."""
        known = self._ends.get(ref)
        if known is not None and known.sequence < sequence:
            self._drop(ref)
        self._refusals.pop(ref, None)

    def turned(self, ref: SagaRef, step: int) -> None:
        """A saga turned back at `step`."""
        self._turned.setdefault(ref, step)
        if len(self._turned) > self.count_max:
            self._turned.popitem(last=False)

    def turned_at(self, ref: SagaRef) -> int | None:
        """The step at which a saga turned back, where that was seen."""
        return self._turned.get(ref)

    def refused(self, ref: SagaRef, refusal: Refusal) -> None:
        """Note that a request was set aside."""
        self._refusals[ref] = refusal
        if len(self._refusals) > CLIENT_REFUSALS_MAX:
            self._refusals.popitem(last=False)

    def asked_again(self, ref: SagaRef) -> None:
        """A request for it is sent: an earlier refusal says nothing of this one."""
        self._refusals.pop(ref, None)

    def _forget(self, now_ms: int) -> None:
        while self._ends:
            ref, oldest = next(iter(self._ends.items()))
            fits = len(self._ends) <= self.count_max and self.bytes <= self.bytes_max
            if fits and now_ms - oldest.read_at_ms <= self.window_ms:
                return
            self._drop(ref)

    def _drop(self, ref: SagaRef) -> None:
        self.bytes -= len(self._ends.pop(ref).value)


def _rank(end: End) -> tuple[int, bool]:
    """Which of two words counts: the later one, and of a teller without sequences the one that is final."""
    return end.sequence, end.state != PARKED
