"""Which definitions this process has, and which version starts new sagas (R30)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.runtime.errors import ConfigError, DefinitionError
from kafka_saga.runtime.importing import import_users


class Registry:
    """Definitions by type and version.

    Args:
        definitions: every version that may still be running.
        active: the version that starts new sagas, by type; the newest where nothing is said.

    Raises:
        DefinitionError: the same version twice, or an active version that is not there.

    """

    def __init__(self, definitions: Iterable[Definition], active: Mapping[str, int] | None = None) -> None:
        self._definitions: dict[tuple[str, int], Definition] = {}
        for definition in definitions:
            if self._definitions.setdefault(definition.key, definition) is not definition:
                raise DefinitionError(
                    f"saga '{definition.saga_type}' has two definitions of version {definition.version}"
                )
        if not self._definitions:
            raise DefinitionError("no saga is registered: give a module that has one with --app")
        self._active: dict[str, Definition] = {}
        for saga_type in sorted({key[0] for key in self._definitions}):
            newest = max(version for known, version in self._definitions if known == saga_type)
            version = (active or {}).get(saga_type, newest)
            chosen = self._definitions.get((saga_type, version))
            if chosen is None:
                raise DefinitionError(f"--active {saga_type}={version}: that version is not registered")
            self._active[saga_type] = chosen

    def __iter__(self) -> Iterator[Definition]:
        return iter(self._definitions.values())

    def get(self, saga_type: str, version: int) -> Definition | None:
        """The definition a saga is pinned to, or None where no code has it."""
        return self._definitions.get((saga_type, version))

    def active(self, saga_type: str) -> Definition | None:
        """The definition that starts new sagas of this type, or None."""
        return self._active.get(saga_type)

    @property
    def saga_types(self) -> list[str]:
        """The registered types, sorted."""
        return list(self._active)

    @property
    def services(self) -> list[str]:
        """Every service that a registered definition sends commands to, sorted."""
        return sorted({step.service for definition in self._definitions.values() for step in definition.steps})


def load_definitions(modules: Iterable[str]) -> list[Definition]:
    """Every `Saga` at the top level of `modules`.

    Raises:
        ConfigError: a module cannot be imported, or has no saga.
        DefinitionError: a definition in it is wrong.

    """
    found: list[Definition] = []
    for name in modules:
        module = import_users(name, f"--app {name}")
        sagas = [value for value in vars(module).values() if isinstance(value, Definition)]
        if not sagas:
            raise ConfigError(f"--app {name}: the module has no `Saga` at its top level")
        found += [saga for saga in sagas if saga not in found]
    return found
