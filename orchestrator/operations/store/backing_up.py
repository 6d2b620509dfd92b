"""Which databases a backup takes, in which order, and how one is put back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka_saga.runtime.errors import NotFoundError

ORCHESTRATOR = "orchestrator"


@dataclass(frozen=True, slots=True)
class Source:
    """A database, and who owns it."""

    owner: str
    path: Path


def service_source(services: Iterable[Source], service: str) -> Source:
    """The database of one service.

    Raises:
        NotFoundError: there is no such service.

    """
    known = {one.owner: one for one in services}
    if service not in known:
        raise NotFoundError(f"there is no service '{service}'; known: {', '.join(sorted(known)) or 'none'}")
    return known[service]


def sources(store: Path, services: Iterable[Source]) -> list[Source]:
    """What to copy: the orchestrator's store, and the databases of `services`."""
    return [Source(ORCHESTRATOR, store), *services]


def targets(chosen: Sequence[Source], destination: Path, *, every: bool) -> list[tuple[Source, Path]]:
    """Each source with the file it is copied to: in the folder `destination`, or that very file."""
    if every or destination.is_dir():
        return [(source, destination / source.path.name) for source in chosen]
    return [(source, destination) for source in chosen]


def restore_line(folder_or_file: Path, *, service: str | None, every: bool) -> str:
    """The command that puts a backup back."""
    choice = "--all" if every else "--orchestrator" if service is None else f"--service {service}"
    return f"saga restore {folder_or_file} {choice} --dry-run"
