"""Where a store is: a SQLite file, or a schema of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, PlainValidator

from kafka_saga.runtime.errors import ConfigError, RefusedError
from kafka_saga.runtime.postgres import IN_FILE, PostgresUrl, check_schema_name, is_postgres_url

DEFAULT_SCHEMA = "saga"


@dataclass(frozen=True, slots=True)
class PostgresLocation:
    """A store on PostgreSQL. Printed, it tells no password.

    Attributes:
        url: the database.
        schema: its schema that the tables are in; small letters, digits and `_`.

    """

    url: PostgresUrl
    schema: str = DEFAULT_SCHEMA

    def __str__(self) -> str:
        return str(self.url) if self.schema == DEFAULT_SCHEMA else f"{self.url} (schema {self.schema})"


StoreLocation = Path | PostgresLocation


def read_address(text: str) -> Path | PostgresUrl:
    """What somebody wrote for a store: `postgresql://…`, or else a file's path; `sqlite:` may stand before that.

    `secret:PATH` names a file that holds a database's URL; it is read again for each connection.

    Raises:
        ConfigError: it is a URL of something else, or not well-formed.

    """
    if is_postgres_url(text):
        return PostgresUrl(text)
    if text.startswith(IN_FILE):
        return PostgresUrl.in_file(Path(text.removeprefix(IN_FILE)))
    scheme, is_url, _ = text.partition("://")
    if is_url:
        raise ConfigError(
            f"'{scheme}://' is no store: name a file, as PATH or sqlite:PATH, or a database, as "
            "postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    path = text.removeprefix("sqlite:")
    if not path.strip():
        raise ConfigError("it is empty: name a file, or a database, as postgresql://USER:PASSWORD@HOST/DATABASE")
    return Path(path)


def may_be_there(at: StoreLocation) -> bool:
    """Whether it is worth asking: a file can be on another machine, a database is there for everybody."""
    return isinstance(at, PostgresLocation) or at.exists()


def file_of(at: StoreLocation, what: str) -> Path:
    """The file that the store is.

    Args:
        at: where the store is.
        what: what is done to a file and cannot be done to a database, and what to do there: the message's end.

    Raises:
        RefusedError: it is a database.

    """
    if isinstance(at, PostgresLocation):
        raise RefusedError(f"the store is {at}: {what}")
    return at


def _setting(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A refusal as pydantic knows it, so that the setting's name and source come before it."""

    def checked(value: Any) -> Any:
        try:
            return read(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None

    return checked


def _read_setting(value: Any) -> Path | PostgresUrl:
    if isinstance(value, Path | PostgresUrl):
        return value
    if not isinstance(value, str):
        raise ConfigError("it must be text: a file's path, or postgresql://…")
    return read_address(value)


StoreAddress = Annotated[
    Path | PostgresUrl,
    PlainValidator(_setting(_read_setting), json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
]
"""Where a store is, as a setting."""

SchemaName = Annotated[str, AfterValidator(_setting(check_schema_name))]
"""The schema of a store's tables, as a setting."""
