"""As much of a batch as one transaction can keep.

As a rule that is all of it. A handler whose SQL had the whole transaction rolled back costs the others nothing but
being done again: those before it first, then it alone is answered, then those behind it. A commit that is refused
(a deferred constraint) does not say whose fault it was, so the batch is halved until it does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from kafka_saga.participants.guard import Handled, Work, command_of_work
from kafka_saga.participants.outcomes import try_again
from kafka_saga.participants.running import TransactionLostError
from kafka_saga.runtime.errors import CommitRefusedError
from kafka_saga.runtime.telemetry import log, log_subject

_log = log("guard")

InOneTransaction = Callable[[Sequence[Work]], Awaitable[list[Handled]]]
"""Handles the first of what it is given, one at least, and keeps that; or keeps nothing, and raises."""


async def handle_portion(handle: InOneTransaction, batch: Sequence[Work]) -> list[Handled]:
    """What became of the first of `batch`; the caller goes on with the rest."""
    while True:
        try:
            return await handle(batch)
        except TransactionLostError as lost:
            if lost.position == 0:
                return [_gave_up(batch[0], str(lost))]
            batch = batch[: lost.position]
        except CommitRefusedError as refused:
            if len(batch) == 1:
                return [_gave_up(batch[0], str(refused))]
            batch = batch[: len(batch) // 2]


def _gave_up(work: Work, why: str) -> Handled:
    """The answer to what cannot be kept: `retry`, as for anything else that a handler does wrong."""
    command = command_of_work(work)
    log_subject.set(command.head)
    _log.warning("command.transaction_lost", error=why)
    log_subject.set(None)
    return Handled(command, try_again(why), is_fresh=True)
