"""A service's database, with orders of its own beside the outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from kafka_saga.client.outbox import Outbox, ddl
from kafka_saga.runtime.postgres import PostgresUrl
from tests.client.conftest import order
from tests.integration.processes import CLOCK

OUTBOX = Outbox()
ROWS = "SELECT count(*) FROM saga_outbox"
ORDERS = "CREATE TABLE orders (id text PRIMARY KEY);"


class Shop:
    """The service."""

    def __init__(self, engine: AsyncEngine, database: PostgresUrl | Path) -> None:
        self.engine = engine
        self.database = database

    async def place(self, *order_ids: str, fails: bool = False) -> None:
        """Write orders and start their sagas, in one transaction."""
        async with AsyncSession(self.engine) as session, session.begin():
            for order_id in order_ids:
                await session.execute(text("INSERT INTO orders VALUES (:id)"), {"id": order_id})
                await OUTBOX.start(session, order(order_id))
            if fails:
                raise RuntimeError("the order could not be placed")

    async def ask(self, *requests: BaseModel, outbox: Outbox = OUTBOX) -> None:
        """Start sagas, in one transaction."""
        async with self.engine.begin() as connection:
            for request in requests:
                await outbox.start(connection, request)

    async def emptied(self) -> None:
        """Wait until nothing is left to publish."""
        while await self.count():
            await CLOCK.sleep(20)

    async def count(self, statement: str = ROWS) -> int:
        async with self.engine.connect() as connection:
            return int((await connection.execute(text(statement))).scalar_one())


@asynccontextmanager
async def open_shop(database: PostgresUrl | Path) -> AsyncIterator[Shop]:
    """A shop with empty tables in an empty database."""
    if isinstance(database, PostgresUrl):
        connection = await asyncpg.connect(database.secret_text)
        await connection.execute(ddl("postgresql") + ORDERS)
        await connection.close()
        url = database.secret_text.replace("postgresql://", "postgresql+asyncpg://")
    else:
        file = sqlite3.connect(database)
        file.executescript(ddl("sqlite") + ORDERS)
        file.close()
        url = f"sqlite+aiosqlite:///{database}"
    engine = create_async_engine(url, pool_pre_ping=True)
    yield Shop(engine, database)
    await engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> PostgresUrl | Path:
    url: PostgresUrl | None = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return url or tmp_path / "shop.db"


@pytest.fixture
async def shop(database: PostgresUrl | Path) -> AsyncIterator[Shop]:
    """On either kind of database."""
    async with open_shop(database) as shop:
        yield shop
