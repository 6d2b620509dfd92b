"""TLS to the brokers: certificates and keys from files, each complaint with the name of its setting."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kafka_saga.messaging.credentials import read_secret
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.telemetry import log

_log = log("tls")

_Stamps = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files that TLS needs.

    Attributes:
        cafile: certificates (PEM) of who may have signed the broker's; the system's when not given.
        certfile: our certificate (PEM), for mutual TLS.
        keyfile: its key (PEM).
        key_password: the password of that key.
        key_password_file: a file with that password instead.

    """

    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    key_password: str | None = None
    key_password_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """A context that checks the broker's certificate and host name, and shows ours where there is one.

        Raises:
            ConfigError: a file cannot be read, or does not hold what it should.

        """
        for setting, name in (
            ("ssl_cafile", self.cafile),
            ("ssl_certfile", self.certfile),
            ("ssl_keyfile", self.keyfile),
        ):
            if name is not None:
                _check_readable(setting, name)
        try:
            context = ssl.create_default_context(cafile=self.cafile)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise ConfigError(f"ssl_cafile {self.cafile} holds no certificate in PEM form: {_words(error)}") from error
        if self.certfile is not None:
            password = self.key_password
            if self.key_password_file is not None:
                password = read_secret("ssl_key_password_file", self.key_password_file)
            _load_chain(context, self.certfile, self.keyfile, password)
        return context

    def stamps(self) -> _Stamps:
        """What changes when one of the files is written or replaced. A link is followed: Kubernetes changes those."""
        files = (self.cafile, self.certfile, self.keyfile, self.key_password_file)
        return tuple(_stamp(Path(file)) for file in files if file is not None)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class RenewedContext(ssl.SSLContext):
    """A context that is made anew for the next connection once one of its files has changed.

    aiokafka takes a context once, when a client is made; but each connection asks it for its TLS anew. While what
    stands in the files cannot be used (a certificate is replaced, its key not yet), the last one that could goes on.
    """

    _files: TlsFiles
    _newest: ssl.SSLContext
    _seen: _Stamps

    def __new__(cls, files: TlsFiles) -> Self:
        """Make it from `files`.

        Raises:
            ConfigError: one cannot be used.

        """
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context._files, context._seen = files, files.stamps()
        context._newest = files.context()
        return context

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """The TLS of one connection."""
        stamps = self._files.stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._newest = self._files.context()
            except ConfigError as error:
                _log.warning("credentials.kept", error=str(error))
        return self._newest.wrap_bio(*arguments, **options)


def _load_chain(context: ssl.SSLContext, certfile: str, keyfile: str | None, key_password: str | None) -> None:
    # Without any password OpenSSL would ask for one on the terminal of whoever started us.
    try:
        context.load_cert_chain(certfile, keyfile, password=key_password or "")
    except (ssl.SSLError, OSError, ValueError) as error:
        words = _words(error)
        if "mismatch" in words.lower():
            raise ConfigError(f"ssl_keyfile {keyfile} is not the key of ssl_certfile {certfile}") from error
        if _is_encrypted(keyfile):
            state = "wrong" if key_password else "not set, and the key has one"
            raise ConfigError(f"ssl_keyfile {keyfile} cannot be opened: ssl_key_password is {state}") from error
        raise ConfigError(
            f"ssl_certfile {certfile} and ssl_keyfile {keyfile} are no certificate and key in PEM form: {words}"
        ) from error


def _check_readable(setting: str, name: str) -> None:
    try:
        with Path(name).open("rb"):
            pass
    except OSError as error:
        raise ConfigError(f"{setting} {name} cannot be read: {error.strerror}") from error


def _is_encrypted(keyfile: str | None) -> bool:
    return keyfile is not None and b"ENCRYPTED" in Path(keyfile).read_bytes()


def _words(error: Exception) -> str:
    """OpenSSL's reason without its file and line."""
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(error)
