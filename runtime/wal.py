"""Keeping SQLite's write-ahead log small.

SQLite copies the log back into the database by itself every `WAL_PAGES_MAX` pages, and then writes it from the start
again. Two things are left to us: the file keeps the size it once had, and as long as a reader holds a snapshot the
log cannot start again at all and grows with every commit.
"""

from __future__ import annotations

from pathlib import Path

from kafka_saga.runtime.sqlite import BUSY_TIMEOUT_MS, WAL_PAGES_MAX, SqlConnection


def wal_bytes(store: Path) -> int:
    """The size of the log beside `store`; 0 where there is none."""
    try:
        return store.with_name(store.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0


def room_needed(store: Path) -> int:
    """How many bytes of disk the database at `store` still needs to go on as it is.

    Its log grows until it is copied into the file, which may grow by as much then.
    """
    until_copied = WAL_PAGES_MAX * 4_096
    return max(0, until_copied - wal_bytes(store)) + until_copied


async def truncate_wal(connection: SqlConnection) -> bool:
    """Copy the whole log into the database and cut it to nothing; false where a reader needs it still.

    It waits for nobody: with the usual timeout a reader that holds on would hold up the writer for five seconds.
    """
    await connection.execute("PRAGMA busy_timeout=0")
    try:
        [(busy, _pages, _copied)] = await connection.fetch_all("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        await connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    return not busy
