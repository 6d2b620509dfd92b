"""A port for a server that nobody said one for."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import NamedTuple

from kafka_saga.orchestrator.http.settings import DEFAULT_HOST, DEFAULT_PORT, INHERITED, Address

_BACKLOG = 128
_TRIED = 20
"""Below the range that systems take outgoing connections' ports from."""


class Place(NamedTuple):
    """Where a child of ours serves.

    Attributes:
        address: what people are told.
        listening: the port, taken; None where the child is to take it. Held by us it is nobody else's while the
            child is killed and started again.

    """

    address: Address
    listening: socket.socket | None = None

    @property
    def told(self) -> str:
        """What the child is told."""
        return str(self.address if self.listening is None else Address(INHERITED, self.listening.fileno()))

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What it inherits."""
        return () if self.listening is None else (self.listening.fileno(),)


def take_free_port() -> socket.socket:
    """The default port, or the next that is free; the same one at every start where nobody is in the way."""
    for port in range(DEFAULT_PORT, DEFAULT_PORT + _TRIED):
        with suppress(OSError):
            return socket.create_server((DEFAULT_HOST, port), backlog=_BACKLOG)
    return socket.create_server((DEFAULT_HOST, 0), backlog=_BACKLOG)


def free_place() -> Place:
    """A place on a port that is held for whoever serves there."""
    listening = take_free_port()
    return Place(Address(DEFAULT_HOST, int(listening.getsockname()[1])), listening)
