"""How to reach the brokers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from kafka_saga.messaging.addresses import Address, read_addresses
from kafka_saga.messaging.tls import client_context
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import ConfigError


class KafkaSettings(BaseModel):
    """Address and credentials of a Kafka cluster. The defaults suit a broker on this machine.

    The names are those of every Kafka client; passwords are never printed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = Field(
        default="localhost:9092", description="host:port of one or more brokers, with commas between"
    )
    client_id: str = Field(default="kafka-saga", min_length=1, description="names this process in the broker's logs")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="PLAIN", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    sasl_username: str | None = Field(default=None, description="user of a SASL protocol")
    sasl_password: SecretStr | None = Field(default=None, description="password of that user")
    sasl_password_file: Path | None = Field(
        default=None, description="file with that password instead, read at each connection"
    )
    ssl_cafile: str | None = Field(default=None, description="CA certificates (PEM); the system's when not given")
    ssl_certfile: str | None = Field(default=None, description="client certificate (PEM) for mutual TLS")
    ssl_keyfile: str | None = Field(default=None, description="key of the client certificate (PEM)")
    ssl_key_password: SecretStr | None = Field(default=None, description="password of that key")

    @field_validator("bootstrap_servers", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses(cls, value: str) -> str:
        return ",".join(map(str, read_addresses(value)))

    @field_validator("security_protocol", "sasl_mechanism", mode="before")
    @classmethod
    def _capitals(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        has_password = bool(self.sasl_password) or self.sasl_password_file is not None
        if self.uses_sasl and not (self.sasl_username and has_password):
            raise ValueError(f"{self.security_protocol} needs sasl_username and sasl_password (or sasl_password_file)")
        if self.sasl_password and self.sasl_password_file is not None:
            raise ValueError("sasl_password and sasl_password_file are both given; leave one out")
        if bool(self.ssl_certfile) != bool(self.ssl_keyfile):
            raise ValueError("ssl_certfile and ssl_keyfile go together")
        return self

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The bootstrap servers."""
        return read_addresses(self.bootstrap_servers)

    @property
    def uses_sasl(self) -> bool:
        """Whether a user and a password are sent."""
        return self.security_protocol.startswith("SASL")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    def client_options(self) -> dict[str, Any]:
        """The keyword arguments that every aiokafka client takes.

        Raises:
            ConfigError: a file of a certificate, key or password cannot be used.

        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": self.client_id,
            "request_timeout_ms": limits.REQUEST_TIMEOUT_MS,
            "security_protocol": self.security_protocol,
        }
        if self.uses_sasl:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self._password()
        if self.uses_tls:
            options["ssl_context"] = client_context(
                cafile=self.ssl_cafile,
                certfile=self.ssl_certfile,
                keyfile=self.ssl_keyfile,
                key_password=self.ssl_key_password.get_secret_value() if self.ssl_key_password else None,
            )
        return options

    def _password(self) -> str:
        if self.sasl_password_file is None:
            assert self.sasl_password is not None
            return self.sasl_password.get_secret_value()
        try:
            password = self.sasl_password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(f"sasl_password_file {self.sasl_password_file} cannot be read: {why}") from error
        if not password:
            raise ConfigError(f"sasl_password_file {self.sasl_password_file} is empty")
        return password
