"""Who may use dashboard and HTTP API: settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from kafka_saga.orchestrator.http.security.actors import Role
from kafka_saga.orchestrator.http.security.proxies import Proxies, read_network
from kafka_saga.orchestrator.http.security.tokens import Tokens
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.limits import HTTP_TOKEN_LENGTH_MAX, HTTP_TOKEN_LENGTH_MIN

_LISTS = ("allowed_hosts", "trusted_proxies", "operator_groups", "reader_groups")


class SecuritySettings(BaseModel):
    """Tokens, trusted proxies, and what the server is called. Tokens are never printed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operator_token: SecretStr | None = Field(default=None, description="Who shows it over HTTP may act")
    operator_token_file: Path | None = Field(default=None, description="File with that token instead")
    reader_token: SecretStr | None = Field(default=None, description="Who shows it over HTTP may look")
    reader_token_file: Path | None = Field(default=None, description="File with that token instead")
    session_hours: int = Field(default=12, ge=1, le=24 * 30, description="How long a browser stays logged in")
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Further names that browsers may call the server by, e.g. saga.example.com"
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(), description="Addresses or networks of reverse proxies whose word for who asks is taken"
    )
    user_header: str = Field(
        default="X-Forwarded-User", min_length=1, description="What a trusted proxy names users in"
    )
    groups_header: str = Field(
        default="X-Forwarded-Groups", min_length=1, description="What a trusted proxy names their groups in"
    )
    operator_groups: tuple[str, ...] = Field(
        default=(), description="Groups whose members may act; * is everybody that the proxy knows"
    )
    reader_groups: tuple[str, ...] = Field(default=(), description="Groups whose members may look; * as above")
    requests_per_second: int = Field(
        default=500, ge=1, le=100_000, description="Requests over HTTP that one user may send in a second"
    )

    @field_validator(*_LISTS, mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(",")
        return tuple(part.strip() for part in value if part.strip()) if isinstance(value, list | tuple) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _small(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower() for name in value)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(read_network(text)) for text in value)
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _once(self) -> Self:
        for role in ("operator", "reader"):
            if getattr(self, f"{role}_token") is not None and getattr(self, f"{role}_token_file") is not None:
                raise ValueError(f"{role}_token and {role}_token_file are both given; leave one out")
        return self

    @property
    def is_guarded(self) -> bool:
        """Whether it is asked who somebody is."""
        given = (self.operator_token, self.operator_token_file, self.reader_token, self.reader_token_file)
        return any(one is not None for one in given) or bool(self.trusted_proxies)

    def tokens(self) -> Tokens:
        """The tokens there are.

        Raises:
            ConfigError: a file cannot be read, a token is too short, or both are the same.

        """
        found = {
            role: _token(f"{role.name.lower()}_token", token, file)
            for role, token, file in (
                (Role.OPERATOR, self.operator_token, self.operator_token_file),
                (Role.READER, self.reader_token, self.reader_token_file),
            )
            if token is not None or file is not None
        }
        if len(set(found.values())) < len(found):
            raise ConfigError("http.operator_token and reader_token are the same: make two")
        return Tokens(found)

    def proxies(self) -> Proxies:
        """The proxies there are."""
        return Proxies(
            networks=tuple(read_network(text) for text in self.trusted_proxies),
            user_header=self.user_header.lower(),
            groups_header=self.groups_header.lower(),
            operator_groups=self.operator_groups,
            reader_groups=self.reader_groups,
        )


def _token(name: str, token: SecretStr | None, file: Path | None) -> str:
    text = _read(name, file) if token is None and file is not None else token.get_secret_value() if token else ""
    if not HTTP_TOKEN_LENGTH_MIN <= len(text) <= HTTP_TOKEN_LENGTH_MAX or not text.isascii() or " " in text:
        raise ConfigError(
            f"http.{name} must have {HTTP_TOKEN_LENGTH_MIN} to {HTTP_TOKEN_LENGTH_MAX} characters, ASCII and "
            "without blanks: make one with `openssl rand -hex 24`"
        )
    return text


def _read(name: str, file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(HTTP_TOKEN_LENGTH_MAX + 2).decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"http.{name}_file {file} cannot be read: {why}") from error
