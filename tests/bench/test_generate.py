from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bench.broker import Kafka
from bench.generate import SERVICES, fill, renamed
from bench.measure import measure
from bench.system import prepared
from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.operations.sagas.show import read_log, show
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.schemas.codec import encode_sorted
from tests.brokers import BrokerUnderTest

MADE = 60


def test_an_id_is_exchanged_in_text_and_in_bytes_and_other_values_stay() -> None:
    assert renamed('{"reservation_id":"res-old-1"}', "old-1", "new-2") == '{"reservation_id":"res-new-2"}'
    assert renamed(b"\xa5old-1", "old-1", "new-2") == b"\xa5new-2"
    assert [renamed(value, "old-1", "new-2") for value in (None, 7, "x")] == [None, 7, "x"]


def count(path: Path, sql: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(sql).fetchone()[0])


def hashes(path: Path) -> list[tuple[bytes, bytes]]:
    """Of every saga, the hash of its request as it is kept, and as it must be (R3)."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT request_hash, data FROM sagas").fetchall()
    return [(kept, hashlib.sha256(encode_sorted(json.loads(data))).digest()) for kept, data in rows]


def test_databases_without_a_finished_saga_are_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "orchestrator.db")) as connection:
        connection.execute("CREATE TABLE sagas (saga_id, saga_key, state)")

    with pytest.raises(ValueError, match="no finished saga"):
        fill(tmp_path, 5)


@pytest.mark.kafka
@pytest.mark.real_kafka
@pytest.mark.processes
async def test_made_sagas_are_what_the_engine_and_the_participants_write(
    kafka: BrokerUnderTest, tmp_path: Path
) -> None:
    async with prepared(Kafka(kafka.bootstrap_servers), tmp_path / "data") as system:
        await system.start()
        await measure(system, 20, timeout_s=60)
        await system.stop()

        fill(system.directory, MADE)

        store = system.database("orchestrator")
        assert count(store, "SELECT count(*) FROM sagas WHERE state = 'COMPLETED'") == 20 + MADE
        logs = "SELECT count(*) FROM (SELECT count(*) n FROM step_log GROUP BY saga_key) GROUP BY n"
        assert count(store, logs) == 20 + MADE  # all have equally long logs
        assert all(kept == expected for kept, expected in hashes(store))
        for service in SERVICES:
            assert count(system.database(service), "SELECT count(DISTINCT saga_id) FROM saga_fence") == 20 + MADE
        await see_it_as_an_operator(system.settings, store)
        await system.start()
        await measure(system, 20, timeout_s=60)
        assert count(store, "SELECT count(*) FROM sagas WHERE state = 'COMPLETED'") == 40 + MADE


async def see_it_as_an_operator(settings: Settings, store: Path) -> None:
    """What `saga show` and `saga log` say of a real saga and of a made one differs in the id alone."""
    with closing(sqlite3.connect(store)) as connection:
        # The newest real saga is the template.
        [(template,)] = connection.execute(
            "SELECT saga_id FROM sagas WHERE saga_id NOT LIKE 'made%' ORDER BY saga_key DESC LIMIT 1"
        )
        [(made,)] = connection.execute("SELECT saga_id FROM sagas ORDER BY saga_key DESC LIMIT 1")
    assert made.startswith("made")
    registry = registry_of(settings)
    reader = await StoreReader.open(store)
    try:
        shown = [(await show(reader, registry, saga_id)).record for saga_id in (template, made)]
        logs = [
            [row.entry for row in await read_log(reader, registry, saga_id, every_row=True)]
            for saga_id in (template, made)
        ]
    finally:
        await reader.close()
    assert json.loads(json.dumps(shown[0]).replace(template, made)) == shown[1]
    assert len(logs[0]) >= 4
    assert repr(logs[0]).replace(template, made) == repr(logs[1])
