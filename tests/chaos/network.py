"""A network namespace for one process, with a way to each server that can be cut by itself (ip-netns(8)).

The host's end of the pair has one address for each server; a blackhole route in the namespace cuts one of them off:
an open connection hears nothing any more, and nothing says so; a new one does not come about.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

SERVERS = ("kafka", "postgres")


class NoNamespacesError(Exception):
    """This process may not make network namespaces."""


class Namespace:
    """One namespace; its number makes its addresses, 10.213.NUMBER.1 and up."""

    def __init__(self, number: int) -> None:
        self.name = f"saga-{os.getpid()}-{number}"
        self._host_end, self._inner_end = f"sg{os.getpid() % 100_000}h{number}", f"sg{os.getpid() % 100_000}i{number}"
        self.addresses = {server: f"10.213.{number}.{place}" for place, server in enumerate(SERVERS, 1)}
        self._inner_address = f"10.213.{number}.100"

    def make(self) -> None:
        _ip("netns", "add", self.name)
        _ip("link", "add", self._host_end, "type", "veth", "peer", "name", self._inner_end, "netns", self.name)
        for address in self.addresses.values():
            _ip("address", "add", f"{address}/24", "dev", self._host_end)
        _ip("link", "set", self._host_end, "up")
        inside = ("-n", self.name)
        _ip(*inside, "address", "add", f"{self._inner_address}/24", "dev", self._inner_end)
        _ip(*inside, "link", "set", self._inner_end, "up")
        _ip(*inside, "link", "set", "lo", "up")

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self._host_end], check=False, capture_output=True)

    def command(self, command: Sequence[str]) -> list[str]:
        """`command`, run inside."""
        return ["ip", "netns", "exec", self.name, *command]

    def cut(self, server: str) -> None:
        _ip("-n", self.name, "route", "add", "blackhole", f"{self.addresses[server]}/32")

    def mend(self, server: str) -> None:
        _ip("-n", self.name, "route", "delete", "blackhole", f"{self.addresses[server]}/32")


@contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """As many namespaces, gone at the end.

    Raises:
        NoNamespacesError: the kernel or our rights do not allow them.

    """
    made = [Namespace(number) for number in range(1, count + 1)]
    with ExitStack() as stack:
        for namespace in made:
            stack.callback(namespace.remove)
            namespace.make()
        yield made


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoNamespacesError("the program `ip` (iproute2) is not installed") from error
    if done.returncode:
        raise NoNamespacesError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
