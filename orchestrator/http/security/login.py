"""Logging in with a token, in a browser: for a session's cookie, which no script reads and no other site sends."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from importlib import resources

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, Template
from markupsafe import Markup

from kafka_saga.orchestrator.http.security.gate import LOGIN, identity_of
from kafka_saga.orchestrator.http.security.guard import CSRF_FIELD, Guard, How, cookie_of
from kafka_saga.orchestrator.http.security.roles import Role, needs
from kafka_saga.orchestrator.http.security.sessions import COOKIE
from kafka_saga.runtime.telemetry import log

_log = log("http")

HOME = "/"
LOGOUT = "/logout"
STYLE = "/login/style.css"
_PATH_LENGTH_MAX = 2_000


def login_router(guard: Guard) -> APIRouter:
    """The routes of logging in and out."""
    router = APIRouter(include_in_schema=False, dependencies=[needs(Role.PUBLIC)])

    @router.get(LOGIN)
    async def ask(request: Request, next: str = HOME) -> Response:  # noqa: A002 -- it is called so in addresses
        if identity_of(request.scope).how not in {How.NOTHING, How.WRONG}:
            return _to(next)
        # A link from elsewhere brings no cookie (SameSite=Strict): the page loads itself once more, which does.
        arrives = request.headers.get("sec-fetch-site") == "cross-site"
        return _page(next, again=arrives)

    @router.post(LOGIN)
    async def enter(request: Request) -> Response:
        form = await request.form()
        token, goal = str(form.get("token", "")), str(form.get("next", HOME))
        peer = identity_of(request.scope).peer
        role = guard.tokens.role_of(token)
        if role is None:
            guard.failures.take(peer)
            _log.warning("http.login_failed", peer=peer)
            return _page(goal, wrong=True)
        response = _to(goal)
        _remember(response, guard.sessions.begin(role), guard.sessions.lasts_s, secure=_is_encrypted(request, guard))
        _log.info("http.login", actor=f"{role.name.lower()}@{peer}", role=role.name.lower())
        return response

    @router.post(LOGOUT)
    async def leave(request: Request) -> Response:
        cookie = cookie_of(request.headers)
        session = None if cookie is None else guard.sessions.find(cookie)
        if session is not None:
            guard.sessions.end(session)
        response = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return response

    @router.get(STYLE)
    async def style() -> Response:
        return Response(_text("login.css"), media_type="text/css")

    return router


def csrf_field(guard: Guard, request: Request) -> Markup:
    """What every form of ours carries: the proof that one of our pages made it."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(
        CSRF_FIELD, guard.proof(identity_of(request.scope))
    )


def has_session(request: Request) -> bool:
    """Whether they came in by the login, so that there is something to log out of."""
    return identity_of(request.scope).how is How.SESSION


def local_path(text: str) -> str:
    """Where to go after the login: a path of this server's, or its first page. Never another site."""
    is_ours = text.startswith("/") and not text.startswith(("//", "/\\")) and len(text) <= _PATH_LENGTH_MAX
    return text if is_ours and text.isprintable() and "\\" not in text and text.isascii() else HOME


def _to(goal: str) -> Response:
    return RedirectResponse(local_path(goal), HTTPStatus.SEE_OTHER)


def _page(goal: str, *, wrong: bool = False, again: bool = False) -> Response:
    text = _template().render(goal=local_path(goal), wrong=wrong, again=again, login=LOGIN, style=STYLE)
    return HTMLResponse(text, HTTPStatus.UNAUTHORIZED if wrong else HTTPStatus.OK)


def _remember(response: Response, secret: str, lasts_s: int, *, secure: bool) -> None:
    response.set_cookie(COOKIE, secret, max_age=lasts_s, path="/", httponly=True, samesite="strict", secure=secure)


def _is_encrypted(request: Request, guard: Guard) -> bool:
    """Whether the browser speaks HTTPS, to us or to a proxy that we trust."""
    peer = request.client.host if request.client is not None else ""
    forwarded = request.headers.get("x-forwarded-proto") if guard.proxies.trusts(peer) else None
    return (forwarded or request.url.scheme) == "https"


@cache
def _template() -> Template:
    return Environment(autoescape=True).from_string(_text("login.html"))


@cache
def _text(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")
