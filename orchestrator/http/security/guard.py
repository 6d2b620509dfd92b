"""Who asks, and the proof that they mean it: what the gate asks of every request."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fastapi import Request
from starlette.datastructures import Headers

from kafka_saga.orchestrator.http.security.hosts import Hosts
from kafka_saga.orchestrator.http.security.proxies import Proxies
from kafka_saga.orchestrator.http.security.rates import Rates
from kafka_saga.orchestrator.http.security.roles import Actor, Role, Unauthenticated
from kafka_saga.orchestrator.http.security.sessions import COOKIE, Session, Sessions
from kafka_saga.orchestrator.http.security.settings import SecuritySettings
from kafka_saga.orchestrator.http.security.tokens import Tokens
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.limits import HTTP_FAILURES_BURST, HTTP_FAILURES_PER_SECOND

IDENTITY = "saga.identity"
"""Where the gate puts who asks, in the request's scope."""

CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"

_ANONYMOUS = Actor("anybody", Role.PUBLIC)


class How(StrEnum):
    """By what somebody is known."""

    NOTHING = "nothing"
    WRONG = "wrong token"
    TOKEN = "token"  # noqa: S105 -- the word, not one
    SESSION = "session"
    PROXY = "proxy"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, by what they are known, and from where.

    Attributes:
        peer: the address of whoever is connected, or of whom a trusted proxy names.
        session: what they logged in to; None where they are known by something else.

    """

    actor: Actor
    how: How
    peer: str
    session: Session | None = None

    @property
    def is_ambient(self) -> bool:
        """Whether a browser shows it by itself, whoever made it send the request."""
        return self.how in {How.SESSION, How.PROXY, How.LOCAL}

    @property
    def bucket(self) -> str:
        """Whose requests are counted together."""
        known = self.actor.role is not Role.PUBLIC
        return f"{self.how}:{self.actor.name}" if known else f"{How.NOTHING}:{self.peer}"


@dataclass(slots=True)
class Guard:
    """Everything that decides about a request before a route does.

    Attributes:
        local: who everybody is where nobody is asked; None where they are.
        key: proofs for pages that are not a session's are signed with it.

    """

    tokens: Tokens
    proxies: Proxies
    sessions: Sessions
    hosts: Hosts
    rates: Rates
    failures: Rates
    key: bytes
    local: Actor | None = None
    streams: dict[str, int] = field(default_factory=dict)

    async def identify(self, request: Request) -> Actor:
        """Who sent `request`, as the gate found out.

        Raises:
            Unauthenticated: nobody that is known.

        """
        identity: Identity = request.scope[IDENTITY]
        if identity.how is How.WRONG:
            raise Unauthenticated("that token is not known here")
        if identity.how is How.NOTHING:
            raise Unauthenticated
        return identity.actor

    def identity_of(self, peer: str, headers: Headers, cookie: str | None) -> Identity:
        """Who asks: by a token, by a trusted proxy's word, by a session's cookie, or by being on this machine."""
        trusted = self.proxies.trusts(peer)
        at = _forwarded_for(headers, peer) if trusted else peer
        shown = headers.getlist("authorization")
        if shown:
            role = self.tokens.role_of(_bearer(shown))
            known = None if role is None else Actor(f"{role.name.lower()}-token@{at}", role)
            return Identity(_ANONYMOUS, How.WRONG, at) if known is None else Identity(known, How.TOKEN, at)
        if trusted:
            named = self.proxies.actor(
                headers.getlist(self.proxies.user_header), headers.getlist(self.proxies.groups_header)
            )
            if named is not None:
                return Identity(named, How.PROXY, at)
        session = None if cookie is None else self.sessions.find(cookie)
        if session is not None:
            return Identity(Actor(f"{session.role.name.lower()}@{at}", session.role), How.SESSION, at, session)
        return Identity(_ANONYMOUS, How.NOTHING, at) if self.local is None else Identity(self.local, How.LOCAL, at)

    def proof(self, identity: Identity) -> str:
        """The token of one of our pages: only who could read the page has it."""
        if identity.session is not None:
            return self.sessions.proof(identity.session)
        text = f"{identity.how}\0{identity.actor.name}"
        return hmac.new(self.key, text.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()

    def is_proof(self, identity: Identity, shown: str | None) -> bool:
        """Whether that is the token of a page that we drew for them."""
        return shown is not None and hmac.compare_digest(self.proof(identity).encode(), shown.encode(errors="replace"))


def make_guard(
    settings: SecuritySettings,
    *,
    loopback: bool,
    host_name: str,
    user: str,
    clock: Clock,
    new_secret: Callable[[], str],
) -> Guard:
    """The guard of a server.

    Args:
        settings: who may use it.
        loopback: whether only this machine reaches it.
        host_name: what this machine is called.
        user: who started it: where nobody is asked who they are, everybody is.
        clock: time, as it only grows.
        new_secret: makes unguessable text.

    Raises:
        ConfigError: a token cannot be read or is too short.

    """
    names = {*settings.allowed_hosts, *(() if loopback else (host_name.lower(),))}
    per_second, tokens = settings.requests_per_second, settings.tokens()
    sessions = Sessions(clock, new_secret, settings.session_hours * 3_600_000, tokens.digests)
    return Guard(
        tokens=tokens,
        proxies=settings.proxies(),
        sessions=sessions,
        hosts=Hosts(loopback, frozenset(names)),
        rates=Rates(clock, per_second=per_second, burst=2 * per_second),
        failures=Rates(clock, per_second=HTTP_FAILURES_PER_SECOND, burst=HTTP_FAILURES_BURST),
        # The operator's: only who may act anyway could sign for a page of somebody whom a proxy names.
        key=sessions.key(Role.OPERATOR) or new_secret().encode(),
        local=Actor(user, Role.OPERATOR) if loopback and not settings.is_guarded else None,
    )


def cookie_of(headers: Headers) -> str | None:
    """The session's cookie; None where it is not there exactly once."""
    found = [
        value.strip()
        for line in headers.getlist("cookie")
        for name, _, value in (part.partition("=") for part in line.split(";"))
        if name.strip() == COOKIE
    ]
    return found[0] if len(found) == 1 else None


def _bearer(shown: Sequence[str]) -> str:
    scheme, _, token = shown[0].partition(" ")
    return token.strip() if len(shown) == 1 and scheme.lower() == "bearer" else ""


def _forwarded_for(headers: Headers, peer: str) -> str:
    """Who a trusted proxy says is connected to it: the last address of the list, which it wrote itself."""
    named = ",".join(headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    return named if named and len(named) <= 45 and named.isprintable() else peer
