"""Tokens for OAUTHBEARER: from a file that somebody renews, or from code of the user's, asked at each connection."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import errors as kafka_errors
from aiokafka.abc import AbstractTokenProvider

from kafka_saga.messaging.credentials import install, read_secret
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.importing import import_users

TOKEN_TIMEOUT_MS: Final = 10_000
"""How long a provider may take. aiokafka makes one connection at a time, and would wait for it without end."""

FILE_SETTING: Final = "sasl_oauth_token_file"
PROVIDER_SETTING: Final = "sasl_oauth_token_provider"

_subjects: Final[dict[str, str]] = {}
"""Whose the last token was, by where it came from: what a refused right is told to concern."""


class TokenError(kafka_errors.KafkaError):  # type: ignore[misc] # aiokafka has no types
    """There is no token to show; the text says why. aiokafka tries the connection again, as after any other failure."""

    retriable = True


class TokenSource(NamedTuple):
    """Where tokens come from: one of the two.

    Attributes:
        file: a file with a token, that is read at each connection.
        provider: `module:object`; the object is one of aiokafka's `AbstractTokenProvider`, a class of such, or a
            function, async or not, that returns the token, or a tuple that begins with it.

    """

    file: Path | None
    provider: str | None

    @property
    def subject(self) -> str | None:
        """Whose the last token was, as far as a token tells."""
        if self.file is not None and str(self) not in _subjects:
            with suppress(ConfigError):
                _note(self, read_secret(FILE_SETTING, self.file))
        return _subjects.get(str(self))

    def __str__(self) -> str:
        return f"{FILE_SETTING} {self.file}" if self.file is not None else f"{PROVIDER_SETTING} {self.provider}"


class Tokens(AbstractTokenProvider):  # type: ignore[misc] # aiokafka has no types
    """What aiokafka asks for a token."""

    def __init__(self, source: TokenSource) -> None:
        """Load the provider, or read the file once.

        Raises:
            ConfigError: it cannot be imported, or is none; the file cannot be read.

        """
        install()
        self._source = source
        self._provider: Any = None
        if source.file is not None:
            read_secret(FILE_SETTING, source.file)
        else:
            assert source.provider is not None, "one of the two is given"
            self._provider = _load(source.provider)

    async def token(self) -> str:
        """The token for one connection.

        Raises:
            TokenError: there is none.

        """
        try:
            async with asyncio.timeout(TOKEN_TIMEOUT_MS / 1_000):
                found = await self._asked()
        except TimeoutError as error:
            raise TokenError(f"{self._source} gives no token within {TOKEN_TIMEOUT_MS // 1_000} s") from error
        except ConfigError as error:
            raise TokenError(str(error)) from error
        except Exception as error:
            # A provider is the user's code: what it raises may hold the secret that it was given, so only its class.
            raise TokenError(f"{self._source} gives no token: {type(error).__name__}") from error
        token = found[0] if isinstance(found, tuple) and found else found
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise TokenError(f"{self._source} gives no token, but something of type {type(token).__name__}")
        _note(self._source, token)
        return token

    async def _asked(self) -> Any:
        if self._source.file is not None:
            return read_secret(FILE_SETTING, self._source.file)
        ask: Callable[[], Any] = getattr(self._provider, "token", self._provider)
        if inspect.iscoroutinefunction(ask):
            return await ask()
        found = await asyncio.to_thread(ask)  # it may ask a server
        return await found if inspect.isawaitable(found) else found

    def extensions(self) -> Mapping[str, str]:
        """What the provider has sent with the token."""
        try:
            found: Mapping[str, str] = getattr(self._provider, "extensions", dict)()
        except Exception as error:
            raise TokenError(f"{self._source} gives no extensions: {type(error).__name__}") from error
        return found


def _load(path: str) -> Any:
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise ConfigError(f"{PROVIDER_SETTING} {path}: write module:object, e.g. shop.tokens:provider")
    found: Any = import_users(module, f"{PROVIDER_SETTING} {path}")
    for part in name.split("."):
        found = getattr(found, part, None)
    if inspect.isclass(found) and issubclass(found, AbstractTokenProvider):
        found = found()
    if not callable(found) and not callable(getattr(found, "token", None)):
        raise ConfigError(
            f"{PROVIDER_SETTING} {path} is no provider of tokens: name a function that returns one, or an "
            "aiokafka.abc.AbstractTokenProvider"
        )
    return found


def _note(source: TokenSource, token: str) -> None:
    """Remember whose a token is. It is not checked: that is the broker's."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        subject = claims.get("sub")
    except (ValueError, IndexError, AttributeError, RecursionError):
        return
    if isinstance(subject, str):
        _subjects[str(source)] = subject
