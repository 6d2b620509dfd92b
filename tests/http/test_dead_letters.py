"""Dead letters over HTTP, on a broker: pages, counts, one whole, and what is done to them is kept with its actor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kafka_saga.messaging.producer import Producer
from kafka_saga.orchestrator.dashboard import add_to
from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.desk import open_desk
from kafka_saga.orchestrator.http.security.local import LocalSecurity
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic
from tests.brokers import BrokerUnderTest
from tests.http.conftest import REGISTRY
from tests.operations.dead_letters.letters import Letters

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka]  # one partition a topic
API = "/api/v1/dead-letters"


@pytest.fixture
async def letters(kafka: BrokerUnderTest, topic_prefix: str) -> AsyncIterator[Letters]:
    producer = Producer(kafka.settings)
    made = Letters(kafka, TopicNames(prefix=topic_prefix), producer)
    await made.create(made.requests)
    yield made
    await producer.stop()


@pytest.fixture
async def client(letters: Letters, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    path = tmp_path / "orchestrator.db"
    await (await open_store(path, SystemClock())).close()
    async with open_desk(
        store_at=path,
        registry=REGISTRY,
        kafka=letters.broker.settings,
        topics=letters.topics,
        group="orchestrator",
        clock=SystemClock(),
        new_id=new_id,
        may_write=True,
    ) as desk:
        app = create_app(desk, security=LocalSecurity("ann@desk"), pages=add_to)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
            yield opened


async def asked(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(f"{API}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_letters_are_read_page_by_page_and_counted(letters: Letters, client: httpx.AsyncClient) -> None:
    await letters.set_aside(*[b"%d" % number for number in range(5)])
    await letters.set_aside(b"5", b"6", cause="conflict")

    offsets, cursor = list[list[int]](), None
    while True:
        page = await asked(client, "", limit=3, **({} if cursor is None else {"cursor": cursor}))
        offsets.append([int(one["position"].rpartition("/")[2]) for one in page["items"]])
        cursor = page["next"]
        if cursor is None:
            break
    counted = await asked(client, "/count")
    some = await asked(client, "", cause="conflict")

    assert offsets == [[6, 5, 4], [3, 2, 1], [0]]
    assert counted["items"] == [{"cause": "bad_json", "deadLetters": 5}, {"cause": "conflict", "deadLetters": 2}]
    assert (counted["all"], counted["open"], counted["complete"]) == (7, 7, True)
    assert [one["cause"] for one in some["items"]] == ["conflict", "conflict"]
    assert (await client.get(API, params={"cursor": "x"})).status_code == 422


async def test_chosen_ones_are_handled_at_once_and_who_did_it_is_kept(
    letters: Letters, client: httpx.AsyncClient
) -> None:
    await letters.set_aside(*[b"%d" % number for number in range(4)])
    topic = dead_letter_topic(letters.requests)
    chosen = [f"{topic}/0/{offset}" for offset in (0, 2, 3)]

    planned = await client.post("/dead-letters", data={"verb": "redrive", "letter": chosen})
    before = await asked(client, "/count")
    sent = await client.post(
        "/dead-letters", data={"verb": "redrive", "letter": chosen, "sure": "1", "reason": "mended"}
    )
    again = await client.post("/dead-letters", data={"verb": "redrive", "letter": chosen[:1]})
    put_away = await client.post(f"{API}/discard", json={"position": f"{topic}/0/1", "reason": "a test"})
    gone = await client.post("/dead-letters", data={"verb": "redrive", "letter": f"{topic}/0/99"})

    assert "Redrive 3 dead letters? Nothing is done yet." in planned.text
    assert (before["open"], sent.status_code, put_away.status_code, gone.status_code) == (4, 303, 200, 404)
    assert "it was redriven by ann@desk" in again.text
    assert [record.value for record in await letters.on(letters.requests)] == [b"0", b"2", b"3"]
    assert (await asked(client, "/count"))["open"] == 0
    whole = await asked(client, f"/{topic}/0/2")
    assert (whole["value"], whole["handled"]["actor"]) == (2, "ann@desk")
    acts = (await client.get("/api/v1/acts")).json()
    assert [(act["verb"], act["actor"], act["reason"], act["message"]) for act in acts] == [
        ("discard", "ann@desk", "a test", "1 dead letter discarded"),
        ("redrive", "ann@desk", "mended", "3 dead letters redriven"),
    ]
    assert "mended" in (await client.get("/audit", headers={"accept": "text/html"})).text


@pytest.mark.parametrize("verb", ["redrive", "discard"])
async def test_what_is_done_to_many_is_said_exactly(letters: Letters, client: httpx.AsyncClient, verb: str) -> None:
    await letters.set_aside(*[b"%d" % number for number in range(101)])
    asks = {"topic": letters.requests, "limit": 1_000, "reason": "mended"}

    refused = [
        await client.post(f"{API}/{verb}", json=document)
        for document in (
            {"reason": "mended"},
            asks,
            {**asks, "total": 100},
            {**asks, "since": "yesterday"},
            {**asks, "until": "9999999", "dryRun": True},
        )
    ]
    before = await asked(client, "/count")
    done = await client.post(f"{API}/{verb}", json={**asks, "total": 101, "since": "2020-01-01T00:00:00+02:00"})

    assert [one.status_code for one in refused] == [422] * 5
    assert "say total: 101" in refused[1].json()["detail"]
    assert (before["open"], done.status_code) == (101, 200)
    assert (await asked(client, "/count"))["open"] == 0
    assert (await client.get(API, params={"since": "yesterday"})).status_code == 422
