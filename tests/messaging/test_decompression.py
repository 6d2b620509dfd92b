"""Decompression bombs: what becomes too large is not unpacked, what is much is unpacked in turns (I20)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, codec
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_saga.messaging import decompression
from kafka_saga.messaging.decompression import AllowanceSpentError, BatchTooLargeError, gunzip, unlz4, unsnappy, unzstd
from kafka_saga.runtime.limits import BATCH_DECOMPRESSED_BYTES_MAX, POLL_DECOMPRESSED_BYTES_MAX
from kafka_saga.schemas.codec import decode_trusted
from tests.brokers import BrokerUnderTest
from tests.messaging.conftest import PATIENCE_S, make_topic

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
GZIP = 1

CODECS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (codec.gzip_encode, codec.gzip_decode, gunzip),
    "zstd": (codec.zstd_encode, codec.zstd_decode, unzstd),
    "lz4": (codec.lz4_encode, codec.lz4_decode, unlz4),
    "snappy": (codec.snappy_encode, codec.snappy_decode, unsnappy),
    "snappy_raw": (
        lambda data: bytes(codec.snappy_encode(data, xerial_compatible=False)),
        codec.snappy_decode,
        unsnappy,
    ),
}
every_codec = pytest.mark.parametrize("name", CODECS)


@pytest.fixture(autouse=True)
def _new_poll() -> None:
    decompression.allowance.begin()


@every_codec
@pytest.mark.parametrize("size", [1, 1_000, 70_000, 3 * MIB, BATCH_DECOMPRESSED_BYTES_MAX])
@pytest.mark.parametrize("content", ["zeros", "noise"])
def test_what_is_within_bounds_is_decompressed_as_ever(name: str, size: int, content: str) -> None:
    encode, _theirs, ours = CODECS[name]
    data = bytes(size) if content == "zeros" else os.urandom(size)
    assert ours(encode(data)) == data
    assert decompression.allowance.spent == size


@every_codec
def test_one_byte_more_is_too_large(name: str) -> None:
    encode, _theirs, ours = CODECS[name]
    with pytest.raises(BatchTooLargeError, match="more than 8 MiB"):
        ours(encode(bytes(BATCH_DECOMPRESSED_BYTES_MAX + 1)))
    assert decompression.allowance.spent == 0


@pytest.mark.parametrize("name", ["gzip", "zstd", "lz4"])
def test_several_frames_count_together(name: str) -> None:
    encode, theirs, ours = CODECS[name]
    small = encode(b"ab") * 3
    assert ours(small) == theirs(small) == b"ababab"
    with pytest.raises(BatchTooLargeError):
        ours(encode(bytes(BATCH_DECOMPRESSED_BYTES_MAX // 2 + 1)) * 2)


def test_what_one_poll_decompresses_is_bounded_too() -> None:
    batch = codec.gzip_encode(bytes(BATCH_DECOMPRESSED_BYTES_MAX))
    for _ in range(POLL_DECOMPRESSED_BYTES_MAX // BATCH_DECOMPRESSED_BYTES_MAX):
        gunzip(batch)
    for ours, encode in ((gunzip, codec.gzip_encode), (unzstd, codec.zstd_encode), (unsnappy, codec.snappy_encode)):
        with pytest.raises(AllowanceSpentError):
            ours(encode(b"a"))
    decompression.allowance.begin()
    assert gunzip(codec.gzip_encode(b"a")) == b"a"


@every_codec
@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300), at=st.integers(0, 60), junk=st.binary(max_size=4))
def test_damaged_batches_are_refused_or_read_as_aiokafka_reads_them(
    name: str, data: bytes, at: int, junk: bytes
) -> None:
    encode, theirs, ours = CODECS[name]
    whole = encode(data)
    damaged = whole[:at] + junk + whole[at + len(junk) :]
    found = _or_error(ours, damaged)
    if isinstance(found, bytes):
        assert found == _or_error(theirs, damaged)


def _or_error(decode: Callable[[bytes], Any], data: bytes) -> bytes | Exception:
    try:
        return bytes(decode(data))
    except Exception as error:  # noqa: BLE001 -- whatever a library raises makes the batch unreadable
        return error


def test_a_gzip_batch_that_ends_too_early_is_damaged() -> None:
    whole = codec.gzip_encode(os.urandom(100))
    for bad in (whole[:-20], whole + b"\0", zlib.compress(b"not gzip")):
        assert isinstance(_or_error(gunzip, bad), Exception)


async def publish_bombs(broker: BrokerUnderTest, topic: str, sizes: list[int]) -> int:
    """One batch of one record for each of `sizes`, zeros under gzip; how many bytes went over the wire."""
    sent = 0
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all") as producer:
        for size in sizes:
            builder = BatchBuilder(size + 1_000, GZIP)
            assert builder.append(timestamp=None, key=b"k", value=bytes(size), headers=[]) is not None
            builder.close()
            sent += len(builder._build())
            await (await producer.send_batch(builder, topic, partition=0))
    return sent


async def read_alone(broker: BrokerUnderTest, topic: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.messaging.hostile_batches", broker.bootstrap_servers, topic]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, check=False, timeout=2 * PATIENCE_S
    )
    assert done.returncode == 0, done.stderr.decode()[-2_000:]
    told: dict[str, Any] = decode_trusted(done.stdout)
    return told


@pytest.mark.kafka
async def test_bombs_are_set_aside_and_what_lies_between_them_is_read(
    broker: BrokerUnderTest, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "requests", 1)
    sizes = [100, 50 * MIB, 200, 50 * MIB, 50 * MIB, 300]
    assert await publish_bombs(broker, topic, sizes) < MIB // 4
    told = await read_alone(broker, topic)
    assert told["offsets"] == [0, 1, 2, 3, 4, 5]
    assert told["unreadable"] == 3
    assert told["grownBytes"] < 40 * MIB, "no bomb was unpacked"


@pytest.mark.kafka
async def test_much_that_is_just_small_enough_is_read_in_turns(broker: BrokerUnderTest, topic_prefix: str) -> None:
    topic = await make_topic(broker, topic_prefix + "requests", 1)
    count = 100
    sent = await publish_bombs(broker, topic, [7 * MIB] * count)
    assert sent < MIB, "one fetch holds all of them"
    told = await read_alone(broker, topic)
    assert told["offsets"] == [*range(count)]
    assert told["unreadable"] == 0
    assert told["largestPollBytes"] <= POLL_DECOMPRESSED_BYTES_MAX + BATCH_DECOMPRESSED_BYTES_MAX
    assert told["grownBytes"] < 5 * POLL_DECOMPRESSED_BYTES_MAX, "700 MiB were never in memory at once"


@pytest.mark.kafka
async def test_a_bomb_of_many_records_is_passed_in_seconds_and_each_is_accounted_for(
    broker: BrokerUnderTest, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "requests", 1)
    builder, count = BatchBuilder(64 * MIB, GZIP), 20_000
    for _ in range(count):
        assert builder.append(timestamp=None, key=None, value=bytes(500), headers=[]) is not None
    builder.close()
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all") as producer:
        await (await producer.send_batch(builder, topic, partition=0))
        await producer.send_and_wait(topic, b"good", partition=0)
    told = await read_alone(broker, topic)
    assert told["offsets"] == [*range(count + 1)]
    assert told["unreadable"] == count
    assert told["polls"] <= count // 2_000 + 2
    assert told["grownBytes"] < 64 * MIB
