"""What `saga doctor` says of messages, passwords and tokens that travel in the clear."""

from __future__ import annotations

from typing import Any

import pytest

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.operations.checks.broker import judge_encryption

USER = {"sasl_username": "saga", "sasl_password": "hush"}


@pytest.mark.parametrize(
    ("servers", "given", "verdict"),
    [
        ("localhost:9092", {}, None),
        ("127.0.0.1:9092,[::1]:9092", {"security_protocol": "SASL_PLAINTEXT", **USER}, None),
        ("kafka:9092", {}, "note"),
        ("localhost:9092,10.0.0.7:9092", {}, "note"),
        ("kafka:9093", {"security_protocol": "SSL"}, None),
        ("kafka:9093", {"security_protocol": "SASL_SSL", **USER}, None),
        ("kafka:9092", {"security_protocol": "SASL_PLAINTEXT", **USER}, "warning"),
        ("kafka:9092", {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-512", **USER}, "note"),
        (
            "kafka:9092",
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_oauth_token_provider": "shop.tokens:provider",
            },
            "warning",
        ),
    ],
)
def test_what_leaves_this_machine_unencrypted_is_said_and_a_secret_among_it_warned_of(
    servers: str, given: dict[str, Any], verdict: str | None
) -> None:
    found = judge_encryption(KafkaSettings(bootstrap_servers=servers, **given))
    assert (None if found is None else found.verdict) == verdict
    assert "hush" not in str(found)
