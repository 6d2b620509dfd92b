"""What a route may be asked with: a misspelt filter must not be answered with everything, as if there were none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from kafka_saga.orchestrator.http.security.roles import Needed, Role, role_of


async def _known_only(request: Request) -> None:
    """Refuse query parameters that would be ignored; who may not ask at all is told that instead."""
    if not request.query_params:
        return
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    ignored = [*_ignored(request, dict(_parameters(route.dependant)))]
    if ignored:
        await Needed(role_of(route) or Role.READER)(request)
        raise RequestValidationError(ignored)


KNOWN_ONLY = Depends(_known_only)
"""A dependency of the whole application."""


def _ignored(request: Request, known: dict[str, bool]) -> Iterator[dict[str, Any]]:
    there = f"there are {', '.join(known)}" if known else "there are none here"
    for name in request.query_params:
        if name not in known:
            yield {"loc": ("query", name), "msg": f"there is no such parameter; {there}"}
        elif not known[name] and len(request.query_params.getlist(name)) > 1:
            yield {"loc": ("query", name), "msg": "it is given twice, and takes one value"}


def _parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The names of a route's query parameters, and whether each takes several values."""
    for parameter in dependant.query_params:
        kinds = [parameter.field_info.annotation, *get_args(parameter.field_info.annotation)]
        yield parameter.alias, any(get_origin(kind) is list for kind in kinds)
    for inner in dependant.dependencies:
        yield from _parameters(inner)
