"""Where HTTP is served, and to whom."""

from __future__ import annotations

import ipaddress
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from kafka_saga.orchestrator.http.security.settings import SecuritySettings
from kafka_saga.runtime.errors import ConfigError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 7242
"""`SAGA` on a telephone's keys; nothing known uses it."""

INHERITED = "fd"
"""In a host's place: the number is that of a socket which listens already, inherited from whoever started us."""

_PORT_MAX = 65_535


class Address(NamedTuple):
    """Where a server listens; port 0 is any free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host in {"localhost", INHERITED}:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def read_listen_address(text: str) -> Address:
    """`HOST:PORT`, `[IPv6]:PORT`, `:PORT` or `PORT`; without a host it is this machine's loopback.

    Raises:
        ConfigError: it is none of these.

    """
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or DEFAULT_HOST
    if not port.isascii() or not port.isdigit() or int(port) > _PORT_MAX:
        raise ConfigError(f"'{text}' is no address to listen on: write HOST:PORT, e.g. {DEFAULT_HOST}:{DEFAULT_PORT}")
    return Address(host, int(port))


def _checked(text: str) -> str:
    try:
        return str(read_listen_address(text))
    except ConfigError as error:
        raise ValueError(str(error)) from None


class HttpSettings(SecuritySettings):
    """How the dashboard and the HTTP API are served, and to whom."""

    listen: Annotated[str, AfterValidator(_checked)] | None = Field(
        default=None, description="Where dashboard and HTTP API are served, HOST:PORT; default: not at all"
    )
    read_only: bool = Field(default=False, description="Show everything over HTTP, change nothing")
