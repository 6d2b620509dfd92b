"""What is fuzzed, and what must hold whatever comes: nothing is raised, nothing is blocked, nothing is lost, and
nobody else is touched (I19).
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from kafka_saga.messaging.dead_letters import CAUSE, ERROR_HEADERS, OFFSET, TRUNCATED
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.orchestrator.engine.worker import Engine
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.limits import DEAD_LETTER_WHOLE_BYTES_MAX, HEADERS_BYTES_MAX
from kafka_saga.runtime.sqlite import SqlConnection, open_inline
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.codec import decode_object, decode_trusted, encode
from kafka_saga.schemas.envelope import read_command, read_headers, read_reply, unwrap_structured
from tests.engine.world import REQUESTS, StillClock, World
from tests.fuzz.hostile import REPLIES as REPLY_BODIES
from tests.fuzz.hostile import Hostile, anything, commands, replies, requests, structured, values
from tests.participants.fakes import COMMANDS
from tests.participants.shop import Do
from tests.participants.worker_world import World as Shop

Result = TypeVar("Result")

BYSTANDER = "bystander"
CAUSES = {cause.value for cause in Cause}
BROKER_BYTES_MAX = 1_048_588
"""Kafka's default `message.max.bytes`; what a batch adds to one record is less than 200 bytes."""

REPLY_TOPICS = ("inventory.replies", "payment.replies", "orders.replies")


def decoding(value: bytes | None) -> None:
    """A value is one JSON object that can be written again as it was read, or it has a cause."""
    document = _or_cause(lambda: decode_object(value))
    if document is not None:
        assert decode_trusted(encode(document)) == document


def heading(record: Hostile) -> None:
    """Headers are read, in both modes, as a command's and as a reply's, or they have a cause."""
    opened = _or_cause(lambda: unwrap_structured(read_headers(record.headers), record.value))
    if opened is not None:
        headers, value = opened
        assert value is None or isinstance(value, bytes)
        _or_cause(lambda: read_reply(headers, record.key))
        _or_cause(lambda: read_command(headers, record.key))


def _or_cause(read: Callable[[], Result]) -> Result | None:
    """What is read; None where it is refused, which must be with a cause of the closed set."""
    try:
        return read()
    except ContractError as error:
        refused = error
    assert refused.cause in CAUSES
    return None


def orchestrating(records: Sequence[tuple[str, Hostile]]) -> None:
    """The engine takes each record on its topic."""
    asyncio.run(_orchestrate(records))


def participating(records: Sequence[Hostile]) -> None:
    """A participant's worker takes each record."""
    with tempfile.TemporaryDirectory(prefix="saga-fuzz-") as folder:
        asyncio.run(_participate(Path(folder), records))


async def _orchestrate(records: Sequence[tuple[str, Hostile]]) -> None:
    connection = await open_inline(":memory:")
    clock = StillClock()
    world = await World(await SqliteStore.create(connection, clock), clock).start()
    try:
        for saga_id in (BYSTANDER, "order-1", "order-2"):
            await world.begin(saga_id)
        await world.succeed("reserveItems")  # order-2 is one step ahead
        before = await _of_bystander(connection)
        for topic, record in records:
            await _take(world, connection, topic, record)
        assert await _of_bystander(connection) == before, "nobody else is touched"
        world.request("order-after")
        await world.turn(2)
        assert world.sent("reserveItems")[-1].head.parsed_id.saga_id == "order-after", "and life goes on"
    finally:
        await world.stop()
        await world.store.close()


async def _take(world: World, connection: SqlConnection, topic: str, record: Hostile) -> None:
    """One record, one batch: it is applied, counted as ignored, or set aside as it was; and it is passed."""
    counts, rows, letters = world.engine.counts.copy(), await _log_rows(connection), world.dead_letters(topic)
    kept = world.kafka.append(Message(topic, record.key, record.value, record.headers))  # type: ignore[arg-type]
    await world.turn()
    assert _next(world.engine, topic) == kept.offset + 1, "no partition is blocked"
    more = world.dead_letters(topic)[len(letters) :]
    changed = world.engine.counts - counts
    applied = await _log_rows(connection) - rows
    counted = sum(number for name, number in changed.items() if name.startswith(("started", "duplicate", "ignored")))
    assert len(more) <= 1
    assert more or counted or applied, f"neither applied, counted nor set aside: {topic} {record}"
    for _cause, letter in more:
        _check_letter(record, letter.key, letter.value, tuple(letter.headers), kept.offset)


def _check_letter(
    record: Hostile,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    offset: int,
) -> None:
    """It has the original's bytes and a cause, and fits the broker."""
    said = {name: (text or b"").decode() for name, text in headers if name in ERROR_HEADERS}
    assert said[CAUSE] in CAUSES
    assert said[OFFSET] == str(offset)
    size = len(key or b"") + len(value or b"") + sum(len(n.encode()) + len(v or b"") + 10 for n, v in headers)
    assert size < BROKER_BYTES_MAX - 200
    cut = said.get(TRUNCATED, "")
    if "value=" not in cut:
        assert value == record.value
    else:
        assert len(record.value or b"") > DEAD_LETTER_WHOLE_BYTES_MAX
        assert (record.value or b"").startswith(value or b"-")
    if "key=" not in cut:
        assert key == record.key
    own = [(name, text or b"") for name, text in record.headers if name not in ERROR_HEADERS]
    kept = [(name, text) for name, text in headers if name not in ERROR_HEADERS]
    if "headers=" not in cut:
        assert kept == own
    else:
        assert sum(len(name.encode()) + len(text) for name, text in own) > HEADERS_BYTES_MAX


async def _of_bystander(connection: SqlConnection) -> list[Any]:
    """Every byte that the store has of the saga that no message is about."""
    rows = [*await connection.fetch_all("SELECT * FROM sagas WHERE saga_id = ?", (BYSTANDER,))]
    assert len(rows) == 1
    return [*rows, *await connection.fetch_all("SELECT * FROM step_log WHERE saga_key = ?", (rows[0][0],))]


async def _log_rows(connection: SqlConnection) -> int:
    [(count,)] = await connection.fetch_all("SELECT count(*) FROM step_log", ())
    return int(count)


def _next(engine: Engine, topic: str) -> int:
    return engine._intake.stored.get(TopicPartition(topic, 0), 0)


async def _participate(folder: Path, records: Sequence[Hostile]) -> None:
    shop = Shop(folder / "shop.db")
    await shop.start()
    try:
        await shop.send(Do(), BYSTANDER)
        await shop.replied(1)
        before = await _rows_of_bystander(shop)
        published = len(shop.broker.published)
        for number, record in enumerate(records, start=1):
            await shop.broker.send(record.key, record.value, record.headers)
            await _until_published(shop, published + number)
            answers = shop.broker.published[published:]
        assert await _rows_of_bystander(shop) == before, "nobody else is touched"
        await shop.send(Do(), "order-after")
        await _until_said(shop, "order-after")
    finally:
        await shop.stop()
    letters = {dict(m.headers)[OFFSET].decode(): m for m in answers if m.topic == f"dlq.{COMMANDS}"}
    replied = len(answers) - len(letters)
    assert len(letters) + replied >= len(records), "each is answered or set aside"
    for offset, record in enumerate(records, start=1):
        letter = letters.get(str(offset))
        if letter is not None:
            _check_letter(record, letter.key, letter.value, letter.headers, offset)


async def _until_published(shop: Shop, count: int) -> None:
    assert shop.task is not None
    waiting = asyncio.ensure_future(shop.broker.signals.until(lambda: len(shop.broker.published) >= count))
    await asyncio.wait({waiting, shop.task}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        shop.task.result()  # the worker ended: this raises what it died of
    await waiting


async def _until_said(shop: Shop, saga_id: str) -> None:
    await shop.broker.signals.until(lambda: any(m.key == saga_id.encode() for m in shop.broker.published))


async def _rows_of_bystander(shop: Shop) -> list[Any]:
    connection = shop.store.connection
    fence = await connection.fetch_all("SELECT * FROM saga_fence WHERE saga_id = ?", (BYSTANDER,))
    effects = await connection.fetch_all("SELECT * FROM effects WHERE saga_id = ?", (BYSTANDER,))
    assert fence
    assert effects
    return [*fence, *effects]


TARGETS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None], int]] = {
    "decoding": (values(*REPLY_BODIES) | structured, decoding, 400),
    "heading": (replies | commands | requests | anything, heading, 400),
    "orchestrating": (
        st.lists(
            st.tuples(st.just(REQUESTS), requests | anything)
            | st.tuples(st.sampled_from(REPLY_TOPICS), replies | anything | requests),
            min_size=1,
            max_size=5,
        ),
        orchestrating,
        80,
    ),
    "participating": (st.lists(commands | anything, min_size=1, max_size=5), participating, 40),
}
"""Each target: what it is given, what it does with it, and how many examples a run of the suite takes."""


def run_examples(name: str, first: int, examples: int, until: Callable[[], bool] = lambda: True) -> None:
    """Give a target `examples` new inputs drawn from the seed `first`, while `until()` holds."""
    strategy, target, _examples = TARGETS[name]

    def while_there_is_time(value: Any) -> None:
        if until():
            target(value)

    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.generate, Phase.shrink],
    )
    seed(first)(limits(given(strategy)(while_there_is_time)))()
