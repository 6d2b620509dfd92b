"""What people write for a store, and what of it is ever printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_saga.orchestrator.store.location import PostgresLocation, file_of, read_address
from kafka_saga.runtime.errors import ConfigError, RefusedError
from kafka_saga.runtime.postgres import PostgresUrl

URL = "postgresql://saga:secret@db/sagas"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data/orchestrator.db", "data/orchestrator.db"),
        ("/var/lib/saga.db", "/var/lib/saga.db"),
        ("sqlite:saga.db", "saga.db"),
        ("sqlite:/var/saga.db", "/var/saga.db"),
    ],
)
def test_what_is_no_url_is_a_file(text: str, path: str) -> None:
    assert read_address(text) == Path(path)


def test_a_url_of_postgresql_is_one() -> None:
    assert read_address(URL) == PostgresUrl(URL)


@pytest.mark.parametrize(
    "text", ["mysql://db/sagas", "http://db", "postgresql+psycopg://db/sagas", "sqlite:///var/db", "", " ", "sqlite:"]
)
def test_any_other_url_is_refused_in_one_line_without_what_may_be_secret(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_address(text.replace("db", "saga:secret@db"))
    assert "secret" not in str(refused.value)
    assert "postgresql://" in str(refused.value)


def test_no_password_is_ever_printed() -> None:
    at = PostgresLocation(PostgresUrl(URL), "shop")
    assert "secret" not in f"{at} {at!r}"
    assert str(at).endswith("db/sagas (schema shop)")


def test_what_only_a_file_can_do_is_refused_for_a_database(tmp_path: Path) -> None:
    assert file_of(tmp_path, "use pg_dump") == tmp_path
    with pytest.raises(RefusedError, match=r"^the store is postgresql://saga:\*\*\*@db/sagas: use pg_dump$"):
        file_of(PostgresLocation(PostgresUrl(URL)), "use pg_dump")
