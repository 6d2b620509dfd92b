"""Before something is changed: whether they are sure."""

from __future__ import annotations

import sys

from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.wording import counted, plain


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether to go on: `yes`, or asked on the terminal.

    Raises:
        UsageError: there is no terminal to ask on.

    """
    if yes:
        return True
    check_terminal()
    sys.stderr.write(f"{plain(question)} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


TYPED_FROM = 100
"""A yes is typed before it is thought; a number above this is not."""


def confirmed_many(act: str, count: int, *, yes: bool) -> bool:
    """Whether to go on with something for `count` sagas: `yes`, or asked on the terminal; many by their number.

    Raises:
        UsageError: there is no terminal to ask on.

    """
    if yes or count <= TYPED_FROM:
        return confirmed(f"{act} {counted(count, 'saga')}?", yes=yes)
    check_terminal()
    sys.stderr.write(f"{plain(act)} {counted(count, 'saga')}? Type the number to go on: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().replace(",", "") == str(count)


def check_terminal() -> None:
    """Somebody must be there to be asked.

    Raises:
        UsageError: nobody is.

    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("there is no terminal to ask on: add --yes, or look first with --dry-run")
