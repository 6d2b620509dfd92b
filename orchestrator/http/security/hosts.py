"""Which names a server goes by. A page that lets its own name point at our address (DNS rebinding) is told by it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9._-]{0,252}))(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names that are answered to.

    Attributes:
        loopback_only: whether only this machine reaches the server: then no other machine's address is its name.
        names: further ones, in small letters.

    """

    loopback_only: bool
    names: Collection[str] = ()

    def lets(self, host: str) -> bool:
        """Whether a request for `host`, as its header says it, is meant for us."""
        match = _HOST.fullmatch(host.lower())
        if match is None:
            return False
        name = match[1]
        if name == "localhost" or name in self.names or host.lower() in self.names:
            return True
        try:
            address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return address.is_loopback or not self.loopback_only  # no name points at it, so nobody can turn it elsewhere


def is_same(origin: str, host: str) -> bool:
    """Whether a page of `origin` is one of ours, whom the browser calls `host`; the scheme may be a proxy's."""
    scheme, found, place = origin.lower().partition("://")
    return bool(found) and scheme in _DEFAULT_PORTS and _bare(place, scheme) == _bare(host.lower(), scheme)


def _bare(host: str, scheme: str) -> str:
    return host.removesuffix(f":{_DEFAULT_PORTS[scheme]}")
