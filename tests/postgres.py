"""Which PostgreSQL the tests run against: the first that is there, and why the ones before it were not taken.

1. `SAGA_TEST_POSTGRES=postgresql://…`   a server that somebody else runs; its user may create databases
2. Docker                                testcontainers
3. an installed server                   `initdb` and `postgres`, on a free port: the only one that tests can restart

`SAGA_TEST_POSTGRES=docker|installed` forces the choice; `required` takes either, and fails where there is none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest

from deploy.postgres.postgres import QUICK, PostgresError, Server, running_server
from kafka_saga.runtime.postgres import is_postgres_url
from tests.brokers import ping_docker
from tests.servers import NoServerError, first_of


@dataclass
class PostgresUnderTest:
    """The server of this test run."""

    kind: str
    url: str
    skipped: list[str] = field(default_factory=list)
    server: Server | None = None  # with start, stop and restart

    def describe(self) -> str:
        shown = self.url.rpartition("@")[2]
        return "\n".join([f"PostgreSQL under test: {self.kind} at {shown}", *(f"  not {why}" for why in self.skipped)])

    async def create_database(self, name: str) -> str:
        """A new, empty database; its URL."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        finally:
            await connection.close()
        return f"{self.url.rpartition('/')[0]}/{name}"

    async def drop_database(self, name: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        finally:
            await connection.close()


def _from_environment(_stack: ExitStack, environ: Mapping[str, str]) -> PostgresUnderTest:
    url = environ.get("SAGA_TEST_POSTGRES", "")
    if not is_postgres_url(url):
        raise NoServerError("SAGA_TEST_POSTGRES names no server")
    return PostgresUnderTest("env", url)


def _from_docker(stack: ExitStack, environ: Mapping[str, str]) -> PostgresUnderTest:
    try:
        ping_docker(environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - only where it is tried
    except ImportError as error:
        raise NoServerError(f"{error.name} is not installed") from error
    container = PostgresContainer("postgres:17-alpine", driver=None)
    try:
        stack.enter_context(container)
    except Exception as error:
        raise NoServerError(f"the container did not start: {error}") from error
    return PostgresUnderTest("docker", container.get_connection_url())


def _installed(stack: ExitStack, _environ: Mapping[str, str]) -> PostgresUnderTest:
    try:
        server = stack.enter_context(running_server(*QUICK))
    except PostgresError as error:
        raise NoServerError(str(error)) from error
    return PostgresUnderTest("installed", server.url, server=server)


Starter = Callable[[ExitStack, Mapping[str, str]], PostgresUnderTest]
_STARTERS: dict[str, Starter] = {"env": _from_environment, "docker": _from_docker, "installed": _installed}


def kinds(choice: str) -> list[str]:
    """The kinds to try, in order, for a value of SAGA_TEST_POSTGRES."""
    if choice in {"", "required"}:
        return list(_STARTERS)
    if is_postgres_url(choice):
        return ["env"]
    if choice in _STARTERS:
        return [choice]
    raise NoServerError(f"SAGA_TEST_POSTGRES={choice}: it must be a URL, required, docker, installed, or not set")


@contextmanager
def open_postgres(environ: Mapping[str, str] = os.environ) -> Iterator[PostgresUnderTest]:
    """The first server that can be had; stopped at the end, unless somebody else runs it."""
    with first_of(kinds(environ.get("SAGA_TEST_POSTGRES", "")), _STARTERS, environ, "PostgreSQL") as server:
        yield server


@contextmanager
def breakable_server() -> Iterator[Server]:
    """A server of one's own, which a test may restart, freeze or break; where none can be had the test is skipped."""
    try:
        with running_server(*QUICK) as server:
            yield server
    except PostgresError as error:
        pytest.skip(str(error))
