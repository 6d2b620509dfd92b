"""The gate in front of the whole application: what gets through was meant for us, by somebody, in bounded amounts.

Which role a route needs is the route's own word (`roles.needs`); the gate says who asks, and refuses what nobody may.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from urllib.parse import quote

from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kafka_saga.orchestrator.http.problems import problem
from kafka_saga.orchestrator.http.security.answers import with_headers
from kafka_saga.orchestrator.http.security.bodies import (
    GoneError,
    TooLargeError,
    TooSlowError,
    form_field,
    read_body,
    replayed,
)
from kafka_saga.orchestrator.http.security.guard import (
    CSRF_FIELD,
    CSRF_HEADER,
    IDENTITY,
    Guard,
    How,
    Identity,
    cookie_of,
)
from kafka_saga.orchestrator.http.security.origins import Sent, is_from_browser, needs_proof, why_foreign
from kafka_saga.orchestrator.http.security.roles import Role
from kafka_saga.runtime.limits import (
    HEADERS_BYTES_MAX,
    HEADERS_MAX,
    HTTP_BODY_BYTES_MAX,
    HTTP_LOGIN_BYTES_MAX,
    HTTP_STREAMS_MAX,
    HTTP_STREAMS_OF_ONE_MAX,
)
from kafka_saga.runtime.telemetry import log

_log = log("http")

LOGIN = "/login"
API = "/api/"
PROBES = frozenset({"/livez", "/readyz"})
"""Asked by machines that call the server by any name; they tell nothing of a saga."""
METRICS = "/metrics"


class Gate:
    """An ASGI application around another.

    Args:
        app: what is guarded.
        guard: who asks, and what they may.

    """

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # there is nothing else here
        visit = _Visit(self._guard, scope, receive, send)
        refusal = visit.refusal()
        if refusal is None and not visit.sent.is_safe:
            refusal = await visit.take_body()
        if refusal is not None:
            await visit.refuse(refusal)
            return
        try:
            await self._app(scope, visit.receive, visit.answer)
        finally:
            visit.leave()


class _Visit:
    """One request on its way through the gate, and its answer on the way back."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard = guard
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = Headers(scope=scope)
        self._closed = asyncio.Event()
        self._refused = False
        self._stream: str | None = None
        peer = scope["client"][0] if scope.get("client") else ""
        self._trusted = guard.proxies.trusts(peer)
        self.identity = guard.identity_of(peer, self._headers, cookie_of(self._headers))
        self.sent = self._sent()
        scope[IDENTITY] = self.identity

    def refusal(self) -> Response | None:
        """Why the request goes no further; None where it does. Nothing of its body has been read."""
        names = self._scope["headers"]
        if len(names) > HEADERS_MAX or sum(len(name) + len(value) for name, value in names) > HEADERS_BYTES_MAX:
            return problem(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "too_large",
                "the request has more or longer headers than are read",
            )
        if "transfer-encoding" in self._headers and "content-length" in self._headers:
            return _ambiguous()
        if self._scope["path"] in PROBES:
            if self.identity.actor.role < Role.READER:
                self._scope["query_string"] = b""  # `?verbose` names servers and their errors
            return None
        if len(self._headers.getlist("host")) != 1 or not self._guard.hosts.lets(self.sent.host):
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "unknown_host",
                f"this server does not go by the name {self.sent.host[:100]!r}; if it should, add it to "
                "http.allowed_hosts",
            )
        return self._too_many() or self._foreign() or self._bodiless() or self._unmeasured()

    async def take_body(self) -> Response | None:
        """Read the body of a request that would change something; why it goes no further, or None."""
        login = self._scope["path"] == LOGIN
        try:
            length = self._headers.get("content-length")
            body = await read_body(self._receive, length, HTTP_LOGIN_BYTES_MAX if login else HTTP_BODY_BYTES_MAX)
        except TooLargeError as error:
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.code, str(error))
        except TooSlowError as error:
            return problem(HTTPStatus.REQUEST_TIMEOUT, error.code, str(error))
        except GoneError as error:
            return problem(HTTPStatus.BAD_REQUEST, error.code, str(error))
        self._receive = replayed(body, self._receive)
        if not self.identity.is_ambient or not needs_proof(self.sent):
            return None
        shown = self._headers.get(CSRF_HEADER) or form_field(body, self.sent.content_type, CSRF_FIELD)
        if self._guard.is_proof(self.identity, shown):
            return None
        return self._unproven()

    async def receive(self) -> Message:
        """What the application reads; a stream that was refused is told that nobody listens."""
        incoming = asyncio.ensure_future(self._receive())
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({incoming, closed}, return_when=asyncio.FIRST_COMPLETED)
            return {"type": "http.disconnect"} if closed.done() and not incoming.done() else incoming.result()
        finally:
            incoming.cancel()
            closed.cancel()

    async def answer(self, message: Message) -> None:
        """What the application sends, with what every answer carries."""
        if self._refused:
            self._closed.set()  # only now: the stream has begun, so what it holds is let go when it ends
            return
        if message["type"] == "http.response.start":
            replacing = self._replacing(message)
            if replacing is not None:
                self._refused = True
                await self.refuse(replacing)
                return
            headers = with_headers(message.get("headers", ()))
            if message["status"] == HTTPStatus.UNAUTHORIZED:
                headers.append((b"www-authenticate", b"Bearer"))
            message = {**message, "headers": headers}
            self._note(message["status"])
        await self._send(message)

    def leave(self) -> None:
        """The request is over."""
        if self._stream is not None:
            self._guard.streams[self._stream] -= 1
            if not self._guard.streams[self._stream]:
                del self._guard.streams[self._stream]

    async def refuse(self, response: Response) -> None:
        """Answer instead of the application."""
        self._note(response.status_code)
        response.raw_headers = with_headers(response.raw_headers)
        await response(self._scope, self._receive, self._send)

    def _sent(self) -> Sent:
        headers = self._headers
        host = headers.get("host", "")
        forwarded = headers.getlist("x-forwarded-host") if self._trusted else []
        return Sent(
            method=self._scope["method"],
            host=forwarded[0].partition(",")[0].strip() if forwarded else host,
            origin=headers.getlist("origin"),
            site=headers.getlist("sec-fetch-site"),
            mode=headers.getlist("sec-fetch-mode"),
            dest=headers.getlist("sec-fetch-dest"),
            content_type=headers.get("content-type", ""),
            has_cookie="cookie" in headers,
        )

    def _too_many(self) -> Response | None:
        """Whoever asks too often, or guesses tokens."""
        guesses = self.identity.how is How.WRONG or (self._scope["path"] == LOGIN and not self.sent.is_safe)
        if guesses and not self._guard.failures.has(self.identity.peer):
            return _later("wrong tokens have come from there too often: wait a minute")
        if self.identity.how is How.WRONG:
            self._guard.failures.take(self.identity.peer)
        if not self._guard.rates.take(self.identity.bucket):
            return _later("that are more requests than one user may send (http.requests_per_second)")
        return None

    def _foreign(self) -> Response | None:
        why = why_foreign(self.sent)
        return None if why is None else self._forbidden("foreign_origin", f"{why}, and only our own pages may ask")

    def _bodiless(self) -> Response | None:
        """Nobody whose name is not known has a body read, but for the login's."""
        unknown = self.identity.how in {How.NOTHING, How.WRONG}
        if self.sent.is_safe or not unknown or self._scope["path"] == LOGIN:
            return None
        return _unknown("say who you are: `Authorization: Bearer TOKEN`, or log in")

    def _unmeasured(self) -> Response | None:
        """Metrics name what runs here. A port of their own (`--admin-port`) serves them without a token."""
        if self._scope["path"] != METRICS or self.identity.actor.role >= Role.READER:
            return None
        detail = "metrics are for readers: send a reader's token"
        known = self.identity.how not in {How.NOTHING, How.WRONG}
        return self._forbidden("forbidden", detail) if known else _unknown(detail)

    def _replacing(self, start: Message) -> Response | None:
        """Another answer than the application's: the login for a person, or none where too many streams are open."""
        headers = Headers(raw=start.get("headers", []))
        if start["status"] == HTTPStatus.UNAUTHORIZED and self._is_person():
            asked = self._scope["path"] + (
                f"?{text}" if (text := self._scope["query_string"].decode("latin-1")) else ""
            )
            return RedirectResponse(f"{LOGIN}?next={quote(asked, safe='/')}", HTTPStatus.SEE_OTHER)
        if not headers.get("content-type", "").startswith("text/event-stream"):
            return None
        streams, name = self._guard.streams, self.identity.bucket
        if sum(streams.values()) >= HTTP_STREAMS_MAX or streams.get(name, 0) >= HTTP_STREAMS_OF_ONE_MAX:
            return _later("as many pages and streams are open as may be: close some")
        self._stream = name
        streams[name] = streams.get(name, 0) + 1
        return None

    def _is_person(self) -> bool:
        """Whether somebody opens a page in a browser, who can log in."""
        return (
            self.sent.method == "GET"
            and bool(self._guard.tokens)
            and self.identity.how is How.NOTHING
            and "text/html" in self._headers.get("accept", "")
        )

    def _unproven(self) -> Response:
        if self._scope["path"].startswith(API) and not is_from_browser(self.sent):
            return problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json", "send JSON, and say so: `Content-Type: application/json`"
            )
        return self._forbidden(
            "unproven", "this page is of before a restart or another login: load it again and repeat what you did"
        )

    def _forbidden(self, code: str, detail: str) -> Response:
        return problem(HTTPStatus.FORBIDDEN, code, detail)

    def _note(self, status: int) -> None:
        """What changed something, and what was not let through: who, what and where, and nothing of its content."""
        if self.sent.is_safe and status not in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}:
            return
        _log.info(
            "http.acted" if status < HTTPStatus.BAD_REQUEST else "http.refused",
            actor=self.identity.actor.name,
            how=self.identity.how.value,
            peer=self.identity.peer,
            method=self.sent.method,
            path=self._scope["path"],
            status=int(status),
        )


def _unknown(detail: str) -> Response:
    response = problem(HTTPStatus.UNAUTHORIZED, "unauthenticated", detail)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _ambiguous() -> Response:
    """A proxy may see another end of such a request than we, and what comes behind it as another's request."""
    detail = "the request says in two ways how long it is"
    response = problem(HTTPStatus.BAD_REQUEST, "ambiguous", detail)
    response.headers["Connection"] = "close"
    return response


def _later(detail: str) -> Response:
    response = problem(HTTPStatus.TOO_MANY_REQUESTS, "too_many", detail)
    response.headers["Retry-After"] = "1"
    return response


def identity_of(scope: Scope) -> Identity:
    """Who asks, as the gate found out."""
    identity = scope[IDENTITY]
    assert isinstance(identity, Identity)
    return identity
