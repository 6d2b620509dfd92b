"""As much of a batch as one transaction can keep.

As a rule that is all of it. A handler whose SQL had the whole transaction rolled back costs the others nothing but
being done again: those before it first, then it alone is answered, then those behind it. A commit that is refused
(a deferred constraint) does not say whose fault it was, so the batch is halved until it does. Where another worker is
in the way (PostgreSQL only), the batch is done again, and then command by command, each in a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kafka_saga.participants.guard import Handled, Work, command_of_work
from kafka_saga.participants.outcomes import try_again
from kafka_saga.participants.undone import ContendedError, FenceTakenError, TransactionLostError
from kafka_saga.runtime.errors import CommitRefusedError
from kafka_saga.runtime.telemetry import log, log_subject
from kafka_saga.schemas.envelope import Reason

_log = log("guard")

TRIES_ALONE_MAX = 3
"""Of a command whose rows a stranger holds: half a second, and the orchestrator asks again."""


class InOneTransaction(Protocol):
    """Handles the first of what it is given, one at least, and keeps that; or keeps nothing, and raises."""

    async def __call__(self, works: Sequence[Work], *, alone: bool = False) -> list[Handled]: ...


class Portions:
    """Handles a batch in its order, a portion at a time."""

    def __init__(self, handle: InOneTransaction) -> None:
        self._handle = handle
        self._alone = 0
        """How many more are done each in a transaction of its own."""

    async def first_of(self, batch: Sequence[Work]) -> list[Handled]:
        """What became of the first of `batch`; the caller goes on with the rest."""
        while True:
            if self._alone:
                self._alone -= 1
                return [await self._by_itself(batch[0])]
            try:
                return await self._handle(batch)
            except TransactionLostError as lost:
                if lost.position == 0:
                    return [_gave_up(batch[0], str(lost))]
                batch = batch[: lost.position]
            except CommitRefusedError as refused:
                if len(batch) == 1:
                    return [_gave_up(batch[0], str(refused))]
                batch = batch[: len(batch) // 2]
            except FenceTakenError:
                self._alone = len(batch)
            except ContendedError as contended:
                _log.info("batch.contended", error=str(contended), commands=len(batch), again=contended.may_pass)
                if not contended.may_pass:
                    self._alone = len(batch)

    async def _by_itself(self, work: Work) -> Handled:
        why = ""
        for _ in range(TRIES_ALONE_MAX):
            try:
                [handled] = await self._handle([work], alone=True)
            except ContendedError as contended:
                why = str(contended)
            except (TransactionLostError, CommitRefusedError) as lost:
                return _gave_up(work, str(lost))
            else:
                return handled
        return _gave_up(work, why, Reason.BUSY)


def _gave_up(work: Work, why: str, reason: Reason | None = None) -> Handled:
    """The answer to what cannot be kept: `retry`, as for anything else that a handler does wrong."""
    command = command_of_work(work)
    log_subject.set(command.head)
    _log.warning("command.busy" if reason is Reason.BUSY else "command.transaction_lost", error=why)
    log_subject.set(None)
    return Handled(command, try_again(why, reason), is_fresh=True)
