"""Compressed batches, within bounds: 48 kB of gzip can become 50 MB, and one fetch holds hundreds of such batches.

aiokafka decompresses a batch whole, however large it becomes, when its first record is asked for. Its decoders are
replaced by ours, which stop at a limit for one batch and at another for all batches of one poll. The first makes a
batch unreadable, and its records are set aside like others that no client can parse; the second makes the poll end
early, and the next one goes on.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

from aiokafka import codec
from aiokafka.errors import CorruptRecordException

from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.limits import BATCH_DECOMPRESSED_BYTES_MAX, POLL_DECOMPRESSED_BYTES_MAX

_MODULES: Final = (
    "aiokafka.record._crecords.default_records",
    "aiokafka.record._crecords.legacy_records",
    "aiokafka.record.default_records",
    "aiokafka.record.legacy_records",
)
_GZIP: Final = 31
"""zlib's name for a gzip header."""

_FIRST_GUESS_BYTES: Final = 64 * 1024
_USUAL_RATIO: Final = 16
_XERIAL_HEADER_BYTES: Final = 16


class AllowanceSpentError(Exception):
    """What one poll may decompress is used up; the next poll goes on where this one ended."""


class BatchTooLargeError(CorruptRecordException):  # type: ignore[misc]  # aiokafka ships no types
    """A batch becomes too large when it is decompressed."""

    def __str__(self) -> str:
        return f"a batch of more than {BATCH_DECOMPRESSED_BYTES_MAX // 2**20} MiB when decompressed"


class Allowance:
    """How much was decompressed since the last poll began. One for the process: decoders know no consumer."""

    def __init__(self) -> None:
        self.spent = 0

    def begin(self) -> None:
        """A poll begins."""
        self.spent = 0

    def spend(self, decoded: bytes) -> bytes:
        """Count a decompressed batch."""
        self.spent += len(decoded)
        return decoded

    def check(self) -> None:
        """Before a batch is decompressed.

        Raises:
            AllowanceSpentError: this poll has decompressed enough.

        """
        if self.spent >= POLL_DECOMPRESSED_BYTES_MAX:
            raise AllowanceSpentError("enough was decompressed for one poll")


allowance: Final = Allowance()


def gunzip(payload: Any) -> bytes:
    """Gzip, also of several members."""
    allowance.check()
    parts: list[bytes] = []
    left, rest = BATCH_DECOMPRESSED_BYTES_MAX, bytes(payload)
    while rest:
        decoder = zlib.decompressobj(_GZIP)
        part = decoder.decompress(rest, left + 1)
        left -= len(part)
        if left < 0:
            raise BatchTooLargeError
        if not decoder.eof:
            raise CorruptRecordException("a gzip batch that ends too early")
        parts.append(part)
        rest = decoder.unused_data
    return allowance.spend(b"".join(parts))


def unzstd(payload: Any) -> bytes:
    """Zstandard."""
    return _into(codec.cramjam.zstd.decompress_into, payload)


def unlz4(payload: Any) -> bytes:
    """LZ4 frames."""
    return _into(codec.cramjam.lz4.decompress_into, payload)


def unsnappy(payload: Any) -> bytes:
    """Snappy, raw or in xerial's blocks. Each block says how large it becomes."""
    allowance.check()
    data = bytes(payload)
    blocks = _xerial_blocks(data) if codec._detect_xerial_stream(data) else [data]  # noqa: SLF001
    snappy = codec.cramjam.snappy
    if sum(snappy.decompress_raw_len(block) for block in blocks) > BATCH_DECOMPRESSED_BYTES_MAX:
        raise BatchTooLargeError
    return allowance.spend(b"".join(bytes(snappy.decompress_raw(block)) for block in blocks))


def install() -> None:
    """Have aiokafka decompress with these functions.

    Raises:
        ConfigError: this aiokafka decompresses in another way, which would have no bounds.

    """
    decoders: dict[str, Callable[[Any], bytes]] = {
        "gzip_decode": gunzip,
        "snappy_decode": unsnappy,
        "lz4_decode": unlz4,
        "zstd_decode": unzstd,
    }
    replaced = 0
    for name in _MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue  # an aiokafka without its compiled half
        for function, ours in decoders.items():
            if hasattr(module, function):
                setattr(module, function, ours)
                replaced += 1
    if replaced < len(decoders):
        raise ConfigError("this version of aiokafka cannot be kept within bounds; kafka-saga needs aiokafka 0.14")


def _into(decode: Callable[[bytes, bytearray], int], payload: Any) -> bytes:
    """What `decode` writes, into a buffer of a likely size first, then into one of the largest."""
    allowance.check()
    data = bytes(payload)
    likely = min(BATCH_DECOMPRESSED_BYTES_MAX, max(_FIRST_GUESS_BYTES, _USUAL_RATIO * len(data)))
    for size in (likely, BATCH_DECOMPRESSED_BYTES_MAX):
        buffer = bytearray(size)
        try:
            length = decode(data, buffer)
        except codec.cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise
        else:
            return allowance.spend(bytes(memoryview(buffer)[:length]))
    raise BatchTooLargeError


def _xerial_blocks(data: bytes) -> list[bytes]:
    blocks: list[bytes] = []
    at = _XERIAL_HEADER_BYTES
    while at < len(data):
        (size,) = struct.unpack_from("!i", data, at)
        if size <= 0:
            raise CorruptRecordException("a snappy block without a length")
        blocks.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return blocks
