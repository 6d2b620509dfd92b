"""Addresses of brokers as people write them: `host:port`, with commas between."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple

_PORT_MAX = 65_535
_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9_+.-]*)://")


class Address(NamedTuple):
    """Where one broker listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine, as far as the address tells."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_addresses(text: str) -> tuple[Address, ...]:
    """The addresses in `text`, in their order.

    Raises:
        ValueError: one of them is no address; the message says which, why, and how it is written.

    """
    parts = [part.strip() for part in text.split(",")]
    addresses = tuple(_read(part) for part in parts if part)
    if not addresses:
        raise ValueError("it names no broker: write host:port, with commas between several")
    return addresses


def _read(text: str) -> Address:
    protocol = _PROTOCOL.match(text)
    if protocol is not None:
        raise ValueError(
            f"an address has no protocol before it: write host:port without {protocol[0]}, and set "
            "security_protocol (PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL)"
        )
    if "@" in text:  # what stands before it may be a password: it is not repeated
        raise ValueError("an address has no user before it: write host:port, and set sasl_username and sasl_password")
    if re.search(r"[\s;/|]", text):
        raise ValueError(f"'{text}' is no address: write host:port, with commas between several")
    host, port = _split(text)
    if not port.isascii() or not port.isdigit():
        raise ValueError(f"the port of '{text}' is not a number: write host:port, e.g. {host}:9092")
    if not 0 < int(port) <= _PORT_MAX:
        raise ValueError(f"the port of '{text}' must be from 1 to {_PORT_MAX:,}")
    return Address(host, int(port))


def _split(text: str) -> tuple[str, str]:
    """Host and port of `text`, as text."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not host or not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"'{text}' is no address: an IPv6 address is written [::1]:9092")
        port = rest.removeprefix(":")
    elif text.count(":") > 1:
        raise ValueError(f"'{text}' is no address: an IPv6 address stands in brackets, e.g. [::1]:9092")
    else:
        host, _, port = text.partition(":")
        if not host:
            raise ValueError(f"'{text}' has no host: write host:port, e.g. localhost:9092")
    if not port:
        raise ValueError(f"'{text}' has no port: write e.g. {Address(host, 9092)}")
    return host, port
