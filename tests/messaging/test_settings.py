from __future__ import annotations

import ssl

import pytest
from pydantic import ValidationError

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.errors import ConfigError


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"security_protocol": "SASL_SSL"},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "saga"},
        {"security_protocol": "SSL", "ssl_certfile": "client.pem"},
        {"bootstrap_servers": ""},
        {"bootstrap_server": "misspelt:9092"},
    ],
)
def test_incomplete_or_unknown_settings_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        KafkaSettings(**wrong)


def test_a_certificate_that_cannot_be_read_is_a_configuration_error() -> None:
    settings = KafkaSettings(security_protocol="SSL", ssl_cafile="/nowhere/ca.pem")
    with pytest.raises(ConfigError, match="TLS files"):
        settings.client_options()
