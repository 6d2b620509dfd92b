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
from kafka_saga.client.outbox import TABLE, ddl
from kafka_saga.client.outbox.postgres import PostgresOutbox
from kafka_saga.orchestrator.config import load_settings
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.postgres.store import open_store
from kafka_saga.participants.kinds import Kind
from kafka_saga.participants.store.opening import Opening, open_for
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import ConfigError, SagaError, StoreRefusedError
from kafka_saga.runtime.postgres import PostgresUrl, connect
from tests.messaging.certificates import Authority
from tests.participants.shop import make_shop
from tests.postgres import PostgresUnderTest


@dataclass(frozen=True)
class Guarded:
    """A server with a certificate that its own authority signed for `localhost`, and another authority."""

    server: Server
    trusted: Path
    other: Path

    def url(self, host: str, mode: str, authority: Path | None = None, database: str = "postgres") -> PostgresUrl:
        trusts = "" if authority is None else f"&sslrootcert={quote(str(authority))}"
        return PostgresUrl(f"postgresql://saga@{host}:{self.server.port}/{database}?sslmode={mode}{trusts}")


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


@pytest.mark.parametrize("kind", list(Kind))
async def test_participants_reach_their_databases_by_tls_that_is_checked(guarded: Guarded, kind: Kind) -> None:
    name = f"of_{kind.name.lower()}"
    guarded.server.create_database(name)
    url = guarded.url("localhost", "verify-full", guarded.trusted, database=name)
    store = await open_for(Opening(make_shop(kind=kind), "tests", SystemClock()), url)
    connection = await connect(url, application="saga test")
    plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = $1 AND NOT ssl"
    assert await connection.fetchval(plain, name) == 0
    await connection.close()
    await store.close()
    untrusted = guarded.url("localhost", "verify-full", guarded.other, database=name)
    with pytest.raises(StoreRefusedError, match="no TLS with the server as the URL asks for it"):
        await open_for(Opening(make_shop(kind=kind), "tests", SystemClock()), untrusted)


async def test_a_clients_outbox_reaches_its_database_by_tls_that_is_checked(guarded: Guarded) -> None:
    url = guarded.url("localhost", "verify-full", guarded.trusted)
    connection = await connect(url, application="saga test")
    await connection.execute(ddl("postgresql"))
    outbox = PostgresOutbox(url, TABLE)
    await outbox.open()
    relays = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1"
    assert [row["ssl"] for row in await connection.fetch(relays, "saga outbox relay")] == [True]
    await outbox.close()
    await connection.close()
    with pytest.raises(StoreRefusedError, match="no TLS with the server as the URL asks for it"):
        await PostgresOutbox(guarded.url("localhost", "verify-full", guarded.other), TABLE).open()


async def test_a_url_in_a_file_is_read_again_for_each_connection(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await connect(guarded.url("localhost", "require"), application="saga test")
    await owner.execute("CREATE ROLE rotating LOGIN PASSWORD 'before-hush'")
    rules = guarded.server.data / "pg_hba.conf"
    rules.write_text(f"hostssl all rotating all scram-sha-256\n{rules.read_text()}")
    await owner.execute("SELECT pg_reload_conf()")
    file = tmp_path / "url"

    def put(password: str) -> None:
        url = f"postgresql://rotating:{password}@localhost:{guarded.server.port}/postgres?sslmode=verify-full"
        file.write_text(f"{url}&sslrootcert={quote(str(guarded.trusted))}\n")

    put("before-hush")
    monkeypatch.setenv("SAGA_STORE_FILE", str(file))
    at = load_settings(flags={}, environment=os.environ).settings.store_at
    assert isinstance(at, PostgresLocation)
    assert at.url.told_again == f"secret:{file}"
    await (await connect(at.url, application="saga test")).close()
    await owner.execute("ALTER ROLE rotating PASSWORD 'after-hush'")
    with pytest.raises(StoreRefusedError, match="does not let this user in") as caught:
        await connect(at.url, application="saga test")
    put("after-hush")
    await (await connect(at.url, application="saga test")).close()
    file.write_text("half")
    await (await connect(at.url, application="saga test")).close()  # by what stood there last
    assert "hush" not in f"{caught.value} {at} {at.url!r}"
    await owner.close()


def test_a_file_that_holds_no_url_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"store: .*nowhere, which is to hold the database's URL, cannot be read"):
        load_settings(flags={"store": f"secret:{tmp_path}/nowhere"}, environment={})
    file = tmp_path / "url"
    file.write_text("hush")
    with pytest.raises(ConfigError, match="it has no 'postgresql://' in front") as caught:
        load_settings(flags={"service_database": f"secret:{file}"}, environment={})
    assert "hush" not in str(caught.value)
