"""How to reach Kafka: what can be known to be wrong before anybody is asked, is said then."""

from __future__ import annotations

import os
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kafka_saga.messaging.addresses import Address, read_addresses
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.errors import ConfigError
from tests.messaging.certificates import Authority, encrypted

SASL = {"security_protocol": "SASL_SSL", "sasl_username": "saga"}


def test_the_defaults_suit_a_broker_on_this_machine() -> None:
    options = KafkaSettings().client_options()
    assert options["bootstrap_servers"] == "localhost:9092"
    assert options["security_protocol"] == "PLAINTEXT"
    assert not [name for name in options if name.startswith(("sasl", "ssl"))]


def test_credentials_reach_the_client_and_no_printout() -> None:
    settings = KafkaSettings(
        security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="saga", sasl_password="hush"
    )
    options = settings.client_options()
    assert options["sasl_plain_password"] == "hush"
    assert isinstance(options["ssl_context"], ssl.SSLContext)
    assert options["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert options["ssl_context"].check_hostname
    assert "hush" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_a_password_may_stand_in_a_file_and_is_read_anew_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = KafkaSettings(**SASL, sasl_password_file=file)
    for password in ("hush", "changed"):
        file.write_text(f"{password}\n")
        assert settings.client_options()["sasl_plain_password"] == password


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file"), (b"\n", "is empty"), (b"\xff", "it is not text")]
)
def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"sasl_password_file {file} .*{said}"):
        KafkaSettings(**SASL, sasl_password_file=file).client_options()


@pytest.mark.parametrize(
    "wrong",
    [
        {"security_protocol": "SASL_SSL"},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "saga"},
        {**SASL, "sasl_password": "hush", "sasl_password_file": "/run/secrets/kafka"},
        {"security_protocol": "SSL", "ssl_certfile": "client.pem"},
        {"security_protocol": "TLS"},
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"},
        {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauth_token_file": "/run/token",
            "sasl_oauth_token_provider": "shop.tokens:provider",
        },
        {"security_protocol": "SSL", "ssl_key_password": "hush", "ssl_key_password_file": "/run/secrets/key"},
        {"sasl_mechanism": "GSSAPI"},
        {"bootstrap_server": "misspelt:9092"},
    ],
)
def test_incomplete_or_unknown_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        KafkaSettings(**wrong)
    assert "hush" not in str(caught.value)


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it names no broker: write host:port"),
        (" , ", "it names no broker: write host:port"),
        ("PLAINTEXT://localhost:9092", "write host:port without PLAINTEXT://, and set security_protocol"),
        ("a:1,SASL_SSL://b:2", "write host:port without SASL_SSL://, and set security_protocol"),
        ("kafka+ssl://a:1", "write host:port without kafka+ssl://"),
        ("localhost:kafka", "the port of 'localhost:kafka' is not a number: write host:port, e.g. localhost:9092"),
        ("localhost:9092x", "the port of 'localhost:9092x' is not a number"),
        ("localhost:٣", "is not a number"),
        ("localhost:-1", "the port of 'localhost:-1' is not a number"),
        ("localhost:0", "the port of 'localhost:0' must be from 1 to 65,535"),
        ("localhost:65536", "the port of 'localhost:65536' must be from 1 to 65,535"),
        ("localhost", "'localhost' has no port: write e.g. localhost:9092"),
        ("localhost:", "'localhost:' has no port: write e.g. localhost:9092"),
        ("a:1,b", "'b' has no port: write e.g. b:9092"),
        (":9092", "':9092' has no host: write host:port, e.g. localhost:9092"),
        ("::1", "'::1' is no address: an IPv6 address stands in brackets, e.g. [::1]:9092"),
        ("::1:9092", "an IPv6 address stands in brackets, e.g. [::1]:9092"),
        ("fe80::1%eth0:9092", "an IPv6 address stands in brackets"),
        ("[::1]", "'[::1]' has no port: write e.g. [::1]:9092"),
        ("[::1]9092", "an IPv6 address is written [::1]:9092"),
        ("[::1", "an IPv6 address is written [::1]:9092"),
        ("[]:9092", "an IPv6 address is written [::1]:9092"),
        ("a:1;b:2", "'a:1;b:2' is no address: write host:port, with commas between several"),
        ("a:1 b:2", "'a:1 b:2' is no address"),
        ("kafka:9092/orders", "is no address"),
        ("saga:hush@kafka:9092", "an address has no user before it: write host:port, and set sasl_username"),
    ],
)
def test_what_is_no_address_is_refused_with_the_way_it_is_written(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_addresses(text)
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValidationError):
        KafkaSettings(bootstrap_servers=text)


@pytest.mark.parametrize(
    ("given", "servers"),
    [
        ("kafka:9092", "kafka:9092"),
        (" a:1 , b:2, ", "a:1,b:2"),
        (["a:1", "b:2"], "a:1,b:2"),
        ("[::1]:9092,127.0.0.1:9092", "[::1]:9092,127.0.0.1:9092"),
        ("broker_1.kafka.svc:19092", "broker_1.kafka.svc:19092"),
    ],
)
def test_addresses_may_be_written_as_a_list_and_with_spaces(given: Any, servers: str) -> None:
    settings = KafkaSettings(bootstrap_servers=given)
    assert settings.bootstrap_servers == servers
    assert KafkaSettings(**settings.model_dump()) == settings


def test_an_ipv6_address_loses_its_brackets_where_it_is_used() -> None:
    assert read_addresses("[::1]:9092") == (Address("::1", 9092),)


@pytest.mark.parametrize("given", ["ssl", "Ssl", "sasl_plaintext"])
def test_a_protocol_may_be_written_small(given: str) -> None:
    settings = KafkaSettings(security_protocol=given, sasl_username="saga", sasl_password="hush")  # type: ignore[arg-type]
    assert settings.security_protocol == given.upper()


# --- certificates ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, which is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    client, other = authority.sign("client"), authority.sign("other")
    text = folder / "text.pem"
    text.write_text("no certificate\n")
    return {
        "ca": str(authority.certificate),
        "cert": str(client.certificate),
        "key": str(client.key),
        "other": str(other.key),
        "locked": str(encrypted(client.key, "open")),
        "text": str(text),
        "nowhere": str(folder / "nowhere.pem"),
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ssl_cafile": "nowhere"}, "ssl_cafile {nowhere} cannot be read: No such file or directory"),
        ({"ssl_cafile": "text"}, "ssl_cafile {text} holds no certificate in PEM form: no certificate or crl found"),
        ({"ssl_certfile": "nowhere", "ssl_keyfile": "key"}, "ssl_certfile {nowhere} cannot be read"),
        ({"ssl_certfile": "cert", "ssl_keyfile": "nowhere"}, "ssl_keyfile {nowhere} cannot be read"),
        ({"ssl_certfile": "cert", "ssl_keyfile": "other"}, "ssl_keyfile {other} is not the key of ssl_certfile {cert}"),
        ({"ssl_certfile": "text", "ssl_keyfile": "key"}, "are no certificate and key in PEM form"),
        (
            {"ssl_certfile": "cert", "ssl_keyfile": "locked"},
            "ssl_keyfile {locked} cannot be opened: ssl_key_password is not set, and the key has one",
        ),
        (
            {"ssl_certfile": "cert", "ssl_keyfile": "locked", "ssl_key_password": "guessed"},
            "ssl_keyfile {locked} cannot be opened: ssl_key_password is wrong",
        ),
    ],
    ids=str,
)
def test_a_file_that_cannot_be_used_is_named_with_its_setting(
    files: dict[str, str], given: dict[str, str], said: str
) -> None:
    settings = KafkaSettings(
        security_protocol="SSL", **{name: files.get(value, value) for name, value in given.items()}
    )
    with pytest.raises(ConfigError) as caught:
        settings.client_options()
    assert said.format(**files) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "guessed" not in str(caught.value)


def test_a_key_behind_a_password_is_opened_with_it(files: dict[str, str]) -> None:
    settings = KafkaSettings(
        security_protocol="SSL",
        ssl_cafile=files["ca"],
        ssl_certfile=files["cert"],
        ssl_keyfile=files["locked"],
        ssl_key_password="open",
    )
    assert isinstance(settings.client_options()["ssl_context"], ssl.SSLContext)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    locked = tmp_path / "ca.pem"
    locked.touch(mode=0o000)
    with pytest.raises(ConfigError, match="Permission denied"):
        KafkaSettings(security_protocol="SSL", ssl_cafile=str(locked)).client_options()
