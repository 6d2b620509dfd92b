"""Participants by the names that the command line knows them by: one of the shipped, or `module:object`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.services import SERVICES, read_seed
from kafka_saga.participants.store.port import Prepare
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.importing import import_users


@dataclass(frozen=True, slots=True)
class Offered:
    """A participant that was found.

    Attributes:
        told: how it was named.
        participant: the object.
        prepare: creates its tables; None where its module has none.

    """

    told: str
    participant: Participant
    prepare: Prepare | None


def find_participant(told: str, seed_file: Path | None = None) -> Offered:
    """The participant called `told`.

    Raises:
        ConfigError: there is none, or its module cannot be imported.

    """
    service = SERVICES.get(told)
    if service is not None:
        return Offered(told, service.participant, partial(service.prepare, seed=read_seed(seed_file)))
    module_name, _, attribute = told.partition(":")
    if not attribute:
        raise ConfigError(f"there is no service '{told}': it is one of {', '.join(SERVICES)}, or `module:object`")
    module = import_users(module_name, f"participant {told}")
    found = getattr(module, attribute, None)
    if not isinstance(found, Participant):
        raise ConfigError(f"{told} is not a Participant: make one with {attribute} = Participant('…')")
    return Offered(told, found, getattr(module, "prepare", None))


def offered(settings: Settings, registry: Registry) -> Sequence[Offered]:
    """The participants that the settings name; where they name none, the shipped ones that the sagas send to."""
    names = settings.participants or [name for name in SERVICES if name in registry.services]
    return [find_participant(name) for name in dict.fromkeys(names)]
