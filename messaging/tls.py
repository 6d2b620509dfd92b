"""TLS to the brokers: certificates and keys from files, each complaint with the name of its setting."""

from __future__ import annotations

import ssl
from pathlib import Path

from kafka_saga.runtime.errors import ConfigError


def client_context(
    *, cafile: str | None, certfile: str | None, keyfile: str | None, key_password: str | None
) -> ssl.SSLContext:
    """A context that checks the broker's certificate and host name, and shows ours where there is one.

    Args:
        cafile: certificates (PEM) of who may have signed the broker's; the system's when not given.
        certfile: our certificate (PEM), for mutual TLS.
        keyfile: its key (PEM).
        key_password: the password of that key.

    Raises:
        ConfigError: a file cannot be read, or does not hold what it should.

    """
    for setting, name in (("ssl_cafile", cafile), ("ssl_certfile", certfile), ("ssl_keyfile", keyfile)):
        if name is not None:
            _check_readable(setting, name)
    try:
        context = ssl.create_default_context(cafile=cafile)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(f"ssl_cafile {cafile} holds no certificate in PEM form: {_words(error)}") from error
    if certfile is not None:
        _load_chain(context, certfile, keyfile, key_password)
    return context


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
