"""Why a connection fails, where nobody or something else is at its other end: plain servers on loopback."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from kafka_saga.messaging import fetching
from kafka_saga.messaging.addresses import Address
from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.errors import BrokerRefusesError, BrokerUnreachableError
from kafka_saga.messaging.probing import explained, probe
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import BrokerUnavailableError
from tests.brokers import BrokerUnderTest
from tests.messaging.certificates import Authority

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(
    serve: Serve, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncIterator[Address]:
    """Something that listens on loopback, until the end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except OSError:
            writer.transport.abort()  # the other side has gone: there is nobody to tell
        finally:
            writer.close()

    listening = await asyncio.start_server(answer, host, 0, ssl=context)
    try:
        yield Address(host, listening.sockets[0].getsockname()[1])
    finally:
        listening.close()


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(1024):
        pass


async def closing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1024)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await writer.drain()


def nobody() -> Address:
    """An address where nobody listens."""
    with socket.socket() as probe_:
        probe_.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", probe_.getsockname()[1])


async def reason(*addresses: Address, **settings: str) -> BrokerUnreachableError:
    given = KafkaSettings(bootstrap_servers=",".join(map(str, addresses)), **settings)  # type: ignore[arg-type]
    with pytest.raises(BrokerUnreachableError) as caught:
        await probe(given)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5
    return caught.value


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROBE_TIMEOUT_MS", 1_000)


@pytest.mark.parametrize("security_protocol", ["PLAINTEXT", "SSL"])
@pytest.mark.parametrize("connecting", ["a question", "a consumer", "a producer"])
async def test_whoever_connects_to_a_silent_server_waits_for_it_once(
    monkeypatch: pytest.MonkeyPatch, connecting: str, security_protocol: Literal["PLAINTEXT", "SSL"]
) -> None:
    monkeypatch.setattr(limits, "PROBE_TIMEOUT_MS", 200)
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT_MS", 3_600_000)
    monkeypatch.setattr(limits, "CONNECT_TIMEOUT_MS", 3_600_000)
    async with server(silent) as address, server(silent) as other:
        settings = KafkaSettings(bootstrap_servers=f"{address},{other}", security_protocol=security_protocol)
        cluster, producer = Cluster(settings), Producer(settings)
        calls = {
            "a question": cluster.topics,
            "a consumer": partial(fetching.connect, settings, ["order.requests"], 100),
            "a producer": producer.start,
        }

        with pytest.raises(BrokerUnreachableError, match="accepts connections and does not answer within"):
            await calls[connecting]()

        await cluster.close()
        await producer.stop()


async def test_where_nobody_listens_the_way_out_is_said() -> None:
    one, other = nobody(), nobody()
    assert str(await reason(one, other)) == (
        f"cannot reach Kafka at {one},{other}: is it running? `saga up` starts one; "
        "another address is set with --bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS"
    )
    assert (await reason(one)).retryable


async def test_a_name_that_does_not_resolve_is_said() -> None:
    found = await reason(Address("kafka.shop.invalid", 9092))
    assert str(found).startswith("the host name 'kafka.shop.invalid' does not resolve (")
    assert found.retryable, "a name may appear with its service"


async def test_a_name_that_no_name_could_be_is_no_traceback() -> None:
    assert "does not resolve" in str(await reason(Address("a" * 70, 9092)))
    assert "does not resolve" in str(await reason(Address("a..b", 9092)))


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        (silent, "accepts connections and does not answer within 1 s: is it Kafka's port, and is the broker well?"),
        (closing, "does not answer as Kafka does: is it the port of something else?"),
        (web, "does not answer as Kafka does: is it the port of something else?"),
    ],
)
async def test_what_listens_and_is_not_kafka_is_told_from_nobody(serve: Serve, said: str) -> None:
    async with server(serve) as address:
        assert str(await reason(address)) == f"{address} {said}"


@pytest.mark.parametrize("serve", [silent, closing, web])
async def test_tls_with_what_is_not_kafka_ends_in_one_line(serve: Serve) -> None:
    async with server(serve) as address:
        assert str(await reason(address, security_protocol="SSL"))


async def test_tls_that_is_not_kafka_is_recognised(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, which is not installed")
    authority = Authority(tmp_path)
    own = authority.sign("web", "IP:127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.certificate, own.key)
    async with server(web, context=context) as address:
        assert "speaks TLS, and security_protocol is PLAINTEXT" in str(await reason(address))
        trusting = await reason(address, security_protocol="SSL", ssl_cafile=str(authority.certificate))
        assert str(trusting) == f"{address} does not answer as Kafka does: is it the port of something else?"


async def test_an_ipv6_address_is_asked_as_such() -> None:
    try:
        with socket.socket(socket.AF_INET6) as there:
            there.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"needs IPv6 on loopback: {error}")
    async with server(closing, "::1") as address:
        assert str(await reason(address)).startswith(f"[::1]:{address.port} does not answer as Kafka does")


async def test_of_several_failures_the_one_that_says_most_is_told() -> None:
    async with server(web) as address:
        assert f"{address} does not answer as Kafka does" in str(await reason(nobody(), address))


async def test_one_broker_that_answers_is_enough(embedded: BrokerUnderTest) -> None:
    await probe(KafkaSettings(bootstrap_servers=f"{nobody()},{embedded.bootstrap_servers}"))


async def test_the_embedded_broker_has_no_users_and_says_so(embedded: BrokerUnderTest) -> None:
    host, _, port = embedded.bootstrap_servers.partition(":")
    found = await reason(
        Address(host, int(port)), security_protocol="SASL_PLAINTEXT", sasl_username="saga", sasl_password="hush"
    )
    assert isinstance(found, BrokerRefusesError)
    assert not found.retryable
    assert "has no users, and security_protocol is SASL_PLAINTEXT: set it to PLAINTEXT" in str(found)
    assert "hush" not in str(found)


async def test_a_failure_that_has_passed_is_told_as_it_was(embedded: BrokerUnderTest) -> None:
    error = BrokerUnavailableError("asking the cluster: it was slow")
    assert await explained(embedded.settings, error) is error
