"""Replies that are in their topic and cannot be read yet: nothing is given up meanwhile, and it is said why (R21)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from confluent_kafka import Producer as LibrdkafkaProducer

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.records import Record
from kafka_saga.messaging.stuck import OPEN_TRANSACTION
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

QUICK = ("--app", "tests.integration.quick_sagas")
"""A second's patience, four attempts: 5.4 s."""

SAGAS = [f"order-{number}" for number in range(1, 9)]


async def begin_foreign(world: World, topic: str) -> LibrdkafkaProducer:
    """A transaction of somebody else's that is open on every partition of `topic`."""
    servers = world.kafka.bootstrap_servers
    foreign = LibrdkafkaProducer({"bootstrap.servers": servers, "transactional.id": f"{topic}-foreign"})
    await asyncio.to_thread(foreign.init_transactions)
    foreign.begin_transaction()
    for number in foreign.list_topics(topic).topics[topic].partitions:
        foreign.produce(topic, b"{}", key=b"nobody", partition=number)
    await asyncio.to_thread(foreign.flush)
    return foreign


@pytest.mark.parametrize("end", ["commit_transaction", "abort_transaction"])
async def test_replies_behind_an_open_transaction_are_waited_for(world: World, end: str) -> None:
    await world.start(*QUICK)
    foreign = await begin_foreign(world, world.topics.replies_of("inventory"))
    await world.order(*SAGAS)
    await world.orchestrator.said("timers.held")
    await world.orchestrator.said_text(OPEN_TRANSACTION)
    assert f"{world.topics.replies_of('inventory')}[" in world.orchestrator.output()
    statuses = [row["status"] for row in world.log(SAGAS[0], "--all")]
    assert statuses == ["IN_PROGRESS"], "its deadline passed five seconds ago"

    await asyncio.to_thread(getattr(foreign, end))
    outcomes = await world.ended(len(SAGAS))
    assert {record["state"] for record in outcomes.values()} == {"COMPLETED"}
    assert all(row["status"] != "TIMEOUT" for saga_id in SAGAS for row in world.log(saga_id, "--all"))
    world.books.check(outcomes)


async def test_replies_on_partitions_that_were_added_just_now_are_waited_for(world: World) -> None:
    await world.start(*QUICK, services=("inventory", "orders"))
    payment = Consumer(world.kafka, [world.topics.commands("payment")], group=f"{world.topics.prefix}payment")
    await payment.start({})
    admin = AIOKafkaAdminClient(bootstrap_servers=world.kafka.bootstrap_servers)
    await admin.start()
    try:
        await world.order(*SAGAS)
        commands: list[Record] = []
        async with asyncio.timeout(60):
            while len({command.key for command in commands}) < len(SAGAS):
                commands += await payment.poll(200, 100)
        await answer_elsewhere(world, admin, commands)
        outcomes = await world.ended(len(SAGAS))
    finally:
        await admin.close()
        await payment.stop()
    assert {record["state"] for record in outcomes.values()} == {"COMPLETED"}


async def answer_elsewhere(world: World, admin: AIOKafkaAdminClient, commands: list[Record]) -> None:
    """Another partition is added, and every reply goes there."""
    topic = world.topics.replies_of("payment")
    foreign = LibrdkafkaProducer({"bootstrap.servers": world.kafka.bootstrap_servers})
    added = len(foreign.list_topics(topic).topics[topic].partitions)
    await admin.create_partitions({topic: NewPartitions(total_count=added + 1)})
    while len(foreign.list_topics(topic).topics[topic].partitions) == added:
        await asyncio.to_thread(foreign.poll, 0.02)
    for command in commands:
        asked: dict[str, Any] = dict(command.headers)
        headers = [("ce_causationid", asked["ce_id"]), ("ce_sagaoutcome", b"success")]
        foreign.produce(topic, b'{"charge_id": "ch-1"}', key=command.key, headers=headers, partition=added)
    await asyncio.to_thread(foreign.flush)
