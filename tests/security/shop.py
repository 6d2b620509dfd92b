"""The order system on a secured Kafka: who logs in how, and what the broker says to each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataRequest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.schemas.topics import TopicNames
from tests.integration.processes import CLOCK, PATIENCE_MS, Process
from tests.integration.world import World
from tests.security.secured_kafka import ADMIN, SecuredKafka

PREFIX = "shop."
TOPICS = TopicNames(prefix=PREFIX)
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "orchestrator": ("USERS", {}),  # SCRAM-SHA-512
    "inventory": ("TOKENS", {}),  # OAUTHBEARER
    "payment": ("MUTUAL", {}),  # a client certificate
    "orders": ("USERS", {"sasl_mechanism": "PLAIN"}),
    "client": ("USERS", {}),
    "operator": ("USERS", {}),
    "nobody": ("USERS", {}),
}
"""By which listener and mechanism each role logs in."""

PRINCIPALS = {role: f"User:{'CN=' if way[0] == 'MUTUAL' else ''}{role}" for role, way in WAYS.items()}


def environment_of(kafka: SecuredKafka, role: str) -> dict[str, str]:
    listener, changes = WAYS[role]
    return kafka.environment(listener, role, **changes)


def settings_of(kafka: SecuredKafka, role: str) -> KafkaSettings:
    listener, changes = WAYS[role]
    return kafka.settings(listener, role, **changes)


class SecuredWorld(World):
    """The order system, every process as its own user."""

    def __init__(self, kafka: SecuredKafka, folder: Path) -> None:
        super().__init__(settings_of(kafka, "client").bootstrap_servers, folder, PREFIX)
        self._secured = kafka
        self.kafka = settings_of(kafka, "client")
        self.producer = Producer(self.kafka)

    def add(self, name: str, command: list[str]) -> Process:
        process = super().add(name, command)
        process.environment |= {**environment_of(self._secured, name), "SAGA_LOG_LEVEL": "debug"}
        return process


def kafkas_word(kafka: SecuredKafka, role: str, topics: list[str]) -> set[tuple[str, str]]:
    """What the broker's authorizer allows a user on topics, by itself."""
    config = librdkafkas(kafka.settings(*(("MUTUAL", role) if WAYS[role][0] == "MUTUAL" else ("USERS", role))))
    admin = AdminClient(config)
    found: set[tuple[str, str]] = set()
    described = admin.describe_topics(TopicCollection(topics), include_authorized_operations=True)
    for name, future in described.items():
        if future.exception(30) is None:
            found |= {
                (name, _NAMES.get(operation, operation.name)) for operation in future.result().authorized_operations
            }
    return found


_NAMES = {
    AclOperation.READ: "Read",
    AclOperation.WRITE: "Write",
    AclOperation.CREATE: "Create",
    AclOperation.DESCRIBE: "Describe",
    AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs",
}


def librdkafkas(settings: KafkaSettings) -> dict[str, Any]:
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "ssl.ca.location": settings.ssl_cafile,
        "log_level": 0,
    }
    if settings.sasl_password is not None:
        config["sasl.mechanism"] = settings.sasl_mechanism
        config["sasl.username"], config["sasl.password"] = (
            settings.sasl_username,
            settings.sasl_password.get_secret_value(),
        )
    else:
        config |= {"ssl.certificate.location": settings.ssl_certfile, "ssl.key.location": settings.ssl_keyfile}
    return config


@asynccontextmanager
async def one_client(settings: KafkaSettings) -> AsyncIterator[AIOKafkaClient]:
    """A client as aiokafka has it, which reads its options once."""
    client = AIOKafkaClient(**settings.client_options(), retry_backoff_ms=20)
    await client.bootstrap()
    try:
        yield client
    finally:
        await client.close()


async def seen(client: AIOKafkaClient) -> set[str] | None:
    """The topics that the broker shows to whom the client logs in as; None where it does not let it in."""
    try:
        answer = await client.send(client.get_random_node(), MetadataRequest(None))
    except kafka_errors.KafkaError:
        return None
    return {name for _code, name, *_ in answer.topics}


async def comes_to_see(client: AIOKafkaClient, topics: set[str] | None) -> None:
    async def look() -> None:
        while await seen(client) != topics:
            await CLOCK.sleep(100)

    await asyncio.wait_for(look(), PATIENCE_MS / 1_000)


def change_password(kafka: SecuredKafka, user: str, password: str) -> None:
    admin = AdminClient(librdkafkas(kafka.settings("USERS", ADMIN)))
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4_096)
    for future in admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(user, scram, password.encode())]
    ).values():
        future.result(30)
