"""Parameters of statements: what is taken, how it stands in the database, and what is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID  # noqa: TID251 -- the class

import pytest
from pydantic import AnyUrl, BaseModel, HttpUrl, SecretStr

from kafka_saga.runtime import sql_values
from kafka_saga.runtime.errors import StoreUnavailableError, UsageError
from kafka_saga.runtime.sqlite import InlineConnection, open_inline

ID = UUID("12345678-1234-5678-1234-567812345678")
NOON = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)


class Colour(Enum):
    RED = "red"
    LATE = NOON


class Size(StrEnum):
    SMALL = "S"


class Level(IntEnum):
    HIGH = 3


class Pendulum(datetime):
    """Libraries of dates derive their own."""


class Item(BaseModel):
    sku: str


@pytest.fixture
async def connection() -> AsyncIterator[InlineConnection]:
    connection = await open_inline(":memory:")
    await connection.run_script("CREATE TABLE t (a, b)")
    yield connection
    await connection.close()


TAKEN: list[tuple[Any, Any]] = [
    (None, None),
    (7, 7),
    (-(2**63), -(2**63)),
    (1.5, 1.5),
    ("text", "text"),
    (b"bytes", b"bytes"),
    (True, 1),
    (ID, "12345678-1234-5678-1234-567812345678"),
    (Decimal("19.90"), "19.90"),
    (Decimal("1E+2"), "1E+2"),
    (NOON, "2026-11-29T12:00:00+00:00"),
    (NOON.replace(tzinfo=None, microsecond=5), "2026-11-29T12:00:00.000005"),
    (Pendulum(2026, 11, 29), "2026-11-29T00:00:00"),
    (date(2026, 11, 29), "2026-11-29"),
    (time(8, 30), "08:30:00"),
    (Colour.RED, "red"),
    (Colour.LATE, "2026-11-29T12:00:00+00:00"),
    (Size.SMALL, "S"),
    (Level.HIGH, 3),
    (Path("/srv/shop"), "/srv/shop"),
    (AnyUrl("https://shop.example/a"), "https://shop.example/a"),
    (HttpUrl("https://shop.example/a"), "https://shop.example/a"),
]


@pytest.mark.parametrize(("value", "stored"), TAKEN, ids=lambda value: type(value).__name__)
async def test_what_is_taken_stands_in_the_database_as_documented(
    connection: InlineConnection, value: Any, stored: Any
) -> None:
    assert await connection.execute("INSERT INTO t VALUES (?, ?)", (value, 1)) == 1
    assert await connection.execute("INSERT INTO t VALUES (:v, :n)", {"v": value, "n": 2}) == 1
    assert await connection.fetch_all("SELECT a, b FROM t WHERE a IS ? ORDER BY b", [value]) == [
        (stored, 1),
        (stored, 2),
    ]


def test_what_was_written_can_be_read_again_as_it_was() -> None:
    assert UUID(str(ID)) == ID
    assert datetime.fromisoformat("2026-11-29T12:00:00+00:00") == NOON
    assert Decimal("19.90") == Decimal("19.90")
    assert Colour("red") is Colour.RED


async def test_points_in_time_are_in_order_as_text(connection: InlineConnection) -> None:
    moments = [NOON + timedelta(microseconds=number) for number in (0, 5, 1_000_000)]
    for number in (2, 0, 1):
        await connection.execute("INSERT INTO t VALUES (?, ?)", (moments[number], number))
    rows = await connection.fetch_all("SELECT b FROM t WHERE a >= ? ORDER BY a", (NOON,))
    assert rows == [(0,), (1,), (2,)]


async def test_rows_of_many_take_the_classes_of_the_standard_library(connection: InlineConnection) -> None:
    rows = [(ID, NOON), (Decimal(1), date(2026, 1, 1))]
    assert await connection.execute_many("INSERT INTO t VALUES (?, ?)", rows) == 2
    assert await connection.fetch_all("SELECT a FROM t ORDER BY a") == [("1",), (str(ID),)]


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ((1, SecretStr("4111")), r"parameter 2 is of type SecretStr.*get_secret_value"),
        ({"v": SecretStr("4111"), "n": 1}, r"parameter :v is of type SecretStr"),
        ((1, timedelta(1)), r"parameter 2 is of type timedelta.*total_seconds"),
        ((1, Item(sku="4111")), r"parameter 2 is of type Item.*model_dump_json"),
        ((["4111"], 1), r"parameter 1 is of type list.*JSON"),
        ((1, {"a": "4111"}), r"parameter 2 is of type dict"),
        ((1, 2**63), r"parameter 2 is of type int.*64 bits"),
        ((1, object()), r"parameter 2 is of type object, which SQL does not take"),
        ("4111", r"in a tuple, a list or a dict, not in a str: write `\(value,\)`"),
        (4111, r"not in an int"),
        ({"4111"}, r"not in a set"),
        (Item(sku="4111"), r"not in an Item"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else type(value).__name__,
)
async def test_what_is_not_taken_is_refused_by_name_and_type_and_never_by_its_value(
    connection: InlineConnection, params: Any, complaint: str
) -> None:
    for refused in (connection.execute, connection.fetch_all):
        sql = "INSERT INTO t VALUES (:v, :n)" if isinstance(params, dict) else "INSERT INTO t VALUES (?, ?)"
        with pytest.raises(UsageError, match=complaint) as raised:
            await refused(sql, params)
        assert "4111" not in str(raised.value)
    assert await connection.fetch_all("SELECT * FROM t") == []


async def test_a_number_of_parameters_that_does_not_fit_is_sqlites_own_complaint(connection: InlineConnection) -> None:
    with pytest.raises(sqlite3.ProgrammingError, match="uses 2, and there are 1 supplied"):
        await connection.execute("INSERT INTO t VALUES (?, ?)", (ID,))
    with pytest.raises(sqlite3.ProgrammingError, match=":n"):
        await connection.execute("INSERT INTO t VALUES (:v, :n)", {"v": Colour.RED})


async def test_errors_of_a_converted_statement_are_ours_too(tmp_path: Path) -> None:
    connection, other = await open_inline(tmp_path / "a.db"), await open_inline(tmp_path / "a.db")
    await connection.run_script("CREATE TABLE t (a); PRAGMA busy_timeout=0")
    await other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError):
        await connection.execute("INSERT INTO t VALUES (?)", (Colour.RED,))
    await other.close()
    await connection.close()


async def test_a_programs_own_adapter_is_left_alone() -> None:
    key = (Decimal, sqlite3.PrepareProtocol)
    before = sqlite3.adapters.get(key)
    sqlite3.register_adapter(Decimal, lambda value: int(value * 100))
    try:
        sql_values.register_adapters()
        connection = await open_inline(":memory:")
        assert await connection.fetch_all("SELECT ?", (Decimal("19.90"),)) == [(1990,)]
        await connection.close()
    finally:
        del sqlite3.adapters[key]
        if before is not None:
            sqlite3.register_adapter(Decimal, before)
