"""An Apache Kafka with every kind of listener: plain, TLS, mutual TLS, users, and wrong addresses to go on to."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from deploy.kafka import kafka as local_kafka
from deploy.kafka.kafka import Listener, free_port
from kafka_saga.messaging.settings import KafkaSettings
from tests.messaging.certificates import Authority, Pair

USER, PASSWORD, SECRET = "saga", "hush-1", "hush-2"  # SECRET is the same user's for SCRAM
NO_SUCH_HOST = "broker-1.kafka.invalid"


@dataclass(frozen=True)
class GuardedKafka:
    """The broker, and what its clients need."""

    broker: local_kafka.Broker
    authority: Authority
    client: Pair

    def settings(self, listener: str, **changes: Any) -> KafkaSettings:
        """The right settings for a listener, but for `changes`; None leaves one out."""
        found = self.broker.listeners.get(listener, Listener("PLAINTEXT", self.broker.port))
        right: dict[str, Any] = {"bootstrap_servers": found.bootstrap_servers, "security_protocol": found.protocol}
        if found.protocol.startswith("SASL"):
            right |= {"sasl_username": USER, "sasl_password": PASSWORD}
        if found.protocol.endswith("SSL"):
            right["ssl_cafile"] = str(self.authority.certificate)
        if listener == "MUTUAL":
            right |= {"ssl_certfile": str(self.client.certificate), "ssl_keyfile": str(self.client.key)}
        return KafkaSettings(**{name: value for name, value in (right | changes).items() if value is not None})


@contextmanager
def guarded_kafka() -> Iterator[GuardedKafka]:
    """One that runs; skips where it cannot."""
    missing = local_kafka.missing_tools() or (None if shutil.which("openssl") else "openssl is not installed")
    if missing is not None:
        pytest.skip(f"needs Apache Kafka with TLS and users: {missing}")
    with tempfile.TemporaryDirectory(prefix="saga-guarded-", ignore_cleanup_errors=True) as folder:
        authority = Authority(Path(folder, "certificates"))
        own = authority.sign("broker", "IP:127.0.0.1").together()
        login = "org.apache.kafka.common.security"
        users = {
            f"listener.name.{name}.{mechanism}.sasl.jaas.config": line
            for name in ("users", "usersbytls")
            for mechanism, line in (
                ("plain", f'{login}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'),
                ("scram-sha-256", f"{login}.scram.ScramLoginModule required;"),
            )
        }
        tls = {
            f"listener.name.{name}.ssl.{what}": value
            for name in ("tls", "mutual", "usersbytls")
            for what, value in {
                "keystore.type": "PEM",
                "keystore.location": str(own),
                "truststore.type": "PEM",
                "truststore.location": str(authority.certificate),
                "client.auth": "required" if name == "mutual" else "none",
            }.items()
        }
        broker = local_kafka.Broker(
            Path(folder, "data"),
            config={"sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256", **users, **tls},
            listeners={
                "TLS": Listener("SSL"),
                "MUTUAL": Listener("SSL"),
                "USERS": Listener("SASL_PLAINTEXT"),
                "USERSBYTLS": Listener("SASL_SSL"),
                "NAMELESS": Listener("PLAINTEXT", advertised=f"{NO_SUCH_HOST}:9092"),
                "CLOSED": Listener("PLAINTEXT", advertised=f"127.0.0.1:{free_port()}"),
            },
        )
        try:
            broker.start()
            _add_scram_user(broker.bootstrap_servers)
            yield GuardedKafka(broker, authority, authority.sign("client"))
        finally:
            broker.stop()


def _add_scram_user(servers: str) -> None:
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    admin = AdminClient({"bootstrap.servers": servers})
    for future in admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(USER, scram, SECRET.encode())]
    ).values():
        future.result(30)
