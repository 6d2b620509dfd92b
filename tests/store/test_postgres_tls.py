"""A server that speaks TLS: who asks for a trusted one gets it, or one line."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from deploy.postgres.postgres import QUICK, SERVER_USER, PostgresError, Server, running_server
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.postgres.store import open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import SagaError, StoreRefusedError
from kafka_saga.runtime.postgres import PostgresUrl, connect
from tests.messaging.certificates import Authority
from tests.postgres import PostgresUnderTest


@dataclass(frozen=True)
class Guarded:
    """A server with a certificate that its own authority signed for `localhost`, and another authority."""

    server: Server
    trusted: Path
    other: Path

    def url(self, host: str, mode: str, authority: Path | None = None) -> PostgresUrl:
        trusts = "" if authority is None else f"&sslrootcert={quote(str(authority))}"
        return PostgresUrl(f"postgresql://saga@{host}:{self.server.port}/postgres?sslmode={mode}{trusts}")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    # Not pytest's folder: the server's own user must read its key, and nobody else may.
    with tempfile.TemporaryDirectory(prefix="saga-tls-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        authority, other = Authority(folder / "ours"), Authority(folder / "other")
        pair = authority.sign("server", "DNS:localhost")
        pair.key.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(pair.key, SERVER_USER)
        settings = ("ssl=on", f"ssl_cert_file={pair.certificate}", f"ssl_key_file={pair.key}")
        try:
            with running_server(*QUICK, *settings) as server:
                yield Guarded(server, authority.certificate, other.certificate)
        except PostgresError as error:
            pytest.skip(str(error))


async def test_a_store_is_reached_by_tls_that_is_checked(guarded: Guarded) -> None:
    url = guarded.url("localhost", "verify-full", guarded.trusted)
    store = await open_store(PostgresLocation(url), SystemClock())
    assert store.store_id
    await store.close()
    connection = await connect(url, application="saga test")
    assert await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    await connection.close()


@pytest.mark.parametrize(
    ("host", "mode", "authority"),
    [
        ("localhost", "verify-ca", "other"),
        ("localhost", "verify-full", "other"),
        ("127.0.0.1", "verify-full", "trusted"),
    ],
)
async def test_a_server_that_cannot_be_trusted_is_refused(
    guarded: Guarded, host: str, mode: str, authority: str
) -> None:
    url = guarded.url(host, mode, getattr(guarded, authority))
    with pytest.raises(StoreRefusedError, match="no TLS with the server as the URL asks for it"):
        await open_store(PostgresLocation(url), SystemClock())


async def test_a_server_without_tls_is_not_taken_where_tls_is_asked_for(postgres: PostgresUnderTest) -> None:
    url = PostgresUrl(f"{postgres.url}?sslmode=require")
    with pytest.raises(SagaError) as caught:
        await open_store(PostgresLocation(url), SystemClock())
    assert "the server has none: turn it on there" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
