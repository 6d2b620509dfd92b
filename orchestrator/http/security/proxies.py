"""Identity that a reverse proxy vouches for, taken only from addresses that are named."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kafka_saga.orchestrator.http.security.actors import Actor, Role
from kafka_saga.runtime.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ANYBODY = "*"
"""As a group: whoever the proxy knows."""

_NAME_LENGTH_MAX = 128
_GROUPS_MAX = 256


def read_network(text: str) -> Network:
    """`10.0.0.0/8`, `::1`, `192.0.2.7`.

    Raises:
        ConfigError: it is no address and no network.

    """
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise ConfigError(f"'{text}' is no address and no network: write 10.1.2.3 or 10.1.0.0/16 ({error})") from error


@dataclass(frozen=True, slots=True)
class Proxies:
    """Who is believed, and what they say.

    Attributes:
        networks: addresses of the proxies.
        user_header, groups_header: what they name users and their groups in, in small letters.
        operator_groups, reader_groups: whose members may act, and may look; `*` is everybody that the proxy knows.

    """

    networks: Collection[Network]
    user_header: str
    groups_header: str
    operator_groups: Collection[str]
    reader_groups: Collection[str]

    def trusts(self, peer: str) -> bool:
        """Whether a connection from `peer` is one of the proxies'."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)  # what a socket for both families calls an IPv4 peer
        return any((mapped or address) in network for network in self.networks)

    def actor(self, users: Sequence[str], groups: Sequence[str]) -> Actor | None:
        """Who it is that a proxy names; None where it names nobody, or nobody that can be told.

        Args:
            users: every value of the user's header.
            groups: every value of the groups' header, each with commas between.

        """
        if len(users) != 1 or not users[0].strip():
            return None
        name = users[0].strip()
        if len(name) > _NAME_LENGTH_MAX or not name.isprintable():
            return None
        named = [one.strip() for text in groups for one in text.split(",")][:_GROUPS_MAX]
        of = {one for one in named if one and one != ANYBODY} | {ANYBODY}
        if of & set(self.operator_groups):
            return Actor(name, Role.OPERATOR)
        return Actor(name, Role.READER if of & set(self.reader_groups) else Role.PUBLIC)
