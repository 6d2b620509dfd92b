"""Every route × who asks × where the request comes from × what it calls the server: what happens follows from the role
that the route declares. A route that declares none fails here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Mount
from starlette.types import Receive, Scope, Send

from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.http.security.gate import METRICS, PROBES, Gate
from kafka_saga.orchestrator.http.security.guard import CSRF_HEADER, Guard, How, Identity
from kafka_saga.orchestrator.http.security.roles import Actor, Role, role_of
from tests.http.asking import HOST, Answer, ask
from tests.http.guarded import GUARDED, OPEN, OPERATOR, PROXY, READER, application, guard_for

ORIGINS = {
    "none": (),
    "same": (("origin", f"http://{HOST}"), ("sec-fetch-site", "same-origin")),
    "other": (("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")),
    "null": (("origin", "null"),),
    "fetched by another site": (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")),
    "other port": (("origin", "http://127.0.0.1:3000"), ("sec-fetch-site", "same-site")),
}
FOREIGN = {"other", "null", "fetched by another site", "other port"}
HOSTS = {"ours": HOST, "rebound": "evil.example:7242", "none": None}
PASSED = 418
"""What every route's function answers here: the walk is about who gets there."""


@dataclass(frozen=True)
class Who:
    """Somebody: what they show, and what they are then."""

    name: str
    role: Role | None
    headers: tuple[tuple[str, str], ...] = ()
    peer: str = "192.0.2.9"
    ambient: bool = False


@dataclass(frozen=True)
class Place:
    """A route, one of its methods, and the role that it says it needs; None where it says nothing."""

    path: str
    method: str
    role: Role | None

    @property
    def unsafe(self) -> bool:
        return self.method not in {"GET", "HEAD", "OPTIONS"}


def places(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[Place]:
    """Everything that is served; what is neither a route with a role, nor something that holds routes, has none."""
    for route in routes:
        path = prefix + getattr(route, "path", "")
        included = getattr(route, "original_router", None)  # how newer FastAPIs keep a router that was included
        if included is not None:
            yield from places(included.routes, path + getattr(route, "include_context").prefix)  # noqa: B009
        elif isinstance(route, Mount):
            yield from places(getattr(route.app, "routes", ()), path)
        elif isinstance(route, APIRoute):
            yield from (Place(path, method, role_of(route)) for method in sorted(route.methods))
        elif path not in PROBES:
            yield Place(path, "GET", Role.READER if path == METRICS else None)


def answering(routes: Iterable[BaseRoute]) -> Iterator[Any]:
    """What knows the function that answers for a route."""
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from (one for one in route.effective_candidates() if getattr(one, "dependant", None) is not None)
        elif isinstance(route, Mount):
            yield from answering(getattr(route.app, "routes", ()))
        elif isinstance(route, APIRoute):
            yield route


def path_of(place: Place) -> str:
    """A path that leads there: parameters are called as they are."""
    return re.sub(r"\{([^}:]+)(:path)?\}", r"\1", place.path)


def everybody(guard: Guard) -> list[Who]:
    def session(role: Role) -> tuple[tuple[str, str], ...]:
        return (("cookie", f"theme=dark; saga_session={guard.sessions.begin(role)}"),)

    def named(groups: str) -> tuple[tuple[str, str], ...]:
        return (("x-forwarded-user", "eve"), ("x-forwarded-groups", groups))

    return [
        Who("nobody", None),
        Who("reader's token", Role.READER, (("authorization", f"Bearer {READER}"),)),
        Who("operator's token", Role.OPERATOR, (("authorization", f"Bearer {OPERATOR}"),)),
        Who("wrong cookie", None, (("cookie", "saga_session=4711"),)),
        Who("reader's session", Role.READER, session(Role.READER), ambient=True),
        Who("operator's session", Role.OPERATOR, session(Role.OPERATOR), ambient=True),
        Who("reader by proxy", Role.READER, named("dev,sales"), PROXY, ambient=True),
        Who("operator by proxy", Role.OPERATOR, named("ops"), PROXY, ambient=True),
        Who("stranger by proxy", Role.PUBLIC, named("*"), PROXY, ambient=True),
        Who("proxy's headers from elsewhere", None, named("ops")),
        Who("proxy's headers twice", None, (*named("ops"), *named("ops")), PROXY),
    ]


def expected(place: Place, who: Who, origin: str, host: str, *, proven: bool) -> str:
    """What must come of a request, by the role that its route declares and by nothing else."""
    unknown = who.role is None
    rules = (
        (host != "ours", "421 unknown_host"),
        (origin in FOREIGN, "403 foreign_origin"),
        (place.unsafe and unknown and place.path != "/login", "401 unauthenticated"),
        (place.unsafe and who.ambient and not proven, "403 unproven"),
        (place.role is Role.PUBLIC, "passes"),
        (unknown, "401 unauthenticated"),
        ((who.role or Role.PUBLIC) < (place.role or Role.OPERATOR), "403 forbidden"),
    )
    return next((answer for holds, answer in rules if holds), "passes")


def told(answer: Answer) -> str:
    refused = answer.status in {401, 403, 421, 429}
    return f"{answer.status} {answer.code}" if refused else "passes"


Passing = Callable[[FastAPI], None]


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Passing:
    """Has routes answer at once instead of doing what they do, once it is known that they may."""

    def patch(app: FastAPI) -> None:
        for route in answering(app.routes):
            answers = _passes if inspect.iscoroutinefunction(route.dependant.call) else _passes_too
            monkeypatch.setattr(route.dependant, "call", answers)

    return patch


async def _passes(**_arguments: Any) -> Response:
    return Response(status_code=PASSED)


def _passes_too(**_arguments: Any) -> Response:
    return Response(status_code=PASSED)


def test_every_route_declares_a_role_and_is_reached_by_the_walk(desk: Desk) -> None:
    _gate, app = application(desk, guard_for(GUARDED))
    assert isinstance(app, FastAPI)
    walked = list(places(app.routes))

    assert [place for place in walked if place.role is None] == []
    assert {"/", "/login", "/logout"} <= {place.path for place in walked}
    assert {place.role for place in walked if place.path == "/"} == {Role.READER}


def test_a_route_without_a_role_is_seen_by_the_walk() -> None:
    app = FastAPI(openapi_url=None)
    app.get("/forgotten")(lambda: None)

    assert [place.path for place in places(app.routes) if place.role is None] == ["/forgotten"]


class Asking(NamedTuple):
    """One request: who asks, from where, by which of the server's names, and with which proof that a page was ours."""

    who: Who
    origin: str
    host: str = "ours"
    proof: tuple[tuple[str, str], ...] = ()
    proven: bool = False


async def astray(desk: Desk, guard: Guard, passing: Passing, asking: Callable[[Place], Iterable[Asking]]) -> list[str]:
    """Every route asked so: what is answered otherwise than the role says that the route declares."""
    gate, app = application(desk, guard)
    assert isinstance(app, FastAPI)
    passing(app)
    wrong = []
    for place in places(app.routes):
        for one in asking(place):
            headers = (*ORIGINS[one.origin], *one.who.headers, *one.proof)
            answer = await ask(gate, place.method, path_of(place), headers, peer=one.who.peer, host=HOSTS[one.host])
            wanted = expected(place, one.who, one.origin, one.host, proven=one.proven)
            if told(answer) != wanted:
                wrong.append(f"{place} {one}: {told(answer)}, not {wanted}")
    return wrong


async def test_who_gets_where_follows_from_the_roles_that_routes_declare(desk: Desk, passing: Passing) -> None:
    guard = guard_for(GUARDED)
    asked = [
        Asking(who, origin, host, proven=origin == "none" and _is_program(who))
        for who, origin, host in product(everybody(guard), ORIGINS, HOSTS)
    ]
    assert await astray(desk, guard, passing, lambda _place: asked) == []


def _is_program(who: Who) -> bool:
    """What no browser sends: no cookie, no origin, no form. It needs no proof."""
    return not any(name == "cookie" for name, _value in who.headers)


async def test_a_page_of_ours_may_act_for_whoever_it_was_drawn_for(desk: Desk, passing: Passing) -> None:
    guard = guard_for(GUARDED)

    def by_its_forms(place: Place) -> Iterator[Asking]:
        for who in everybody(guard):
            if place.unsafe and who.ambient:
                cookie = dict(who.headers).get("cookie", "").rpartition("=")[2]
                identity = guard.identity_of(who.peer, _headers(who), cookie or None)
                yield Asking(who, "same", proof=((CSRF_HEADER, guard.proof(identity)),), proven=True)

    assert await astray(desk, guard, passing, by_its_forms) == []


def _headers(who: Who) -> Headers:
    return Headers(raw=[(name.encode(), value.encode()) for name, value in who.headers])


async def test_on_the_loopback_without_tokens_everybody_is_the_operator_and_no_other_page(
    desk: Desk, passing: Passing
) -> None:
    guard = guard_for(OPEN)
    ann = Who("ann", Role.OPERATOR, peer="127.0.0.1", ambient=True)
    proof = ((CSRF_HEADER, guard.proof(Identity(Actor("ann", Role.OPERATOR), How.LOCAL, "127.0.0.1"))),)
    asked = [
        Asking(ann, origin, host, proof if proven else (), proven=proven or origin == "none")
        for origin, host, proven in product(ORIGINS, HOSTS, (False, True))
    ]
    assert await astray(desk, guard, passing, lambda _place: asked) == []


async def test_strangers_are_told_whether_it_is_ready_and_not_why() -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(scope["query_string"])(scope, receive, send)

    gate = Gate(answer, guard_for(GUARDED))

    assert (await ask(gate, "GET", "/readyz?verbose")).body == b""
    assert (await ask(gate, "GET", "/readyz?verbose", [("authorization", f"Bearer {READER}")])).body == b"verbose"
    assert (await ask(Gate(answer, guard_for(OPEN)), "GET", "/readyz?verbose")).body == b"verbose"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_probes_are_answered_whatever_they_call_the_server(desk: Desk, path: str) -> None:
    gate, _app = application(desk, guard_for(GUARDED))

    assert (await ask(gate, "GET", path, host="saga.default.svc:7242")).body == b"well"
