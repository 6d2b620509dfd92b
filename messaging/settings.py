"""How to reach the brokers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from kafka_saga.messaging.addresses import Address, read_addresses
from kafka_saga.messaging.credentials import PasswordInFile
from kafka_saga.messaging.principals import subject_of
from kafka_saga.messaging.tls import RenewedContext, TlsFiles
from kafka_saga.messaging.tokens import Tokens, TokenSource
from kafka_saga.runtime import limits

OAUTHBEARER: Final = "OAUTHBEARER"


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
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        default="PLAIN", description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
    )
    sasl_username: str | None = Field(default=None, description="user of a SASL protocol")
    sasl_password: SecretStr | None = Field(default=None, description="password of that user")
    sasl_password_file: Path | None = Field(
        default=None, description="file with that password instead, read at each connection"
    )
    sasl_oauth_token_file: Path | None = Field(
        default=None, description="file with the token of OAUTHBEARER, read at each connection"
    )
    sasl_oauth_token_provider: str | None = Field(
        default=None, description="what makes that token instead, module:object, asked at each connection"
    )
    ssl_cafile: str | None = Field(default=None, description="CA certificates (PEM); the system's when not given")
    ssl_certfile: str | None = Field(default=None, description="client certificate (PEM) for mutual TLS")
    ssl_keyfile: str | None = Field(default=None, description="key of the client certificate (PEM)")
    ssl_key_password: SecretStr | None = Field(default=None, description="password of that key")
    ssl_key_password_file: Path | None = Field(
        default=None, description="file with that password instead, read with the key"
    )

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
        for name in ("sasl_password", "ssl_key_password"):
            if getattr(self, name) and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"{name} and {name}_file are both given; leave one out")
        if self.sasl_oauth_token_file is not None and self.sasl_oauth_token_provider is not None:
            raise ValueError("sasl_oauth_token_file and sasl_oauth_token_provider are both given; leave one out")
        if self.uses_sasl:
            self._check_user()
        if bool(self.ssl_certfile) != bool(self.ssl_keyfile):
            raise ValueError("ssl_certfile and ssl_keyfile go together")
        return self

    def _check_user(self) -> None:
        if self.sasl_mechanism == OAUTHBEARER:
            if self.sasl_oauth_token_file is None and self.sasl_oauth_token_provider is None:
                raise ValueError("OAUTHBEARER needs sasl_oauth_token_file or sasl_oauth_token_provider")
            return
        has_password = bool(self.sasl_password) or self.sasl_password_file is not None
        if not (self.sasl_username and has_password):
            raise ValueError(f"{self.security_protocol} needs sasl_username and sasl_password (or sasl_password_file)")

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

    @property
    def principal(self) -> str:
        """Who we are to the broker's authorizer, as far as we can know: it may map names by rules of its own."""
        if self.uses_sasl and self.sasl_mechanism == OAUTHBEARER:
            return f"User:{self._tokens.subject or '(of the token)'}"
        if self.uses_sasl:
            return f"User:{self.sasl_username}"
        if self.uses_tls and self.ssl_certfile is not None:
            return f"User:{subject_of(self.ssl_certfile)}"
        return "User:ANONYMOUS"

    @property
    def shown_as(self) -> str:
        """What logs us in, for people: a user, or where the token came from."""
        if self.sasl_mechanism == OAUTHBEARER:
            subject = self._tokens.subject
            return f"the token of {self._tokens}" + (f" (user '{subject}')" if subject else "")
        return f"user '{self.sasl_username}'"

    @property
    def _tokens(self) -> TokenSource:
        return TokenSource(self.sasl_oauth_token_file, self.sasl_oauth_token_provider)

    def client_options(self) -> dict[str, Any]:
        """The keyword arguments that every aiokafka client takes.

        Files are read now, so that a wrong one is said at once, and again at each connection that a client makes: what
        was renewed on disk is used from the next one on.

        Raises:
            ConfigError: a file of a certificate, key, password or token, or a token's provider, cannot be used.

        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": self.client_id,
            "request_timeout_ms": limits.REQUEST_TIMEOUT_MS,
            "security_protocol": self.security_protocol,
        }
        if self.uses_sasl:
            options["sasl_mechanism"] = self.sasl_mechanism
            if self.sasl_mechanism == OAUTHBEARER:
                options["sasl_oauth_token_provider"] = Tokens(self._tokens)
            else:
                options["sasl_plain_username"] = self.sasl_username
                options["sasl_plain_password"] = self._password()
        if self.uses_tls:
            options["ssl_context"] = RenewedContext(
                TlsFiles(
                    cafile=self.ssl_cafile,
                    certfile=self.ssl_certfile,
                    keyfile=self.ssl_keyfile,
                    key_password=self.ssl_key_password.get_secret_value() if self.ssl_key_password else None,
                    key_password_file=self.ssl_key_password_file,
                )
            )
        return options

    def _password(self) -> str:
        if self.sasl_password_file is not None:
            return PasswordInFile.read("sasl_password_file", self.sasl_password_file)
        assert self.sasl_password is not None, "one of the two is given"
        return self.sasl_password.get_secret_value()
