"""How a client reaches Kafka: loaded when one is made, for the models of settings take a while to build."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.schemas.topics import TopicNames


def settings_of(
    bootstrap_servers: str | Sequence[str] | None, kafka: KafkaSettings | None, prefix: str
) -> tuple[KafkaSettings, TopicNames]:
    """How to reach Kafka, and how topics are called.

    Raises:
        ConfigError: one of them is wrong, or the address is given twice.

    """
    if kafka is not None and bootstrap_servers is not None:
        raise ConfigError("bootstrap_servers and kafka are both given: put the address into KafkaSettings")
    try:
        given = {} if bootstrap_servers is None else {"bootstrap_servers": bootstrap_servers}
        return kafka or KafkaSettings.model_validate(given), TopicNames(prefix=prefix)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error
