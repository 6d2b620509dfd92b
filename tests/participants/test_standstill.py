"""A handler that blocks the process for so long that the server ends its transaction (R78)."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from kafka_saga import Participant, Rejected, Transaction
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.envelope import Outcome
from tests.participants.adapters import Adapter
from tests.participants.shop import Do, Done, taking

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'saga %' AND datname = current_database()"


def block_until_the_server_has_ended_it(url: PostgresUrl) -> None:
    """Block the calling thread for as long as a worker has a session in the database."""

    async def until_gone() -> None:
        stranger = await asyncpg.connect(url.secret_text)
        while await stranger.fetchval(SESSIONS):
            await SystemClock().sleep(50)
        await stranger.close()

    with ThreadPoolExecutor() as threads:
        threads.submit(asyncio.run, until_gone()).result()


async def test_it_is_answered_and_costs_no_other_command(on_postgres: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka_saga.participants.store.postgres_session._STANDSTILL_MS", 0)
    url = on_postgres.database
    assert isinstance(url, PostgresUrl)

    async def do(_command: Do, tx: Transaction) -> Done:
        await tx.execute("SELECT 1")
        if tx.saga_id != "quick":
            block_until_the_server_has_ended_it(url)
        if tx.saga_id == "refused":
            raise Rejected("sold out")
        return Done(text="")

    shop = Participant("shop")
    shop.action(Do)(taking(on_postgres.kind, do))
    async with await on_postgres.open(shop) as harness:
        sagas = ("done", "refused", "quick")
        handled = await harness.handle([harness.command(Do(), saga_id=saga, step="pay") for saga in sagas])
    done, refused, quick = [one.reply for one in handled if one.reply]
    assert [done.outcome, refused.outcome, quick.outcome] == [Outcome.RETRY, Outcome.RETRY, Outcome.SUCCESS]
    assert "do blocked the process for" in str(done.error)
    assert "(sold out)" in str(refused.error)
