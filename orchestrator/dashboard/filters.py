"""What a list of sagas is filtered by: all of it stands in the address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from urllib.parse import parse_qsl, urlencode

from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.operations.sagas.paging import steps_named
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.listing import Filter
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.ids import is_saga_id

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
AGES = {
    "over-1m": ("older than 1 min", _MINUTE),
    "over-1h": ("older than 1 h", _HOUR),
    "over-1d": ("older than 1 d", _DAY),
    "under-1m": ("of the last minute", _MINUTE),
    "under-1h": ("of the last hour", _HOUR),
    "under-1d": ("of the last day", _DAY),
}
"""What can be asked of a saga's age, in words and in milliseconds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The filter as the address has it; what is empty may be anything.

    Attributes:
        q: one box for three things: the beginning of an id, words of the error, or `field=value`.

    """

    q: str = ""
    state: str = ""
    type: str = ""
    step: str = ""
    age: str = ""
    error: str = ""
    held: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Asked:
        """What the address says; what it does not know it leaves alone."""
        return cls(**{one.name: query.get(one.name, "").strip() for one in fields(cls)})

    @classmethod
    def of_address(cls, address: str) -> Asked:
        """What an address that `address` made asks for."""
        return cls.read(dict(parse_qsl(address.partition("?")[2])))

    def address(self, path: str = "/sagas", **changes: str) -> str:
        """Where the same list is, with changes."""
        changed = replace(self, **{name: text for name, text in changes.items() if name != "after"})
        given = {one.name: getattr(changed, one.name) for one in fields(changed)}
        given["after"] = changes.get("after", "")
        query = urlencode({name: text for name, text in given.items() if text})
        return f"{path}?{query}" if query else path

    @property
    def is_any(self) -> bool:
        """Whether every saga is wanted."""
        return self == Asked()

    @property
    def prefix(self) -> str | None:
        """The beginning of an id, where the box may have one."""
        return self.q if self.q and "=" not in self.q and is_saga_id(self.q) else None

    @property
    def data(self) -> tuple[str, str] | None:
        """A field of the request and its value, where the box has one."""
        name, is_field, value = self.q.partition("=")
        return (name.strip().removeprefix("data."), value.strip()) if is_field else None

    def filter(self, registry: Registry, now: int, limit: int) -> Filter:
        """It as the store is asked.

        Raises:
            UsageError: the address names a state, or an age, that there is none of.

        """
        since, before = self._ages(now)
        return Filter(
            states=self._states(),
            saga_type=self.type or None,
            started_from=since,
            started_before=before,
            error=self.error or (self.q if self.q and self.data is None else "") or None,
            held=bool(self.held),
            data=self.data,
            steps=steps_named(registry, self.step, self.type or None) if self.step else None,
            limit=limit,
        )

    async def narrowed(self, reader: StoreReader, wanted: Filter) -> Filter:
        """What `filter` said, by the beginning of an id where one begins so, else by words of the error."""
        if self.prefix is None or not await reader.find_by_prefix(self.prefix, wanted.saga_type, 1):
            return wanted
        return replace(wanted, prefix=self.prefix, error=self.error or None)

    def in_words(self, *, by_id: bool) -> tuple[str, str]:
        """What stands before and behind the word *saga* in a sentence about what the filter lets through.

        Args:
            by_id: whether the box has the beginning of an id, and not words of the error.

        """
        box = "whose id begins with “{}”" if by_id else "with {}" if self.data is not None else "whose error says “{}”"
        behind = (
            f"of type {self.type}" if self.type else "",
            f"at {self.step}" if self.step else "",
            AGES[self.age][0] if self.age else "",
            box.format(self.q) if self.q else "",
            f"whose error says “{self.error}”" if self.error else "",
        )
        return " ".join(filter(None, ("held" if self.held else "", self.state))), " ".join(filter(None, behind))

    def _states(self) -> frozenset[SagaState]:
        if not self.state:
            return frozenset()
        try:
            return frozenset({SagaState(self.state.upper())})
        except ValueError:
            words = ", ".join(state.value.lower() for state in SagaState)
            raise UsageError(f"there is no state '{self.state}': it is one of {words}") from None

    def _ages(self, now: int) -> tuple[int | None, int | None]:
        if not self.age:
            return None, None
        if self.age not in AGES:
            raise UsageError(f"there is no age '{self.age}': it is one of {', '.join(AGES)}")
        at = now - AGES[self.age][1]
        return (None, at) if self.age.startswith("over") else (at, None)
