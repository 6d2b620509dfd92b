"""What PostgreSQL adds to the guard: other workers at the same time, and locks that others hold (R77-R79)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from kafka_saga import Participant, Rejected, SqlConnection, Transaction
from kafka_saga.participants.kinds import Kind
from kafka_saga.participants.store.opening import Opening, open_for
from kafka_saga.participants.testing import Harness, body_of
from kafka_saga.participants.transaction import CommandContext
from kafka_saga.participants.undone import TransactionEscapedError
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import DefinitionError, StoreFullError, StoreRefusedError, UsageError
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.envelope import Outcome, Reason
from tests.participants.adapters import Adapter, new_schema
from tests.participants.shop import SCHEMA, Do, Done, Undo, make_shop, taking
from tests.postgres import PostgresUnderTest

WHERE = {"saga_id": "order-1", "step": "pay"}
STOCK = (
    "CREATE TABLE stock (sku text PRIMARY KEY, left_over int NOT NULL); INSERT INTO stock VALUES ('a', 9), ('b', 9);"
)


@pytest.fixture
async def url(postgres: PostgresUnderTest) -> PostgresUrl:
    return await new_schema(postgres)


@pytest.fixture
async def stranger(url: PostgresUrl) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url.secret_text)
    yield connection
    await connection.close()


def only(*handlers: Callable[..., Awaitable[Done]]) -> Participant:
    shop = Participant("shop")
    for handler in handlers:
        shop.action(Do)(handler)  # type: ignore[type-var] # coroutine functions, all of them
    return shop


@pytest.mark.parametrize(
    "text",
    [
        "COMMIT",
        "SELECT 1; commit",
        "/* a */ ROLLBACK",
        "SAVEPOINT mine",
        "BEGIN",
        "START TRANSACTION",
        "END",
        "LISTEN x",
    ],
)
@pytest.mark.parametrize("kind", [Kind.TRANSACTION, Kind.CONNECTION])
async def test_what_would_end_the_transaction_is_refused_R79(url: PostgresUrl, kind: Kind, text: str) -> None:
    async def with_tx(_command: Do, tx: Transaction) -> Done:
        await tx.execute(text)
        return Done(text="")

    async def with_connection(_command: Do, connection: asyncpg.Connection) -> Done:
        await connection.execute(text)
        return Done(text="")

    shop = only(with_tx if kind is Kind.TRANSACTION else with_connection)
    async with await Harness.open(shop, schema=SCHEMA, database=url) as harness:
        reply = await harness.send(Do(), **WHERE)
        assert (reply.outcome, "the transaction belongs to the guard" in str(reply.error)) == (Outcome.RETRY, True)


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        ("TRUNCATE saga_fence", True),
        ('DROP TABLE IF EXISTS public."saga_offsets"', True),
        ("SELECT 1; DELETE FROM saga_meta", True),
        ("WITH gone AS (DELETE FROM saga_fence RETURNING 1) SELECT count(*) FROM gone", True),
        ("SELECT 1 FROM saga_fence FOR UPDATE", True),
        ("SELECT count(*) FROM saga_fence", False),
        ("SELECT 'TRUNCATE saga_fence'", False),
        ("CREATE TABLE saga_fences (a int)", False),
        ("SELECT pg_advisory_xact_lock(7), set_config('my.tenant', 'a', true)", False),
    ],
)
async def test_the_guards_tables_may_be_read_and_no_more(on_postgres: Adapter, text: str, is_refused: bool) -> None:
    async def do(_command: Do, tx: Transaction) -> Done:
        await tx.execute(text)
        return Done(text="")

    async with await on_postgres.open(only(taking(on_postgres.kind, do))) as harness:
        reply = await harness.send(Do(), **WHERE)
        assert ("is the guard's: handlers may read it" in str(reply.error)) == is_refused
        assert reply.outcome is (Outcome.RETRY if is_refused else Outcome.SUCCESS), reply


@pytest.mark.parametrize(
    "text",
    [
        "SET search_path = public",
        "SELECT 1; set session characteristics AS TRANSACTION READ ONLY",
        "RESET ALL",
        "PREPARE mine AS SELECT 1",
        "DEALLOCATE ALL",
        "CREATE TEMP TABLE stock (sku text)",
        "SELECT set_config('search_path', 'public', false)",
        "SELECT pg_advisory_lock(7)",
        "SELECT pg_advisory_unlock_all()",
    ],
)
async def test_what_the_next_command_would_meet_is_refused_R79(on_postgres: Adapter, text: str) -> None:
    async def do(_command: Do, tx: Transaction) -> Done:
        await tx.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
        await tx.execute(text)
        return Done(text="")

    async with await on_postgres.open(only(taking(on_postgres.kind, do))) as harness:
        [[path, zone]] = await harness.fetch_all("SELECT current_setting('search_path'), current_setting('TimeZone')")
        reply = await harness.send(Do(), **WHERE)
        assert (reply.outcome, "stays with the connection" in str(reply.error)) == (Outcome.RETRY, True)
        after = await harness.fetch_all("SELECT current_setting('search_path'), current_setting('TimeZone')")
        assert after == [(path, zone)]


async def test_the_guards_rows_are_written_by_the_workers_role_R79(on_postgres: Adapter) -> None:
    async def do(_command: Do, tx: Transaction) -> Done:
        await tx.execute("SET LOCAL ROLE pg_monitor")  # may not write here
        return Done(text="")

    async with await on_postgres.open(only(taking(on_postgres.kind, do))) as harness:
        assert (await harness.send(Do(), **WHERE)).outcome == Outcome.SUCCESS
        assert await harness.fetch_all("SELECT status, current_user = session_user FROM saga_fence") == [("done", True)]


@pytest.mark.parametrize("name", ["close", "terminate", "reset", "add_listener", "set_type_codec"])
async def test_what_would_outlive_the_command_is_refused_R79(url: PostgresUrl, name: str) -> None:
    kept: list[asyncpg.Connection] = []

    async def do(_command: Do, connection: asyncpg.Connection) -> Done:
        kept.append(connection)
        with pytest.raises(UsageError, match=name):
            getattr(connection, name)
        return Done(text=str(await connection.fetchval("SELECT 1")))

    async with await Harness.open(only(do), database=url) as harness:
        assert body_of(await harness.send(Do(), **WHERE)) == {"text": "1"}
        with pytest.raises(UsageError, match="is over"):
            await kept[0].execute("SELECT 1")


async def test_a_users_nested_transaction_is_a_savepoint_R79(url: PostgresUrl) -> None:
    async def do(_command: Do, connection: asyncpg.Connection, context: CommandContext) -> Done:
        async with connection.transaction():
            await connection.execute("INSERT INTO effects VALUES ($1, $2, 'kept')", context.saga_id, context.step)
        with suppress(ZeroDivisionError):
            async with connection.transaction():
                await connection.execute("INSERT INTO effects VALUES ('x', 'x', 'gone')")
                raise ZeroDivisionError
        return Done(text="")

    async with await Harness.open(only(do), schema=SCHEMA, database=url) as harness:
        assert (await harness.send(Do(), **WHERE)).outcome is Outcome.SUCCESS
        assert await harness.fetch_all("SELECT * FROM effects") == [("order-1", "pay", "kept")]


async def test_a_commit_that_got_through_stops_the_process_and_names_the_handler_R79(url: PostgresUrl) -> None:
    async def sneaks(_command: Do, connection: asyncpg.Connection) -> Done:
        await connection.transaction()._connection.execute("COMMIT")  # type: ignore[attr-defined]
        return Done(text="")

    async with await Harness.open(only(sneaks), schema=SCHEMA, database=url) as harness:
        with pytest.raises(TransactionEscapedError, match="sneaks ended the transaction") as caught:
            await harness.send(Do(), **WHERE)
        assert caught.value.exit_code == 5


async def test_a_failed_statement_that_the_handler_swallows_costs_its_own_command_only(on_postgres: Adapter) -> None:
    shop = on_postgres.shop()
    del shop.handlers["undo"]

    async def swallow(_command: Undo, tx: Transaction) -> None:
        with suppress(asyncpg.PostgresError, DBAPIError):
            await tx.execute("SELECT nonsense")

    shop.compensation(Undo)(taking(on_postgres.kind, swallow))
    async with await on_postgres.open(shop) as harness:
        for saga_id in ("order-1", "order-2"):
            await harness.send(Do(), saga_id=saga_id, step="pay")
        commands = [
            harness.command(Undo(), **WHERE),
            harness.command(Do(), saga_id="order-3", step="pay"),
        ]
        handled = await harness.handle(commands)
        assert [one.reply.outcome.value for one in handled if one.reply] == ["retry", "success"]
        assert "swallow" in str(handled[0].reply and handled[0].reply.error)


async def test_a_statement_that_takes_too_long_is_ended_by_the_server_R78(url: PostgresUrl) -> None:
    async def do(command: Do, connection: asyncpg.Connection) -> Done:
        if command.mode == "slow":
            await connection.execute("SELECT pg_sleep(60)")
        return Done(text=str(connection.get_server_pid()))

    async with await Harness.open(only(do), database=url, handler_timeout_ms=50) as harness:
        first = await harness.send(Do(), **WHERE)
        commands = [harness.command(Do(mode=mode), saga_id=mode, step="pay") for mode in ("slow", "ok")]  # type: ignore[arg-type]
        slow, fast = await harness.handle(commands)
        assert slow.reply is not None
        assert fast.reply is not None
        assert (slow.reply.outcome, slow.reply.error) == (Outcome.RETRY, "the handler took longer than 50 ms")
        assert fast.reply == first  # the same session: the connection was not lost


async def test_a_full_disk_is_no_handlers_fault_whatever_it_writes_with(on_postgres: Adapter) -> None:
    full = [False, True]

    async def do(_command: Do, tx: Transaction) -> Done:
        if full.pop():
            await tx.execute("DO $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$")
        return Done(text="")

    async with await on_postgres.open(only(taking(on_postgres.kind, do))) as harness:
        with pytest.raises(StoreFullError, match=r"could not extend file.* \(53100\): the server's disk is full"):
            await harness.send(Do(), **WHERE)
        reply = await harness.send(Do(), **WHERE)
        assert reply.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("kind", [Kind.TRANSACTION, Kind.CONNECTION])
async def test_texts_that_postgresql_cannot_hold_lose_what_it_cannot(url: PostgresUrl, kind: Kind) -> None:
    shop = Participant("shop")

    async def do(_command: Do, tx: Transaction) -> Done:
        await tx.execute("INSERT INTO effects VALUES (?, ?, ?)", ("a\0b", "\udcffc", "é"))
        return Done(text="")

    @shop.compensation(Undo)
    async def undo(_command: Undo, _tx: Any) -> None:
        raise Rejected("a\0b")

    shop.action(Do)(taking(kind, do))
    async with await Harness.open(shop, schema=SCHEMA, database=url) as harness:
        assert (await harness.send(Do(), **WHERE)).outcome is Outcome.SUCCESS
        assert await harness.fetch_all("SELECT * FROM effects") == [("ab", "c", "é")]
        assert (await harness.send(Undo(), **WHERE)).outcome is Outcome.FAILURE


class Workers:
    """Two workers of one service, each with a connection of its own."""

    def __init__(self, one: Harness, two: Harness) -> None:
        self.one, self.two = one, two

    @classmethod
    async def open(cls, url: PostgresUrl, shop: Participant, schema: str) -> Workers:
        one = await Harness.open(shop, schema=schema, database=url, worker="one")
        return cls(one, await Harness.open(shop, database=url, worker="two"))

    async def close(self) -> None:
        await self.one.close()
        await self.two.close()


async def test_two_copies_at_once_take_effect_once_R77(url: PostgresUrl) -> None:
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def do(command: Do, tx: Transaction) -> Done:
        await tx.execute("INSERT INTO effects VALUES (?, ?, ?)", (tx.saga_id, tx.step, command.mode))
        if not began.is_set():
            began.set()
            await goes_on.wait()
        return Done(text="")

    workers = await Workers.open(url, only(do), SCHEMA)
    sagas = [f"order-{number}" for number in range(5)]
    first = [workers.one.command(Do(), saga_id=saga, step="pay") for saga in sagas]
    first_task = asyncio.create_task(workers.one.handle(first))
    await began.wait()
    second = [workers.two.command(Do(), saga_id=saga, step="pay") for saga in [*reversed(sagas), "order-x"]]
    two = await workers.two.handle(second)
    goes_on.set()
    one = await first_task  # it finds the rows written, undoes its effects, and sends the stored replies
    assert all(handled.reply and handled.reply.outcome is Outcome.SUCCESS for handled in [*one, *two])
    assert [handled.is_fresh for handled in one] == [False] * 5
    effects = await workers.one.fetch_all("SELECT saga_id FROM effects ORDER BY saga_id")
    assert [saga for (saga,) in effects] == [*sagas, "order-x"]
    assert sum(handled.is_fresh for handled in [*one, *two]) == 6
    assert await workers.one.fetch_all("SELECT * FROM saga_fence WHERE status = 'claimed'") == []
    await workers.close()


async def test_rows_that_a_stranger_holds_cost_only_the_commands_that_need_them_R78(
    url: PostgresUrl, stranger: asyncpg.Connection
) -> None:
    async def take(command: Do, tx: Transaction) -> Done:
        sku = "a" if tx.saga_id == "order-a" else "b"
        await tx.execute("UPDATE stock SET left_over = left_over - 1 WHERE sku = ?", (sku,))
        return Done(text=command.mode)

    async with await Harness.open(only(take), schema=STOCK, database=url) as harness:
        async with stranger.transaction():
            await stranger.execute("UPDATE stock SET left_over = 0 WHERE sku = 'a'")
            sagas = ["order-1", "order-a", "order-2"]
            handled = await harness.handle([harness.command(Do(), saga_id=saga, step="pay") for saga in sagas])
        replies = [one.reply for one in handled if one.reply]
        assert [(reply.outcome, reply.reason) for reply in replies] == [
            (Outcome.SUCCESS, None),
            (Outcome.RETRY, Reason.BUSY),
            (Outcome.SUCCESS, None),
        ]
        assert await harness.fetch_all("SELECT * FROM stock ORDER BY sku") == [("a", 0), ("b", 7)]
        assert [saga for (saga,) in await harness.fetch_all("SELECT saga_id FROM saga_fence ORDER BY 1")] == [
            "order-1",
            "order-2",
        ]


async def test_workers_who_lock_crosswise_both_go_on_R78(url: PostgresUrl) -> None:
    met = asyncio.Barrier(2)
    first_time = {"one": True, "two": True}

    async def take(command: Do, tx: Transaction) -> Done:
        worker = tx.saga_id.partition("-")[0]
        skus = ("a", "b") if worker == "one" else ("b", "a")
        await tx.execute("UPDATE stock SET left_over = left_over - 1 WHERE sku = ?", (skus[0],))
        if first_time[worker]:
            first_time[worker] = False
            await met.wait()
        await tx.execute("UPDATE stock SET left_over = left_over - 1 WHERE sku = ?", (skus[1],))
        return Done(text=command.mode)

    workers = await Workers.open(url, only(take), STOCK)
    handled = await asyncio.gather(
        workers.one.handle([workers.one.command(Do(), saga_id=f"one-{n}", step="pay") for n in range(3)]),
        workers.two.handle([workers.two.command(Do(), saga_id=f"two-{n}", step="pay") for n in range(3)]),
    )
    assert [one.reply.outcome.value for batch in handled for one in batch if one.reply] == ["success"] * 6
    assert await workers.one.fetch_all("SELECT * FROM stock ORDER BY sku") == [("a", 3), ("b", 3)]
    await workers.close()


async def test_two_workers_of_one_name_are_refused_in_one_line(
    url: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafka_saga.participants.store.postgres_session.WORKER_NAME_WAIT_MS", 0)
    async with await Harness.open(make_shop(), database=url):
        with pytest.raises(StoreRefusedError, match=r"a worker of shop named 'tests' is at work.*--worker"):
            await Harness.open(make_shop(), database=url)


async def test_a_connection_that_was_lost_is_replaced_and_the_name_kept(
    url: PostgresUrl, stranger: asyncpg.Connection
) -> None:
    async def pid(_command: Do, connection: asyncpg.Connection) -> Done:
        return Done(text=str(connection.get_server_pid()))

    async with await Harness.open(only(pid), database=url) as harness:
        before = body_of(await harness.send(Do(), **WHERE))["text"]
        await stranger.execute("SELECT pg_terminate_backend($1, 5000)", int(before))
        await harness.fetch_all("SELECT 1")
        after = body_of(await harness.send(Do(), saga_id="order-2", step="pay"))["text"]
        assert after != before


async def test_handlers_that_take_a_connection_need_postgresql() -> None:
    shop = make_shop(kind=Kind.CONNECTION)
    with pytest.raises(DefinitionError, match=r"asyncpg.Connection.*write `--database postgresql://"):
        await Harness.open(shop)


async def test_workers_that_start_together_make_the_tables_in_turn(url: PostgresUrl) -> None:
    at_once = 0

    async def prepare(connection: SqlConnection) -> None:
        nonlocal at_once
        assert at_once == 0, "of two CREATE TABLE IF NOT EXISTS at once one fails"
        at_once += 1
        await connection.run_script("CREATE TABLE IF NOT EXISTS goods (sku text); SELECT pg_sleep(0.1)")
        at_once -= 1

    openings = [Opening(make_shop(None), worker, SystemClock()) for worker in ("one", "two", "three")]
    stores = [await open_for(opening, url) for opening in openings]
    await asyncio.gather(*(store.prepare(prepare) for store in stores))
    for store in stores:
        await store.close()
