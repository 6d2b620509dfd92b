"""The program of docs/client.md, as it is printed: a service beside the README's shop, from `saga up`."""

from __future__ import annotations

import asyncio
import importlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from kafka_saga.client import EventPosition, SagaClient
from tests.demo.upper import PATIENCE_S, SAGA, Up, clean_environment, saga_up
from tests.examples.console import blocks_of, commands_of, languages_of
from tests.examples.readmes import SHOP_FLAGS, readmes_shop
from tests.integration.processes import ROOT

PAGE = ROOT / "docs" / "client.md"
KAFKA, DATABASE = "localhost:9092", "postgresql://shop@db/shop"


class Base(DeclarativeBase):
    pass


class Order(Base):
    """What the page's service writes beside its outbox."""

    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    """The README's shop; it can be imported here, too."""
    (tmp_path / "shop.py").write_text(readmes_shop())
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with saga_up(tmp_path, *SHOP_FLAGS) as up:
        up.until("everything is ready")
        yield up
        assert up.stop() == 0
    sys.modules.pop("shop", None)


@pytest.fixture
async def database(up: Up) -> AsyncIterator[AsyncEngine]:
    """The service's database, with what `saga outbox ddl` prints."""
    path = up.directory / "service.db"
    command = [*SAGA, "outbox", "ddl", "--sqlite"]
    ddl = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=True)
    with sqlite3.connect(path) as connection:
        connection.executescript(ddl.stdout)
    connection.close()
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    async with engine.begin() as opened:
        await opened.run_sync(Base.metadata.create_all)
    yield engine
    await engine.dispose()


def here(text: str, up: Up) -> str:
    """With the addresses of this machine in the place of the page's."""
    return text.replace(KAFKA, address(up)).replace(DATABASE, str(up.directory / "service.db"))


def address(up: Up) -> str:
    return up.settings.kafka.bootstrap_servers


@pytest.mark.processes
async def test_the_pages_service_does_what_it_says(
    up: Up, database: AsyncEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    page: dict[str, Any] = {"__name__": "page", "Order": Order}
    for block in blocks_of(PAGE, "python"):
        exec(compile(here(block, up), "docs/client.md", "exec", dont_inherit=True), page)

    await page["buy"]()
    assert capsys.readouterr().out == "COMPLETED None\n"

    async with SagaClient(address(up), types=[page["PURCHASE"]]) as sagas:
        async with sagas.events() as stream:
            position = str(stream.position)

        async def work() -> None:
            async with AsyncSession(database) as session:
                await page["order_lamp"](session)
            assert (await sagas.outcome("p-2", timeout_ms=60_000)).completed

        page["work"] = work
        await page["serve"]()
        after = EventPosition.parse(await page["follow"](sagas, position))
        assert sum(sum(rows.values()) for rows in after.offsets.values()) > 0
    assert "purchase/p-2 completed COMPLETED" in capsys.readouterr().out

    await page["test_who_cannot_pay_buys_nothing"]()
    await relayed_by_itself(up, database, page)


async def relayed_by_itself(up: Up, database: AsyncEngine, page: dict[str, Any]) -> None:
    """The relay as a process of its own, by the page's command."""
    [shown] = commands_of(PAGE)
    assert shown.bare.startswith("saga outbox relay ")
    relay = subprocess.Popen([*SAGA, *here(shown.bare, up).split()[1:]], env=clean_environment(), cwd=up.directory)
    try:
        request = {"purchase_id": "p-4", "customer": "ann", "sku": "lamp", "cents": 10}
        async with database.begin() as connection:
            await page["outbox"].start(connection, request)
        async with SagaClient(address(up), types=[page["PURCHASE"]]) as sagas:
            assert (await sagas.outcome("p-4", timeout_ms=60_000)).completed
        relay.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(relay.wait, PATIENCE_S) == 0
    finally:
        relay.kill()


def test_no_block_of_the_page_is_of_another_kind() -> None:
    assert languages_of(PAGE) == {"python", "console"}
