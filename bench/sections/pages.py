"""The dashboard's pages beside a million sagas: how long each takes to be drawn, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import statistics
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import asyncpg
from fastapi import FastAPI
from starlette.types import Message, Scope

from bench.lives import keep, lives
from bench.run import Bench
from bench.system import say
from deploy.postgres.postgres import running_server
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.dashboard import add_to, attend
from kafka_saga.orchestrator.dashboard.room import room_in
from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.desk import open_desk
from kafka_saga.orchestrator.http.security.local import LocalSecurity
from kafka_saga.orchestrator.registry import Registry, load_definitions
from kafka_saga.orchestrator.store.location import PostgresLocation, StoreLocation
from kafka_saga.orchestrator.store.members import Joining, Lanes
from kafka_saga.orchestrator.store.postgres.store import open_store as open_postgres
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.sqlite import open_beside
from kafka_saga.schemas.topics import TopicNames

PAGES = (
    "/", "/sagas", "/sagas?state=parked", "/sagas?state=compensated", "/sagas?q=made-5000", "/sagas?q=declined",
    "/sagas?q=customer_id%3Dnobody", "/failures", "/timers", "/definitions", "/audit",
    "/sagas/order/life-ordinary", "/sagas/order/life-long", "/sagas/order/life-long?all=1",
    "/live/sagas/order/life-ordinary", "/live/sagas/order/life-long",
)  # fmt: skip
"""Below `/live` is what a page that is open is sent again: the first of it is all of it."""

_TURNS = 10
_REQUEST = (
    '{"order_id":"made","customer_id":"bob","items":[{"sku":"lamp","quantity":2}],"amount":4990,"currency":"EUR"}'
)
_STEPS = '[{"status":"SUCCESS","attempt":1,"executed":true,"reply":{"reservation_id":"r-1"}}' + (
    ',{"status":"SUCCESS","attempt":1,"executed":true}' * 2 + "]"
)
_COLUMNS = """saga_type, saga_id, definition_version, state, current_step, data, steps, error, parked, version, log_seq,
created_at, updated_at, request_hash"""
_VALUES = f"""'order', 'made-' || i, 1,
  CASE WHEN i % 3333 = 0 THEN 'PARKED' WHEN i % 50 = 0 THEN 'COMPENSATED' ELSE 'COMPLETED' END, 2,
  '{_REQUEST}', '{_STEPS}', CASE WHEN i % 50 = 0 THEN 'card declined: the balance is too low' END,
  CASE WHEN i % 3333 = 0 THEN '{{"reason":"operator","from_state":"RUNNING","detail":"the shelf is locked"}}' END,
  6, 6, BEGAN + i * 20, BEGAN + i * 20 + 110"""
_LOG = """SELECT saga_key, seq, step, status, 1, created_at + 15 * seq, '{}' FROM PLACE CROSS JOIN (
  SELECT 1 AS seq, 'reserve_inventory' AS step, 'IN_PROGRESS' AS status
  UNION ALL SELECT 2, 'reserve_inventory', 'SUCCESS' UNION ALL SELECT 3, 'process_payment', 'IN_PROGRESS'
  UNION ALL SELECT 4, 'process_payment', 'SUCCESS' UNION ALL SELECT 5, 'create_order', 'IN_PROGRESS'
  UNION ALL SELECT 6, 'create_order', 'SUCCESS') AS rows
WHERE saga_id LIKE 'made-%'"""


async def dashboard(bench: Bench) -> None:
    """Every page on either store; one saga in fifty was undone, one in 3,333 is parked, each has six rows of log."""
    count = bench.size.finished
    for name in bench.missing("dashboard", dict.fromkeys(("sqlite", "postgres"))):
        say(f"dashboard: {name} …")
        began = time.time_ns() // 1_000_000 - count * 20
        if name == "sqlite":
            path = bench.directory / "dashboard.db"
            await _fill_file(path, count, began)
            bench.keep("dashboard", name, await _times(path))
        else:
            with running_server() as server:
                at = PostgresLocation(PostgresUrl(server.create_database(f"bench_{new_id()[:8]}")))
                await _fill_server(at, count, began)
                bench.keep("dashboard", name, await _times(at))


async def _fill_file(path: Path, count: int, began: int) -> None:
    store = await open_store(path, SystemClock())
    await keep(store, lives(began))
    await store.close()
    connection = await open_beside(path)
    try:
        numbers = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        await connection.execute(
            f"{numbers} INSERT INTO sagas ({_COLUMNS}) SELECT {_VALUES.replace('BEGAN', str(began))}, x'00' FROM n"
        )
        await connection.execute(f"INSERT INTO step_log {_LOG.replace('PLACE', 'sagas')}")
    finally:
        await connection.close()


async def _fill_server(at: PostgresLocation, count: int, began: int) -> None:
    store = await open_postgres(at, SystemClock())
    await store.members.join(Joining("bench", "1", "order 1", window=1_000, lanes=1))
    store.members.own(Lanes(1, frozenset({0})))
    await keep(store, lives(began))
    await store.close()
    connection = await asyncpg.connect(at.url.secret_text)
    try:
        values = _VALUES.replace("'made-' || i", "'made-' || i, i").replace("BEGAN", f"{began}::bigint")
        columns = _COLUMNS.replace("saga_id,", "saga_id, hash,")
        await connection.execute(
            f"INSERT INTO saga.sagas ({columns}) SELECT {values}, ''::bytea FROM generate_series(1, {count}) i",
            timeout=600,
        )
        await connection.execute(f"INSERT INTO saga.step_log {_LOG.replace('PLACE', 'saga.sagas')}", timeout=600)
        await connection.execute("VACUUM ANALYZE saga.sagas, saga.step_log", timeout=600)
    finally:
        await connection.close()


async def _times(at: StoreLocation) -> dict[str, Any]:
    """How long each page takes, the median of some, and the very first of all, once the server is ready for it."""
    async with open_desk(
        store_at=at, registry=Registry(load_definitions(["kafka_saga.orchestrator.sagas.order"]), {}),
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"), topics=TopicNames(), group="bench", clock=SystemClock(),
        new_id=new_id, may_write=True,
    ) as desk:  # fmt: skip
        app = create_app(desk, security=LocalSecurity("bench"), pages=add_to)
        attending = asyncio.create_task(attend(app))
        room = room_in(app)
        await room.ready.wait()  # as a server that runs has long been
        first = await _time(app, "/")
        await room.pulse.counted()  # it goes on beside the first page, and seldom later
        times = {page: await _median(app, page) for page in PAGES}
        attending.cancel()
        await asyncio.gather(attending, return_exceptions=True)
        return {"the first page of a process": first} | times


async def _median(app: FastAPI, page: str) -> float:
    mark = "&" if "?" in page else "?"
    # Each asks for another address: those who look at the same share what they are sent.
    return statistics.median([await _time(app, f"{page}{mark}turn={turn}") for turn in range(_TURNS)])


async def _time(app: FastAPI, page: str) -> float:
    """Milliseconds until a page is there, or the first part of a stream."""
    began, ended = time.perf_counter(), asyncio.Event()
    path, _, query = page.partition("?")

    async def receive() -> Message:
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == HTTPStatus.OK, f"{page}: {message}"
        elif message.get("body"):
            ended.set()

    scope: Scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(b"accept", b"text/html"), (b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "root_path": "",
    }  # fmt: skip
    answering = asyncio.create_task(app(scope, receive, send))
    await asyncio.wait({answering, asyncio.ensure_future(ended.wait())}, return_when=asyncio.FIRST_COMPLETED)
    took = (time.perf_counter() - began) * 1_000
    ended.set()
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
    return round(took, 1)
