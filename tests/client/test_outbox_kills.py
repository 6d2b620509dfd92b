"""kill -9 of a relay between the publish and the deletion: the request goes out twice, and it is one saga."""

from __future__ import annotations

import asyncpg
import pytest

from kafka_saga.client.outbox import Outbox, ddl
from kafka_saga.runtime.postgres import PostgresUrl
from tests.client.conftest import order
from tests.integration.fixtures import world
from tests.integration.processes import CLOCK, saga_command
from tests.integration.world import World

__all__ = ["world"]

LOCK = 4_711
SLOW_DELETION = f"""
CREATE FUNCTION wait_for_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock({LOCK}); RETURN OLD; END $$;
CREATE TRIGGER waiting BEFORE DELETE ON saga_outbox FOR EACH ROW EXECUTE FUNCTION wait_for_it();
"""


@pytest.mark.kafka
@pytest.mark.processes
async def test_a_relay_that_is_killed_after_publishing_starts_one_saga(world: World, postgres_url: PostgresUrl) -> None:
    await world.start()
    connection = await asyncpg.connect(postgres_url.secret_text)
    await connection.execute(ddl("postgresql") + SLOW_DELETION)
    await connection.execute(f"SELECT pg_advisory_lock({LOCK})")
    relay = world.add("relay", saga_command("outbox", "relay", "--database", postgres_url.secret_text))
    relay.start()
    await relay.said("outbox.relaying")
    async with connection.transaction():
        await Outbox().start(connection, order("order-1"))
    requests = world.topics.requests("order")
    while not await world.read_all(requests):
        await CLOCK.sleep(50)
    relay.kill()
    assert await connection.fetchval("SELECT count(*) FROM saga_outbox") == 1, "published, and not deleted"

    await connection.execute(f"SELECT pg_advisory_unlock({LOCK})")
    relay.start()
    await relay.said("outbox.relaying")
    while await connection.fetchval("SELECT count(*) FROM saga_outbox"):
        await CLOCK.sleep(50)
    await connection.close()
    first, second = await world.read_all(requests)
    assert (first.key, first.value, list(first.headers)) == (second.key, second.value, list(second.headers))
    outcomes = await world.ended(1)
    assert {saga_id: outcome["state"] for saga_id, outcome in outcomes.items()} == {"order-1": "COMPLETED"}
    world.books.check(outcomes)
    assert relay.terminate() == 0
