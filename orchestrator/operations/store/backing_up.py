"""Which databases a backup takes, in which order, and how one is put back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka_saga.runtime.errors import RefusedError
from kafka_saga.runtime.postgres import PostgresUrl

ORCHESTRATOR = "orchestrator"


@dataclass(frozen=True, slots=True)
class Source:
    """A database, and who owns it."""

    owner: str
    path: Path


def file_of_service(service: str, at: Path | PostgresUrl) -> Path:
    """The file of a service's database.

    Raises:
        RefusedError: it is in none.

    """
    if isinstance(at, PostgresUrl):
        raise RefusedError(
            f"the database of {service} is {at}: only files are copied and put back here, and --all needs every one "
            "to be a file. Use its server's own tools, pg_dump or an archive of its log; the others one by one"
        )
    return at


def sources(store: Path, services: Iterable[Source]) -> list[Source]:
    """What to copy: the orchestrator's store, and the databases of `services`."""
    return [Source(ORCHESTRATOR, store), *services]


def targets(chosen: Sequence[Source], destination: Path, *, every: bool) -> list[tuple[Source, Path]]:
    """Each source with the file it is copied to: in the folder `destination`, or that very file."""
    if every or destination.is_dir():
        return [(source, destination / copy_name(source.owner, source.path)) for source in chosen]
    return [(source, destination) for source in chosen]


def restore_line(folder_or_file: Path, *, service: str | None, every: bool) -> str:
    """The command that puts a backup back."""
    choice = "--all" if every else "--orchestrator" if service is None else f"--service {service}"
    return f"saga restore {folder_or_file} {choice} --dry-run"


def copy_name(owner: str, at: Path | PostgresUrl) -> str:
    """What a copy is called in a folder: a service's as the service, wherever its file is."""
    return at.name if isinstance(at, Path) and owner == ORCHESTRATOR else f"{owner}.db"
