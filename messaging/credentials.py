"""What we show a broker, as it stands when a connection is made: others renew passwords and tokens on disk.

aiokafka takes a password once, when a client is made, and goes on with it for years; and it takes a refused token for
an accepted one, since it does not read the broker's answer to it (0.14). Both are mended where a connection logs in.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator

from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.telemetry import log

_log = log("credentials")

SECRET_BYTES_MAX: Final = 64 * 1024
"""Of a file with a password or a token. The largest tokens have a few KiB; a wrong path may lead to anything."""

_NOT_AUTHENTICATED: Final = b"\x01"
"""What a client says to a refused token, to be told so (RFC 7628, section 3.2.3)."""

_connect: Final[Callable[[AIOKafkaConnection], Coroutine[Any, Any, Any]]] = AIOKafkaConnection.connect


def read_secret(setting: str, path: Path) -> str:
    """The password or token in a file, without the end of its line.

    Args:
        setting: what names the file, for the error.
        path: the file.

    Raises:
        ConfigError: it cannot be read, is empty, no text or too large for a secret.

    """
    try:
        with path.open("rb") as file:
            raw = file.read(SECRET_BYTES_MAX + 1)
        text = raw.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{setting} {path} cannot be read: {why}") from error
    if len(raw) > SECRET_BYTES_MAX:
        raise ConfigError(f"{setting} {path} is larger than {SECRET_BYTES_MAX >> 10} KiB: it holds no secret")
    if not text:
        raise ConfigError(f"{setting} {path} is empty")
    return text


class PasswordInFile(str):
    """The password that stood in a file when it was last read, and where that is."""

    __slots__ = ("_latest", "_path", "_setting")
    _latest: str
    _path: Path
    _setting: str

    @classmethod
    def read(cls, setting: str, path: Path) -> PasswordInFile:
        """The password in `path`.

        Raises:
            ConfigError: there is none.

        """
        read = cls(read_secret(setting, path))
        read._setting, read._path, read._latest = setting, path, str(read)
        install()
        return read

    def again(self) -> str:
        """What stands there now; while that is nothing, what stood there before."""
        try:
            self._latest = read_secret(self._setting, self._path)
        except ConfigError as error:
            _log.warning("credentials.kept", error=str(error))
        return self._latest


def install() -> None:
    """Have every connection of aiokafka's show what stands in the files now, and heed the answer to a token."""
    if AIOKafkaConnection.connect is _connect:
        AIOKafkaConnection.connect = _connect_anew
        AIOKafkaConnection.authenticator_oauth = _authenticator_oauth


async def _connect_anew(connection: AIOKafkaConnection) -> Any:
    password = connection._sasl_plain_password  # noqa: SLF001 -- aiokafka has no hook for it
    if isinstance(password, PasswordInFile):
        connection._sasl_plain_password = password.again()  # noqa: SLF001
    return await _connect(connection)


class _HeedingAuthenticator(OAuthAuthenticator):  # type: ignore[misc] # aiokafka has no types
    """Shows a token, and has the broker say why where it refuses it."""

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:  # an accepted token is answered by nothing
            return _NOT_AUTHENTICATED, True
        step: tuple[bytes, bool] | None = await super().step(payload)
        return step


def _authenticator_oauth(connection: AIOKafkaConnection) -> OAuthAuthenticator:
    return _HeedingAuthenticator(sasl_oauth_token_provider=connection._sasl_oauth_token_provider)  # noqa: SLF001
