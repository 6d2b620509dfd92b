"""Roles, and how a route says which one it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount

from kafka_saga.orchestrator.http.security.actors import Actor, Role
from kafka_saga.runtime.errors import RefusedError

__all__ = [
    "Actor",
    "Forbidden",
    "Needed",
    "Role",
    "Security",
    "Unauthenticated",
    "needs",
    "role_of",
    "undeclared",
]


class Security(Protocol):
    """Tells who asks."""

    async def identify(self, request: Request) -> Actor:
        """Who sent `request`.

        Raises:
            SagaError: they cannot be told, or what they show is wrong.

        """
        ...


class Forbidden(RefusedError):  # noqa: N818 -- it is answered, not handled
    """You may not do this."""

    code = "forbidden"


class Unauthenticated(RefusedError):  # noqa: N818 -- the same
    """Say who you are: `Authorization: Bearer TOKEN`, or log in at /login."""

    code = "unauthenticated"


@dataclass(frozen=True, slots=True)
class Needed:
    """The dependency behind `needs`: lets through who has the role, and hands the route its `Actor`."""

    role: Role

    async def __call__(self, request: Request) -> Actor:
        if self.role is Role.PUBLIC:
            return Actor("anybody", Role.PUBLIC)
        state = request.app.state
        actor: Actor = await state.security.identify(request)
        if actor.role < self.role:
            raise Forbidden(
                f"this needs the role {self.role.name.lower()}, and {actor.name} is {actor.role.name.lower()}"
            )
        if self.role >= Role.OPERATOR and not state.desk.may_write:
            raise Forbidden("this server only shows: it was started to change nothing (read_only)")
        return actor


def needs(role: Role) -> Any:
    """Declare the role of a route.

    Either as its argument, `actor: Annotated[Actor, needs(Role.OPERATOR)]`, or as `dependencies=[needs(Role.READER)]`.
    """
    return Depends(Needed(role))


def role_of(route: APIRoute) -> Role | None:
    """The role that a route needs; None where it does not say."""
    found = [call.role for call in _calls(route.dependant) if isinstance(call, Needed)]
    return max(found, default=None)


def served(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, BaseRoute]]:
    """Everything that is served, with its whole path: routes inside routers and applications, too."""
    for route in routes:
        path = prefix + getattr(route, "path", "")
        included = getattr(route, "original_router", None)  # how FastAPI keeps a router that was included
        inside = included.routes if included is not None else None
        if isinstance(route, Mount):
            inside = getattr(route.app, "routes", None)
        if inside is None:
            yield path, route
        else:
            yield from served(inside, path)


def undeclared(routes: Iterable[BaseRoute], public: frozenset[str]) -> Iterator[str]:
    """The paths of what is served without saying which role it needs; `public` are paths that need none."""
    for path, route in served(routes):
        if path not in public and (not isinstance(route, APIRoute) or role_of(route) is None):
            yield path


def _calls(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
