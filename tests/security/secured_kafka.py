"""An Apache Kafka as security people want it: TLS on every way in, users, and no right but those that were granted."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from deploy.kafka import kafka as local_kafka
from deploy.kafka.kafka import Listener, free_port
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.clock import SystemClock
from tests.messaging.certificates import Authority

ADMIN = "admin"
ROLES = ("orchestrator", "inventory", "payment", "orders", "client", "operator")
USERS = {name: f"{name}-hush" for name in (ADMIN, *ROLES, "nobody")}
"""Passwords by user: roles, an administrator who may everything, and one who may nothing."""

ISSUER, AUDIENCE = "https://login.shop.example", "kafka"
SESSION_MS = 1_500
"""After this long the broker ends a connection of the listener BRIEF at its next request: it makes who uses it log in
again, and a client that cannot do so on the same connection makes another one."""

_LOGIN = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class SecuredKafka:
    """The broker, and what its clients need."""

    broker: local_kafka.Broker
    authority: Authority
    signing_key: Path
    relay_port: int
    """Where clients of the listener RELAYED are sent: a `Relay` that a test opens."""

    def settings(self, listener: str, user: str, **changes: Any) -> KafkaSettings:
        """The right settings of `user` on a listener, but for `changes`; None leaves one out."""
        return KafkaSettings.model_validate(self.given(listener, user, **changes))

    def given(self, listener: str, user: str, **changes: Any) -> dict[str, Any]:
        found = self.broker.listeners[listener]
        right: dict[str, Any] = {
            "bootstrap_servers": found.bootstrap_servers,
            "security_protocol": found.protocol,
            "ssl_cafile": str(self.authority.certificate),
        }
        if listener == "RELAYED":
            right["bootstrap_servers"] = f"127.0.0.1:{self.relay_port}"
        if listener in {"MUTUAL", "RELAYED"}:
            folder = self.authority.folder
            right |= {"ssl_certfile": str(folder / f"{user}.crt"), "ssl_keyfile": str(folder / f"{user}.key")}
        elif listener == "TOKENS":
            right |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_file": str(self.token_file(user))}
        else:
            right |= {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": user, "sasl_password": USERS.get(user, "x")}
        return {name: value for name, value in (right | changes).items() if value is not None}

    def environment(self, listener: str, user: str, **changes: Any) -> dict[str, str]:
        """The same, as variables."""
        given = self.given(listener, user, **changes)
        return {f"SAGA_KAFKA__{name.upper()}": str(value) for name, value in given.items()}

    def token(self, user: str, *, valid_s: int = 3_600, audience: str = AUDIENCE) -> str:
        """A token of `user`, signed as the broker expects it."""
        now_s = SystemClock().now_ms() // 1_000
        claims = {"sub": user, "iss": ISSUER, "aud": audience, "iat": now_s - 60, "exp": now_s + valid_s}
        signed = f"{_part({'alg': 'RS256', 'kid': 'one'})}.{_part(claims)}"
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.signing_key), "-binary"],
            input=signed.encode(), check=True, capture_output=True,
        ).stdout  # fmt: skip
        return f"{signed}.{_base64(signature)}"

    def token_file(self, user: str) -> Path:
        path = self.authority.folder / f"{user}.jwt"
        if not path.exists():
            path.write_text(f"{self.token(user)}\n")
        return path


@contextmanager
def secured_kafka() -> Iterator[SecuredKafka]:
    """One that runs; skips where it cannot."""
    missing = local_kafka.missing_tools() or (None if shutil.which("openssl") else "openssl is not installed")
    if missing is not None:
        pytest.skip(f"needs Apache Kafka with TLS, users and rights: {missing}")
    with tempfile.TemporaryDirectory(prefix="saga-secured-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        authority = Authority(folder / "certificates")
        own = authority.sign("broker", "IP:127.0.0.1").together()
        for user in ("payment", "nobody"):
            authority.sign(user)
        key, keys = folder / "signing.key", folder / "keys.json"
        keys.write_text(json.dumps(_key_set(key)))
        broker = local_kafka.Broker(
            folder / "data",
            config=_rights() | _tls(own, authority) | _logins(keys),
            listeners={
                "USERS": Listener("SASL_SSL"),
                "BRIEF": Listener("SASL_SSL"),
                "TOKENS": Listener("SASL_SSL"),
                "MUTUAL": Listener("SSL"),
                "RELAYED": Listener("SSL", advertised=f"127.0.0.1:{(relay := free_port())}"),
            },
            scram=USERS,
            jvm_options=(f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys.as_uri()}",),
        )
        try:
            broker.start()
            yield SecuredKafka(broker, authority, key, relay)
        finally:
            broker.stop()


def _rights() -> dict[str, str]:
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The plain port is the broker's own way to itself: nobody else is told of it.
        "super.users": f"User:ANONYMOUS;User:{ADMIN}",
    }


def _tls(own: Path, authority: Authority) -> dict[str, str]:
    return {
        f"listener.name.{listener}.ssl.{what}": value
        for listener in ("users", "brief", "tokens", "mutual", "relayed")
        for what, value in {
            "keystore.type": "PEM",
            "keystore.location": str(own),
            "truststore.type": "PEM",
            "truststore.location": str(authority.certificate),
            "client.auth": "required" if listener in {"mutual", "relayed"} else "none",
        }.items()
    }


def _logins(keys: Path) -> dict[str, str]:
    plain = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    of_users = {
        f"listener.name.{listener}.{mechanism}.sasl.jaas.config": line
        for listener in ("users", "brief")
        for mechanism, line in (
            ("plain", f"{_LOGIN}.plain.PlainLoginModule required {plain};"),
            ("scram-sha-512", f"{_LOGIN}.scram.ScramLoginModule required;"),
        )
    }
    bearer = "listener.name.tokens.oauthbearer"
    return {
        **of_users,
        "listener.name.users.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.brief.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.tokens.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.brief.plain.connections.max.reauth.ms": str(SESSION_MS),
        f"{bearer}.connections.max.reauth.ms": "3600000",  # or for as long as the token holds
        "listener.name.brief.scram-sha-512.connections.max.reauth.ms": str(SESSION_MS),
        f"{bearer}.sasl.jaas.config": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required;",
        f"{bearer}.sasl.server.callback.handler.class": f"{_LOGIN}.oauthbearer.OAuthBearerValidatorCallbackHandler",
        "sasl.oauthbearer.jwks.endpoint.url": keys.as_uri(),
        "sasl.oauthbearer.expected.issuer": ISSUER,
        "sasl.oauthbearer.expected.audience": AUDIENCE,
    }


def _key_set(key: Path) -> Mapping[str, Any]:
    """A new key in `key`, and its public part as the broker reads it (RFC 7517)."""
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    shown = subprocess.run(
        ["openssl", "rsa", "-in", str(key), "-noout", "-modulus"], check=True, capture_output=True, text=True
    ).stdout
    modulus = _base64(bytes.fromhex(shown.strip().partition("=")[2]))
    return {"keys": [{"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": modulus, "e": "AQAB"}]}


class Relay:
    """Carries bytes to a broker, until it is told to cut every connection: so a client makes new ones."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self, port: int) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        try:
            yield self
        finally:
            server.close()
            await self.cut()

    async def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._carrying)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        for source, target in ((reader, broker_writer), (broker_reader, writer)):
            self._writers.add(target)
            carrying = asyncio.create_task(self._carry(source, target))
            self._carrying.add(carrying)
            carrying.add_done_callback(self._carrying.discard)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
        except OSError:
            target.transport.abort()
        finally:
            target.close()
            self._writers.discard(target)


def _part(document: Mapping[str, Any]) -> str:
    return _base64(json.dumps(document).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
