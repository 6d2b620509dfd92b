"""Of several kinds of server that would do for the tests the first that is there, and why those before it were not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol, TypeVar


class UnderTest(Protocol):
    """A server of a run."""

    skipped: list[str]  # "<kind>: <reason>", of those that come before it


_Server = TypeVar("_Server", bound=UnderTest)


class NoServerError(Exception):
    """No server of the kind that was asked for can be had here."""


@contextmanager
def first_of(
    kinds: Iterable[str],
    starters: Mapping[str, Callable[[ExitStack, Mapping[str, str]], _Server]],
    environ: Mapping[str, str],
    what: str,
) -> Iterator[_Server]:
    """The first of `kinds` that starts; stopped at the end, unless somebody else runs it.

    Raises:
        NoServerError: none does; it has each one's reason.

    """
    skipped: list[str] = []
    for kind in kinds:
        with ExitStack() as stack:
            try:
                server = starters[kind](stack, environ)
            except NoServerError as error:
                skipped.append(f"{kind}: {error}")
                continue
            server.skipped = skipped
            yield server
            return
    raise NoServerError(f"no {what} for the tests: " + "; ".join(skipped))
