"""What can be started: saga types as an order service knows them, by their request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.ids import is_name

if TYPE_CHECKING:
    from pydantic import BaseModel


class Startable(Protocol):
    """What a client must know of a saga: a definition (`Saga`) is one, and so is a `SagaType`."""

    @property
    def saga_type(self) -> str:
        """Its type's name: `order` is asked for on `order.requests`."""
        ...

    @property
    def request(self) -> type[BaseModel]:
        """The model of the request that starts it."""
        ...

    @property
    def id_from(self) -> str | None:
        """The request's field that is the saga's id; None where the id is given beside it."""
        ...


@dataclass(frozen=True, slots=True)
class SagaType:
    """A saga type without its definition, for a service that only starts it.

    Attributes:
        saga_type: its name.
        request: the model of the request that starts it.
        id_from: the request's field that is the saga's id; None where the id is given to `start`.

    """

    saga_type: str
    request: type[BaseModel]
    id_from: str | None = None


class SagaTypes:
    """The saga types of one client, found by name or by a request's model."""

    def __init__(self, types: Iterable[Startable] | None) -> None:
        """Take over types; None is the shipped order saga's.

        Raises:
            UsageError: there is none, one is none, or two share a name or a model.

        """
        if types is None:
            from kafka_saga.schemas.orders import OrderRequested  # noqa: PLC0415 -- who has others does not wait for it

            types = (SagaType("order", OrderRequested, "order_id"),)
        self._by_name: dict[str, Startable] = {}
        self._by_model: dict[type[BaseModel], Startable] = {}
        for one in types:
            name = getattr(one, "saga_type", None)
            if not isinstance(name, str) or not is_name(name):
                raise UsageError(f"types=[…] takes saga definitions, or SagaType(…): {one!r} is neither")
            known = self._by_name.get(name)
            if known is not None and known.request is not one.request:
                raise UsageError(f"two types are called '{name}', with different requests: one client knows one")
            self._by_name[name] = one
        for one in self._by_name.values():
            if one.request in self._by_model:
                other = self._by_model[one.request].saga_type
                raise UsageError(f"{one.request.__name__} starts '{other}' and '{one.saga_type}': use two clients")
            self._by_model[one.request] = one
        if not self._by_name:
            raise UsageError("types=[] names no saga: give the definitions, or SagaType(…), of what is started")

    @property
    def names(self) -> tuple[str, ...]:
        """Every type's name."""
        return tuple(self._by_name)

    def of_request(self, request: BaseModel) -> Startable:
        """The type that `request` starts.

        Raises:
            UsageError: none of them.

        """
        for model in type(request).__mro__:
            found = self._by_model.get(model)
            if found is not None:
                return found
        known = ", ".join(model.__name__ for model in self._by_model)
        raise UsageError(
            f"{type(request).__name__} starts none of this client's sagas (it knows {known}): "
            "name the saga in SagaClient(types=[…])"
        )

    def named(self, name: str | None) -> Startable:
        """The type of that name; the only one where none is named.

        Raises:
            UsageError: there is no such, or several and none is named.

        """
        if name is None and len(self._by_name) == 1:
            return next(iter(self._by_name.values()))
        found = None if name is None else self._by_name.get(name)
        if found is None:
            known = ", ".join(self._by_name)
            raise UsageError(
                f"say which saga: saga_type= is one of {known}"
                if name is None
                else f"this client knows no saga '{name}', only {known}: name it in SagaClient(types=[…])"
            )
        return found

    def step_name(self, saga_type: str, number: int) -> str | None:
        """The name of a step, where the client was given the definition."""
        names = getattr(self._by_name.get(saga_type), "step_names", ())
        return names[number - 1] if 0 < number <= len(names) else None
