"""PostgreSQL, opened the one way that keeps its promises: time limits, no JIT, a primary, and errors in our words.

The driver (asyncpg, the extra `postgres`) is imported where a connection is made: whoever has none needs none.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from kafka_saga.runtime.errors import ConfigError, SagaError, StoreFullError, StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.extras import require
from kafka_saga.runtime.limits import POSTGRES_CONNECT_TIMEOUT_MS
from kafka_saga.runtime.telemetry import log

if TYPE_CHECKING:
    import asyncpg

_log = log("postgres")

SCHEMES = ("postgresql", "postgres")
_MEANT = re.compile(rf"({'|'.join(SCHEMES)})(\+\w*)?(:|//)", re.IGNORECASE)
IN_FILE = "secret:"
"""Before the path of a file that holds a database's URL, wherever one may be named."""
SERVER_VERSION_MIN = 13
"""Older servers are not maintained any more, and lack what the statements need."""

_MASK = "***"
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class PostgresUrl:
    """Where a database is: `postgresql://user:password@host:port,host:port/database?sslmode=verify-full`.

    It is shown without its password wherever it is printed; `secret_text` alone has it. The form, with several hosts
    and the parameters `sslmode`, `sslrootcert`, `target_session_attrs` and so on, is libpq's
    (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING).
    """

    __slots__ = ("file", "latest", "secret_text", "shown")

    def __init__(self, text: str, file: Path | None = None) -> None:
        """Take over a URL.

        Args:
            text: the URL.
            file: where it was read, and is read again for each connection (see `in_file`).

        Raises:
            ConfigError: it is none, or not one of PostgreSQL's.

        """
        self.secret_text = text.strip()
        self.shown = _without_secrets(self.secret_text)
        self.file = file
        self.latest = self
        """What stood in the file when it was last read."""

    @classmethod
    def in_file(cls, file: Path) -> PostgresUrl:
        """The URL that stands in `file`, whose password somebody renews there.

        Raises:
            ConfigError: the file cannot be read, or holds none.

        """
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(f"{file}, which is to hold the database's URL, cannot be read: {why}") from error
        return cls(text, file)

    def renewed(self) -> PostgresUrl:
        """It as it stands in its file now; as it was, where there is none or it cannot be used."""
        if self.file is None:
            return self
        try:
            self.latest = self.in_file(self.file)
        except ConfigError as error:
            _log.warning("credentials.kept", error=str(error))
        return self.latest

    @property
    def told_again(self) -> str:
        """What to tell another process: where it stands, or itself, password and all."""
        return f"{IN_FILE}{self.file}" if self.file is not None else self.secret_text

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"PostgresUrl({self.shown})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PostgresUrl) and other.secret_text == self.secret_text

    def __hash__(self) -> int:
        return hash(self.secret_text)

    @property
    def leaves_the_primary_open(self) -> bool:
        """Whether there are several hosts, and nothing says which of them is meant."""
        return "," in urlsplit(self.secret_text).netloc and "target_session_attrs" not in self.secret_text


def check_schema_name(name: str) -> str:
    """`name`, which needs no quotes anywhere.

    Raises:
        ConfigError: it would.

    """
    if not _SCHEMA_NAME.fullmatch(name) or name.startswith("pg_"):
        raise ConfigError(f"'{name}' is no schema name of ours: use small letters, digits and _, not pg_ in front")
    return name


def is_postgres_url(text: str) -> bool:
    """Whether a text means a PostgreSQL database, and not a file, however wrong the rest of it is."""
    return _MEANT.match(text.strip()) is not None  # with a colon or a slash too few it is no path: it has a password


def _without_secrets(text: str) -> str:
    try:
        parts = urlsplit(text)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError as error:
        raise ConfigError(f"the database's URL cannot be read ({error}): {_FORM}") from None
    if parts.scheme not in SCHEMES:
        said = f"'{parts.scheme}://' is not understood" if parts.scheme else "it has no 'postgresql://' in front"
        raise ConfigError(f"the database's URL: {said}: {_FORM}")
    if not text.lower().startswith(f"{parts.scheme}://"):
        raise ConfigError(f"the database's URL: it has no '//' after '{parts.scheme}:': {_FORM}")
    for sign in "?#":  # what stands before it may look like a host and its port
        behind = text.partition(sign)[2]
        if "@" in (behind if not parts.path and "@" not in parts.netloc else behind.partition("=")[0]):
            raise ConfigError(f"the database's URL: its user or password has a '{sign}' in it: {_FORM}")
    if "@" in parts.path:
        raise ConfigError(f"the database's URL: its user or password has a '/' in it: {_FORM}")
    user, at, hosts = parts.netloc.rpartition("@")
    if "@" in user:  # the driver would look for what follows the first one as a host
        raise ConfigError(f"the database's URL: its user or password has an '@' in it: {_FORM}")
    for host in hosts.split(","):
        _check_port(host)
    if ":" in user:
        user = f"{user.partition(':')[0]}:{_MASK}"
    shown = urlencode(
        # However it is spelled: a name that the server does not know is shown with the rest.
        [(name, _MASK if "pass" in f"{name}={value}".lower() else value) for name, value in query],
        safe="/*",
        quote_via=quote,
    )
    return f"{parts.scheme}://{user}{at}{hosts}{parts.path}{'?' * bool(shown)}{shown}"


_FORM = "write postgresql://USER:PASSWORD@HOST:5432/DATABASE, with other characters than letters in them as %XX"


def _check_port(host: str) -> None:
    port = host.rpartition("]")[2].partition(":")[2] if host.startswith("[") else unquote(host).partition(":")[2]
    if port and not (port.isdigit() and 0 < int(port) < 65_536):
        raise ConfigError(f"the database's URL: what stands for a port there is no number: {_FORM}")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session may be busy, so that a process that hangs holds no lock for ever (R68). 0: for ever."""

    statement_timeout_ms: int = 10_000
    lock_timeout_ms: int = 0
    idle_in_transaction_ms: int = 3_000


async def connect(url: PostgresUrl, *, application: str, limits: SessionLimits = SessionLimits()) -> asyncpg.Connection:
    """Open a connection to the primary.

    Args:
        url: where.
        application: what `pg_stat_activity` shows, e.g. `saga orchestrator`.
        limits: the session's time limits.

    Raises:
        ConfigError: the driver is not installed, or a parameter of the URL is wrong.
        StoreUnavailableError: the server does not answer, or takes nobody for now.
        StoreRefusedError: it does not know the user or the database, or is older than 13.

    """
    require("postgres", "PostgreSQL")
    import asyncpg  # noqa: PLC0415 -- an extra
    from asyncpg.connect_utils import SessionAttribute  # noqa: PLC0415

    url = url.renewed()
    _check_files(url)
    with translated_errors(url):
        primary = SessionAttribute.read_write if url.leaves_the_primary_open else None
        try:
            connection: asyncpg.Connection = await asyncpg.connect(
                url.secret_text, timeout=POSTGRES_CONNECT_TIMEOUT_MS / 1_000, target_session_attrs=primary
            )
        except (
            asyncpg.UndefinedObjectError,
            asyncpg.InvalidParameterValueError,
            asyncpg.CantChangeRuntimeParamError,
        ) as error:
            raise ConfigError(f"{url}: the server does not take a parameter of the URL ({_line(error)})") from error
        try:
            _check_version(connection, url)
            await _set(connection, application, limits)
        except BaseException:
            connection.terminate()
            raise
    return connection


_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


def _check_files(url: PostgresUrl) -> None:
    for name, path in parse_qsl(urlsplit(url.secret_text).query):
        if name in _FILES:
            try:
                Path(path).open("rb").close()
            except OSError as error:
                raise ConfigError(f"{url}: {name} {path} cannot be read: {error.strerror}") from error


def _check_version(connection: asyncpg.Connection, url: PostgresUrl) -> None:
    major = connection.get_server_version().major
    if major < SERVER_VERSION_MIN:
        raise StoreRefusedError(
            f"{url} is PostgreSQL {major}: version {SERVER_VERSION_MIN} or newer is needed, upgrade the server"
        )


async def _set(connection: asyncpg.Connection, application: str, limits: SessionLimits) -> None:
    # Not as parameters of the start: a pooler refuses those that it does not know.
    settings = {
        "application_name": application,
        # The plans of our statements are nailed by what is dear, and JIT would compile each for its price (R65).
        "jit": "off",
        "statement_timeout": str(limits.statement_timeout_ms),
        "lock_timeout": str(limits.lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(limits.idle_in_transaction_ms),
        # What the server sends to a client that is cut off: else its locks are held until the system's own limit.
        "tcp_user_timeout": str(POSTGRES_CONNECT_TIMEOUT_MS),
        # Who only reads says so of each transaction: a pooler may give the session to somebody who writes.
        "default_transaction_read_only": "off",
    }
    names = list(settings)
    await connection.execute(
        "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS s (name, value)",
        names,
        [settings[name] for name in names],
    )


@contextmanager
def translated_errors(url: PostgresUrl) -> Iterator[None]:
    """The driver's and the server's errors, in our words and by remedy; our own pass as they are.

    What a caller understands itself (a conflict, a missing table) it must catch inside.
    """
    try:
        yield
    except SagaError:
        raise
    except Exception as error:
        translated = in_our_words(error, url)
        if translated is None:
            raise
        raise translated from error


def in_our_words(error: Exception, url: PostgresUrl) -> SagaError | None:
    """What an error of the driver means; None where it is none of the server, the network or the rights."""
    import asyncpg  # noqa: PLC0415 -- an extra

    if isinstance(error, ssl.SSLError) or "rejected SSL upgrade" in str(error):
        said = getattr(error, "reason", None) or "the server has none: turn it on there (ssl = on)"
        return StoreRefusedError(f"{url}: no TLS with the server as the URL asks for it ({said})")
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error, url)
    if isinstance(error, asyncpg.InterfaceError):
        if "connection" in str(error).lower():
            return StoreUnavailableError(f"{url}: the connection is gone ({_line(error)})")
        return ConfigError(f"{url}: {_line(error)}")
    if isinstance(error, (OSError, asyncpg.InternalClientError)):
        return StoreUnavailableError(f"{url} does not answer ({_line(error)}): is PostgreSQL running there?")
    return None


DISK_FULL = "53100"
_REFUSALS = {
    "28": "the server does not let this user in: look at user, password and pg_hba.conf",
    "3D000": "there is no such database: create it, or name another in the URL",
    "42501": "this role may not do that: grant it the rights that docs/operating.md lists for the store, and "
    "docs/participants-databases.md for a service",
}
_OUTAGES = {
    "53300": "the server has no connection left: raise max_connections, or end who holds them",
    "53": "the server has no room (memory, or a limit of its configuration): give it some, nothing is lost meanwhile",
    "25006": "the server is read-only (a standby, or in a failover): waiting for a primary",
    "57P": "the server is starting or stopping",
    "55P03": "another session holds a table locked, as a migration does: try again when it has ended",
    "57014": "the server cancelled the statement, which took too long",
    "58": "the server cannot read or write its files: look at its log and its disk",
    "08": "the connection broke",
    "25P03": "the server ended a transaction that stood still",
}


def _of_server(error: asyncpg.PostgresError, url: PostgresUrl) -> SagaError | None:
    state = error.sqlstate or ""
    if state == DISK_FULL:
        return disk_full(error, url)
    for kind, table in ((StoreRefusedError, _REFUSALS), (StoreUnavailableError, _OUTAGES)):
        remedy = next((words for prefix, words in table.items() if state.startswith(prefix)), None)
        if remedy is not None:
            return kind(f"{url}: {_line(error)} ({state}): {remedy}")
    return None


def disk_full(error: BaseException, url: PostgresUrl) -> StoreFullError:
    """What is said of an error with the code `DISK_FULL`, wherever it came up."""
    return StoreFullError(
        f"{url}: {_line(error)} ({DISK_FULL}): the server's disk is full: make room there; nothing is lost, and it "
        "goes on by itself then"
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
