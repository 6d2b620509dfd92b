"""The list of a backup's copies that lies beside them: whose each is, and how it can be known again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kafka_saga.orchestrator.operations.store.backing_up import ORCHESTRATOR, Source
from kafka_saga.runtime.backup import sha256_of, sync
from kafka_saga.runtime.errors import BrokenStoreError, RefusedError
from kafka_saga.runtime.identity import identify
from kafka_saga.runtime.sqlite import address, copy_address, translated_errors

MANIFEST = "backup.json"


class Copy(BaseModel):
    """One copy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str
    file: str
    bytes: int
    sha256: str
    store_id: str | None
    """None where no program of ours has used the database yet."""


class Manifest(BaseModel):
    """What `backup.json` says. It is written last, so where it is the copies are whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    at: str
    one_cut: bool
    """Whether all copies are of one moment."""
    copies: tuple[Copy, ...]


def write_manifest(folder: Path, made: Sequence[tuple[Source, Path]], at: str) -> None:
    """List the copies `made` in `folder`, which are of one moment."""
    copies = tuple(
        Copy(
            owner=source.owner,
            file=path.name,
            bytes=path.stat().st_size,
            sha256=sha256_of(path),
            store_id=store_id_of(path, source.owner, is_copy=True),
        )
        for source, path in made
    )
    text = Manifest(at=at, one_cut=True, copies=copies).model_dump_json(indent=2)
    partial = folder / f".{MANIFEST}.partial"
    with translated_errors(folder / MANIFEST):
        partial.write_text(f"{text}\n", encoding="utf-8")
        sync(partial)
        partial.replace(folder / MANIFEST)
        sync(folder)


def read_manifest(folder: Path) -> Manifest | None:
    """What lies beside the copies in `folder`; None where nothing does.

    Raises:
        RefusedError: a newer program wrote it, or a hand.

    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RefusedError(
            f"{path} is not a list of copies that this program reads ({where}: {first['msg']})"
        ) from None


def check_copy(folder: Path, copy: Copy) -> None:
    """Refuse a copy that is not the one that was made.

    Raises:
        RefusedError: it is missing.
        BrokenStoreError: its bytes are others.

    """
    path = folder / copy.file
    if not path.is_file():
        raise RefusedError(f"{path} is missing: the copy of {copy.owner}")
    if path.stat().st_size != copy.bytes or sha256_of(path) != copy.sha256:
        raise BrokenStoreError(f"{path} is not the copy that was made of {copy.owner}: it is damaged or was changed")


def store_id_of(path: Path, owner: str, *, is_copy: bool) -> str | None:
    """The id of the store in a database; None where there is none yet. Nothing is made beside a copy."""
    column = "key" if owner == ORCHESTRATOR else "name"
    found = identify(path, is_copy=is_copy)
    table = found and found.table("meta")
    if table is None:
        return None
    with (
        translated_errors(path),
        closing(sqlite3.connect(copy_address(path) if is_copy else address(path, "ro"), uri=True)) as connection,
    ):
        ids = connection.execute(f"SELECT value FROM {table} WHERE {column} = 'store_id'").fetchone()  # noqa: S608
    return None if ids is None else str(ids[0])
