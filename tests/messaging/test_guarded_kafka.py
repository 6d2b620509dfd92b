"""Why a connection to a real Kafka fails: users, passwords, TLS both ways, and addresses that lead nowhere."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.errors import BrokerRefusesError, BrokerUnreachableError
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import TopicSpec, create_topics, list_topics
from tests.integration.processes import saga_command
from tests.messaging.certificates import Authority, Pair
from tests.messaging.guarded_kafka import NO_SUCH_HOST, SECRET, USER, GuardedKafka, guarded_kafka

pytestmark = pytest.mark.processes

NO_USER: dict[str, Any] = {"sasl_username": None, "sasl_password": None}
SCRAM = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_password": SECRET}


@pytest.fixture(scope="module")
def guarded() -> Iterator[GuardedKafka]:
    with guarded_kafka() as kafka:
        yield kafka


@pytest.fixture(scope="module")
def stranger(guarded: GuardedKafka) -> tuple[Authority, Pair]:
    """An authority that the broker does not know, and what it signed."""
    other = Authority(guarded.authority.folder / "other", "other")
    return other, other.sign("stranger")


async def refusal(settings: KafkaSettings) -> BrokerUnreachableError:
    """What a first question, a producer and a consumer are told: the same."""
    found = []
    for attempt in (list_topics(settings), Producer(settings).start(), Consumer(settings, ["t"], group="g").start({})):
        with pytest.raises(BrokerUnreachableError) as caught:
            await attempt
        found.append(caught.value)
    assert len({str(error) for error in found}) == 1
    assert "\n" not in str(found[0])
    assert found[0].exit_code == 5
    return found[0]


@pytest.mark.parametrize(
    ("listener", "changes"),
    [
        ("PLAINTEXT", {}),
        ("TLS", {}),
        ("MUTUAL", {}),
        ("USERS", {}),
        ("USERS", SCRAM),
        ("USERSBYTLS", {}),
        ("USERSBYTLS", SCRAM),
    ],
)
async def test_with_the_right_settings_messages_go_through(
    guarded: GuardedKafka, topic_prefix: str, listener: str, changes: dict[str, Any]
) -> None:
    settings, topic = guarded.settings(listener, **changes), f"{topic_prefix}orders"
    await create_topics(settings, [TopicSpec(topic, 1)])
    producer = Producer(settings)
    await producer.publish([Message(topic, b"k", b"v")])
    await producer.stop()
    consumer = Consumer(settings, [topic], group=topic)
    await consumer.start({})
    assert [record.value for record in await consumer.poll(10_000, 10)] == [b"v"]
    await consumer.stop()


@pytest.mark.parametrize("listener", ["USERS", "USERSBYTLS"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_wrong_password_is_called_one_and_not_repeated(
    guarded: GuardedKafka, listener: str, mechanism: str
) -> None:
    found = await refusal(guarded.settings(listener, sasl_mechanism=mechanism, sasl_password="guessed"))
    assert isinstance(found, BrokerRefusesError)
    assert f"refuses user '{USER}' by {mechanism}: correct sasl_username, sasl_password or sasl_mechanism" in str(found)
    assert "guessed" not in str(found)


async def test_a_mechanism_that_is_not_offered_names_those_that_are(guarded: GuardedKafka) -> None:
    found = await refusal(guarded.settings("USERS", sasl_mechanism="SCRAM-SHA-512"))
    assert (
        "does not offer SCRAM-SHA-512: set sasl_mechanism to one of those that it does offer: PLAIN, SCRAM-SHA-256"
        in (str(found))
    )


@pytest.mark.parametrize(
    ("listener", "protocol", "said"),
    [
        ("TLS", "PLAINTEXT", "speaks TLS, and security_protocol is PLAINTEXT: set it to SSL, or SASL_SSL where"),
        ("MUTUAL", "PLAINTEXT", "speaks TLS, and security_protocol is PLAINTEXT: set it to SSL"),
        ("USERSBYTLS", "PLAINTEXT", "speaks TLS, and security_protocol is PLAINTEXT: set it to SSL, or SASL_SSL where"),
        ("USERS", "PLAINTEXT", "wants a user, and security_protocol is PLAINTEXT: set it to SASL_PLAINTEXT, with"),
        ("PLAINTEXT", "SSL", "does not speak TLS, and security_protocol is SSL: set it to PLAINTEXT"),
        ("USERS", "SSL", "does not speak TLS, and security_protocol is SSL: set it to PLAINTEXT, or SASL_PLAINTEXT"),
        ("USERSBYTLS", "SSL", "wants a user, and security_protocol is SSL: set it to SASL_SSL, with sasl_username"),
        ("PLAINTEXT", "SASL_PLAINTEXT", "has no users, and security_protocol is SASL_PLAINTEXT: set it to PLAINTEXT"),
        ("TLS", "SASL_PLAINTEXT", "speaks TLS, and security_protocol is SASL_PLAINTEXT: set it to SASL_SSL"),
        ("USERSBYTLS", "SASL_PLAINTEXT", "speaks TLS, and security_protocol is SASL_PLAINTEXT: set it to SASL_SSL"),
        ("PLAINTEXT", "SASL_SSL", "does not speak TLS, and security_protocol is SASL_SSL: set it to SASL_PLAINTEXT"),
        ("USERS", "SASL_SSL", "does not speak TLS, and security_protocol is SASL_SSL: set it to SASL_PLAINTEXT"),
        ("TLS", "SASL_SSL", "has no users, and security_protocol is SASL_SSL: set it to SSL"),
    ],
)
async def test_a_protocol_that_does_not_suit_the_port_names_the_one_that_does(
    guarded: GuardedKafka, listener: str, protocol: str, said: str
) -> None:
    changes: dict[str, Any] = {"security_protocol": protocol, "ssl_certfile": None, "ssl_keyfile": None}
    changes["ssl_cafile"] = str(guarded.authority.certificate) if protocol.endswith("SSL") else None
    changes |= {"sasl_username": "saga", "sasl_password": "hush-1"} if protocol.startswith("SASL") else NO_USER
    found = await refusal(guarded.settings(listener, **changes))
    assert isinstance(found, BrokerRefusesError)
    assert said in str(found)


async def test_a_certificate_of_an_unknown_authority_names_the_setting(
    guarded: GuardedKafka, stranger: tuple[Authority, Pair]
) -> None:
    system = await refusal(guarded.settings("TLS", ssl_cafile=None))
    assert "set ssl_cafile to the certificate of the authority that signed it (now: the system's" in str(system)
    other = await refusal(guarded.settings("TLS", ssl_cafile=str(stranger[0].certificate)))
    assert f"(now: {stranger[0].certificate})" in str(other)


async def test_a_certificate_for_another_name_says_so(guarded: GuardedKafka) -> None:
    servers = guarded.settings("TLS").bootstrap_servers.replace("127.0.0.1", "localhost")
    found = await refusal(guarded.settings("TLS", bootstrap_servers=servers))
    assert "Hostname mismatch" in str(found)
    assert "use a name that stands in it" in str(found)


async def test_a_missing_client_certificate_is_asked_for(guarded: GuardedKafka) -> None:
    found = await refusal(guarded.settings("MUTUAL", ssl_certfile=None, ssl_keyfile=None))
    assert "it may want a client certificate: set ssl_certfile and ssl_keyfile" in str(found)


async def test_a_client_certificate_of_an_unknown_authority_is_said(
    guarded: GuardedKafka, stranger: tuple[Authority, Pair]
) -> None:
    own = stranger[1]
    found = await refusal(guarded.settings("MUTUAL", ssl_certfile=str(own.certificate), ssl_keyfile=str(own.key)))
    assert f"it may not know who signed our certificate, {own.certificate}" in str(found)


async def test_an_advertised_name_that_does_not_resolve_is_named(guarded: GuardedKafka) -> None:
    with pytest.raises(BrokerUnreachableError) as caught:
        await list_topics(guarded.settings("NAMELESS"))
    found = str(caught.value)
    assert f"sends its clients on to broker 1 at {NO_SUCH_HOST}:9092, and that fails: " in found
    assert f"the host name '{NO_SUCH_HOST}' does not resolve" in found
    assert "advertised.listeners" in found
    assert caught.value.retryable


async def test_an_advertised_address_where_nobody_listens_is_named(guarded: GuardedKafka) -> None:
    address = guarded.broker.listeners["CLOSED"].advertised
    with pytest.raises(BrokerUnreachableError, match=f"at {address}, and that fails: nothing listens at {address}"):
        await list_topics(guarded.settings("CLOSED"))


# --- the commands ---------------------------------------------------------------------------------


def saga(tmp_path: Path, settings: KafkaSettings, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """One command, with `settings` in its environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "KAFKA_"))}
    given = settings.model_dump(exclude_defaults=True)
    if settings.sasl_password is not None:
        given["sasl_password"] = settings.sasl_password.get_secret_value()
    ours = {f"SAGA_KAFKA__{name.upper()}": str(value) for name, value in given.items()}
    return subprocess.run(
        saga_command(*arguments),
        cwd=tmp_path,
        env={**clean, **ours, "SAGA_DATA_DIR": str(tmp_path / "data"), **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        input='{"order_id":"o-1","customer_id":"c","items":[{"sku":"a","quantity":1}],"amount":1,"currency":"EUR"}',
    )


@pytest.mark.parametrize(
    "arguments",
    [
        "orchestrator --no-create-topics",
        "participant payment",
        "up",
        "submit order --file -",
        "submit order --file - --wait",
        "tail --topic order.events",
        "topics list",
        "topics create",
        "dlq list",
        "dlq count",
        "dlq redrive --yes",
    ],
)
def test_every_command_says_that_the_password_is_wrong_and_does_not_wait(
    tmp_path: Path, guarded: GuardedKafka, arguments: str
) -> None:
    ran = saga(tmp_path, guarded.settings("USERS", sasl_password="guessed"), *arguments.split())
    lines = ran.stderr.splitlines()
    assert ran.returncode == 5, ran.stderr
    assert f"refuses user '{USER}' by PLAIN: correct sasl_username, sasl_password or sasl_mechanism" in lines[-1]
    assert [line for line in lines if "refuses user" in line] == lines[-1:]
    assert "Traceback" not in ran.stderr
    assert "guessed" not in ran.stderr + ran.stdout


def test_doctor_says_what_is_wrong_with_the_connection_and_goes_on(tmp_path: Path, guarded: GuardedKafka) -> None:
    ran = saga(tmp_path, guarded.settings("USERS", sasl_password="guessed"), "doctor", "-o", "jsonl")
    assert ran.returncode == 5, ran.stderr
    [line] = [line for line in ran.stdout.splitlines() if '"check":"broker"' in line]
    assert "refuses user 'saga' by PLAIN" in line
    assert "correct sasl_username" in line
    assert '"check":"store"' in ran.stdout
    ran = saga(tmp_path, guarded.settings("TLS", ssl_cafile="/nowhere/ca.pem"), "doctor", "-o", "jsonl")
    assert ran.returncode == 5, ran.stderr
    assert "ssl_cafile /nowhere/ca.pem cannot be read: No such file or directory" in ran.stdout


def test_secrets_are_in_no_listing_and_no_log(tmp_path: Path, guarded: GuardedKafka) -> None:
    settings = guarded.settings("USERSBYTLS", **SCRAM)
    shown = saga(tmp_path, settings, "config", "show", "-o", "jsonl")
    listed = saga(tmp_path, settings, "topics", "create", "--prefix", "secret.")
    assert (shown.returncode, listed.returncode) == (0, 0), shown.stderr + listed.stderr
    assert "********" in shown.stdout
    assert SECRET not in shown.stdout + shown.stderr + listed.stdout + listed.stderr
