"""Whatever a handler's SQL does to the transaction costs its own command only; nothing is written beside it (R57)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from kafka_saga import Participant, SqlConnection, Transaction
from kafka_saga.participants.testing import Harness
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.envelope import Outcome

SCHEMA = """
CREATE TABLE done (order_id TEXT PRIMARY KEY, note TEXT);
CREATE TABLE unique_ones (n INTEGER PRIMARY KEY ON CONFLICT ROLLBACK);
CREATE TABLE guarded (n INTEGER);
CREATE TRIGGER no_sevens BEFORE INSERT ON guarded WHEN new.n = 7 BEGIN SELECT RAISE(ROLLBACK, 'no sevens'); END;
CREATE TABLE parents (id TEXT PRIMARY KEY);
CREATE TABLE children (parent TEXT REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE tempting (id TEXT);
CREATE TRIGGER reaches_for_the_fence AFTER INSERT ON tempting BEGIN DELETE FROM saga_fence; END;
CREATE VIRTUAL TABLE notes USING fts5 (word);
"""


class Do(BaseModel):
    order_id: str


Misdeed = Callable[[Transaction, SqlConnection], Awaitable[Any]]


class Shop:
    """Orders leave a row each; the order `bad` does its misdeed between two more."""

    def __init__(self, misdeed: Misdeed, *, catches: bool = False) -> None:
        self.participant = Participant("shop")
        self.connection: SqlConnection
        self.ran: list[str] = []

        @self.participant.action(Do)
        async def do(command: Do, tx: Transaction) -> None:
            self.ran.append(command.order_id)
            await tx.execute("INSERT INTO done VALUES (?, 'before')", (command.order_id,))
            if command.order_id == "bad":
                try:
                    await misdeed(tx, self.connection)
                except Exception:
                    if not catches:
                        raise
                await tx.execute("INSERT INTO done VALUES ('bad again', 'after')")

    async def prepare(self, connection: SqlConnection) -> None:
        self.connection = connection
        await connection.run_script(SCHEMA)
        # In the cache of statements, as what somebody ran before: a cached statement must be asked about again.
        await connection.execute("BEGIN")
        await connection.execute("ROLLBACK")
        await connection.execute("BEGIN")
        await connection.execute("COMMIT")

    async def handle(self, *order_ids: str) -> dict[str, tuple[Outcome, str | None]]:
        """The replies, and in `kept` the orders whose rows are there after the commit."""
        async with await Harness.open(self.participant, prepare=self.prepare) as harness:
            commands = [harness.command(Do(order_id=name), saga_id=name, step="first") for name in order_ids]
            handled = await harness.handle(commands)
            self.kept = [name for (name,) in await harness.fetch_all("SELECT order_id FROM done ORDER BY rowid")]
            fence = await harness.fetch_all("SELECT saga_id FROM saga_fence ORDER BY rowid")
            self.remembered = [name for (name,) in fence]
        return {
            one.command.head.parsed_id.saga_id: (one.reply.outcome, one.reply.error) for one in handled if one.reply
        }


def sql(text: str) -> Misdeed:
    return lambda tx, _connection: tx.execute(text)


def query(text: str) -> Misdeed:
    return lambda tx, _connection: tx.fetch_all(text)


REFUSED: list[Any] = [
    pytest.param(sql("COMMIT"), "belongs to the guard", id="commit"),
    pytest.param(sql("commit transaction"), "belongs to the guard", id="commit transaction"),
    pytest.param(sql("END"), "belongs to the guard", id="end"),
    pytest.param(sql("ROLLBACK"), "belongs to the guard", id="rollback"),
    pytest.param(sql("BEGIN"), "belongs to the guard", id="begin"),
    pytest.param(sql("BEGIN IMMEDIATE"), "transaction", id="begin immediate"),
    pytest.param(sql(" \n\t COMMIT"), "belongs to the guard", id="blanks"),
    pytest.param(sql("/* a */ -- b\n COMMIT"), "belongs to the guard", id="comments"),
    pytest.param(sql("COM/**/MIT"), "syntax error", id="no word"),
    pytest.param(sql(";COMMIT"), "belongs to the guard", id="after an empty statement"),
    pytest.param(query("COMMIT"), "belongs to the guard", id="as a query"),
    pytest.param(sql("EXPLAIN COMMIT"), "belongs to the guard", id="explain"),
    pytest.param(sql("SAVEPOINT mine"), "belongs to the guard", id="savepoint"),
    pytest.param(sql("RELEASE command"), "belongs to the guard", id="release"),
    pytest.param(sql("RELEASE SAVEPOINT other"), "belongs to the guard", id="unmatched release"),
    pytest.param(sql("ROLLBACK TO command"), "belongs to the guard", id="rollback to"),
    pytest.param(sql("ATTACH ':memory:' AS other"), "ATTACH is not for handlers", id="attach"),
    pytest.param(sql("DETACH main"), "DETACH is not for handlers", id="detach"),
    pytest.param(sql("PRAGMA foreign_keys = OFF"), "PRAGMA foreign_keys is not", id="pragma"),
    pytest.param(sql("PRAGMA wal_checkpoint(TRUNCATE)"), "PRAGMA wal_checkpoint is not", id="checkpoint"),
    pytest.param(sql("PRAGMA defer_foreign_keys = ON"), "PRAGMA defer_foreign_keys is not", id="deferring"),
    pytest.param(sql("VACUUM"), "cannot VACUUM from within a transaction", id="vacuum"),
    pytest.param(sql("VACUUM INTO 'copy.db'"), "cannot VACUUM from within a transaction", id="vacuum into"),
    pytest.param(sql("INSERT INTO done VALUES ('x', ''); COMMIT"), "one statement at a time", id="two statements"),
    pytest.param(sql("DELETE FROM saga_fence"), "the table saga_fence is the guard's", id="fence"),
    pytest.param(sql("UPDATE saga_offsets SET next = 0"), "the table saga_offsets is the guard's", id="offsets"),
    pytest.param(sql("DROP TABLE Saga_Meta"), "the table saga_meta is the guard's", id="drop"),
    pytest.param(sql("ALTER TABLE saga_fence ADD COLUMN x"), "the table saga_fence is the guard's", id="alter"),
    pytest.param(sql("CREATE TEMP TABLE saga_fence (x)"), "the table saga_fence is the guard's", id="hide"),
    pytest.param(
        sql("CREATE TRIGGER t AFTER INSERT ON saga_fence BEGIN SELECT 1; END"),
        "the table saga_fence is",
        id="trigger on ours",
    ),
    pytest.param(sql("INSERT INTO tempting VALUES ('x')"), "the table saga_fence is the guard's", id="by a trigger"),
    pytest.param(lambda _tx, connection: connection.commit(), "belongs to the guard", id="connection.commit"),
    pytest.param(lambda _tx, connection: connection.rollback(), "belongs to the guard", id="connection.rollback"),
    pytest.param(lambda _tx, connection: connection.close(), "belongs to the guard", id="connection.close"),
    pytest.param(lambda _tx, connection: connection.run_script("SELECT 1"), "belongs to the guard", id="script"),
    pytest.param(lambda _tx, connection: connection.execute("COMMIT"), "belongs to the guard", id="connection.execute"),
    pytest.param(lambda _tx, connection: connection.execute_many("ROLLBACK", [()]), "only execute DML", id="many"),
]
ROLLED_BACK: list[Any] = [
    pytest.param("INSERT OR ROLLBACK INTO done VALUES ('bad', '')", "UNIQUE constraint failed", id="or rollback"),
    pytest.param("INSERT INTO unique_ones VALUES (1), (1)", "UNIQUE constraint failed", id="on conflict rollback"),
    pytest.param("INSERT INTO guarded VALUES (7)", "no sevens", id="raise(rollback)"),
    pytest.param("UPDATE OR ROLLBACK done SET order_id = 'a'", "UNIQUE constraint failed", id="update or rollback"),
]


@pytest.mark.parametrize(("misdeed", "words"), REFUSED)
async def test_what_would_leave_the_transaction_is_refused_and_costs_its_own_command_only(
    misdeed: Misdeed, words: str
) -> None:
    shop = Shop(misdeed)
    replies = await shop.handle("a", "bad", "b")
    assert [outcome for outcome, _ in replies.values()] == [Outcome.SUCCESS, Outcome.RETRY, Outcome.SUCCESS]
    assert words in (replies["bad"][1] or "")
    assert shop.ran == ["a", "bad", "b"]
    assert (shop.kept, shop.remembered) == (["a", "b"], ["a", "b"])


@pytest.mark.parametrize(("misdeed", "words"), REFUSED)
async def test_who_goes_on_after_a_refusal_has_lost_nothing(misdeed: Misdeed, words: str) -> None:
    shop = Shop(misdeed, catches=True)
    replies = await shop.handle("a", "bad", "b")
    assert {outcome for outcome, _ in replies.values()} == {Outcome.SUCCESS}, words
    assert (shop.kept, shop.remembered) == (["a", "bad", "bad again", "b"], ["a", "bad", "b"])


@pytest.mark.parametrize("catches", [False, True])
@pytest.mark.parametrize(("text", "words"), ROLLED_BACK)
async def test_where_sqlite_rolled_back_everything_the_others_are_done_again(
    text: str, words: str, catches: bool
) -> None:
    """Also where the handler catches the error and writes on: that would be written outside any transaction."""
    shop = Shop(sql(text), catches=catches)
    replies = await shop.handle("a", "bad", "b")
    assert [outcome for outcome, _ in replies.values()] == [Outcome.SUCCESS, Outcome.RETRY, Outcome.SUCCESS]
    told = replies["bad"][1] or ""
    assert "must be ABORT" in told
    assert catches or words in told
    assert (shop.kept, shop.remembered) == (["a", "b"], ["a", "b"])
    assert [name for name in shop.ran if name != "bad"] == ["a", "a", "b"]


async def test_a_batch_of_nothing_but_guilty_ones_ends() -> None:
    shop = Shop(sql("INSERT OR ROLLBACK INTO done VALUES ('bad', '')"))
    async with await Harness.open(shop.participant, prepare=shop.prepare) as harness:
        commands = [harness.command(Do(order_id="bad"), saga_id=f"bad-{n}", step="first") for n in range(40)]
        handled = await harness.handle(commands)
        assert [one.reply.outcome for one in handled if one.reply] == [Outcome.RETRY] * 40
        assert await harness.fetch_all("SELECT 1 FROM done UNION ALL SELECT 1 FROM saga_fence") == []
    assert len(shop.ran) == 40


@pytest.mark.parametrize("position", range(5))
async def test_a_constraint_that_is_checked_at_the_commit_costs_its_own_command_only(position: int) -> None:
    shop = Shop(sql("INSERT INTO children VALUES ('nobody')"))
    names = ["a", "b", "c", "d"]
    names.insert(position, "bad")
    replies = await shop.handle(*names)
    assert replies["bad"] == (Outcome.RETRY, "FOREIGN KEY constraint failed")
    assert {outcome for name, (outcome, _) in replies.items() if name != "bad"} == {Outcome.SUCCESS}
    assert (shop.kept, shop.remembered) == (["a", "b", "c", "d"], ["a", "b", "c", "d"])


ALLOWED = [
    "SELECT count(*) FROM saga_fence",
    "PRAGMA table_info(done)",
    "SELECT name FROM pragma_table_info('done')",
    "PRAGMA foreign_keys",
    "CREATE TABLE other (x)",
    "CREATE TEMP TABLE mine AS SELECT * FROM done",
    "INSERT INTO notes VALUES ('lamp')",
    "SELECT * FROM notes WHERE notes MATCH 'lamp'",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n",
    "UPDATE done SET note = (SELECT value FROM json_each('[\"x\"]'))",
    "REPLACE INTO done VALUES ('bad', 'replaced')",
    "INSERT OR IGNORE INTO done VALUES ('bad', 'ignored')",
]


@pytest.mark.parametrize("text", ALLOWED)
async def test_all_else_is_the_services_own_business(text: str) -> None:
    shop = Shop(query(text))
    replies = await shop.handle("a", "bad", "b")
    assert set(replies.values()) == {(Outcome.SUCCESS, None)}


async def test_what_is_left_behind_for_later_is_refused_and_the_guard_is_free_again() -> None:
    """The connection is the guard's own outside of handlers: it commits, and so may `prepare` at the next start."""
    tasks: list[asyncio.Task[None]] = []

    async def leave_behind(_tx: Transaction, connection: SqlConnection) -> None:
        task = asyncio.create_task(connection.commit())  # type: ignore[arg-type] # it is a coroutine
        tasks.append(task)
        await asyncio.wait({task})

    shop = Shop(leave_behind)
    replies = await shop.handle("a", "bad", "b")
    assert isinstance(tasks[0].exception(), UsageError)
    assert replies["bad"] == (Outcome.SUCCESS, None)
    assert shop.kept == ["a", "bad", "bad again", "b"]


async def test_a_refused_statement_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("ATTACH 'stolen.db' AS other", "VACUUM INTO 'stolen.db'"):
        await Shop(sql(text)).handle("bad")
    assert list(tmp_path.iterdir()) == []
