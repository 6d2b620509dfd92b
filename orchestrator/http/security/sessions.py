"""Browsers that have logged in. A session is its cookie: what it says is signed, and nothing of it is kept here.

The key of a role comes out of the role's token. So every dashboard with the same tokens knows the same sessions, a
restart ends none, and another token ends all that were begun with the one before. Logging out takes the cookie from the
browser; whoever has a copy of it is shut out by the process that was told, for as long as the session would have held.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from kafka_saga.orchestrator.http.security.actors import Role
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.live_limits import HTTP_CLOCK_SKEW_MS_MAX, HTTP_SESSIONS_MAX

COOKIE = "saga_session"
_LENGTH_MAX = 300
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
"""A token is tried in some 50 ms: whoever steals a cookie and nothing else does not find a token of 16 characters."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has logged in.

    Attributes:
        role: what they may do.
        ends_at: until when, milliseconds.
        cookie: what their browser shows.

    """

    role: Role
    ends_at: int
    cookie: str


class Sessions:
    """Makes cookies, and knows its own.

    Args:
        clock: time; servers that share sessions agree on it within `HTTP_CLOCK_SKEW_MS_MAX`.
        new_id: makes text that no two sessions share.
        lasts_ms: how long a session holds.
        digests: of each role's token, in SHA-256; nobody logs in for a role without one.

    """

    def __init__(self, clock: Clock, new_id: Callable[[], str], lasts_ms: int, digests: Mapping[Role, bytes]) -> None:
        self._clock = clock
        self._new_id = new_id
        self._lasts_ms = lasts_ms
        self._keys = {role: _key(digest) for role, digest in digests.items()}
        self._left: OrderedDict[bytes, int] = OrderedDict()
        """Until when those who logged out would have been known, by the digest of their cookies."""

    def __len__(self) -> int:
        """How many logouts are remembered."""
        return len(self._left)

    def begin(self, role: Role) -> str:
        """Let somebody in; the cookie's value."""
        said = f"{role.name.lower()}.{self._clock.now_ms() + self._lasts_ms}.{self._new_id()}"
        return f"{said}.{_signature(self._keys[role], said)}"

    def find(self, cookie: str) -> Session | None:
        """Whose cookie that is, as long as it holds."""
        said, _, signature = cookie.rpartition(".")
        word, _, rest = said.partition(".")
        ends, _, _ = rest.partition(".")
        role = next((role for role in self._keys if role.name.lower() == word), None)
        if role is None or len(cookie) > _LENGTH_MAX or not cookie.isascii():
            return None
        if not hmac.compare_digest(_signature(self._keys[role], said), signature):
            return None
        ends_at, now = int(ends), self._clock.now_ms()
        holds = now < ends_at <= now + self._lasts_ms + HTTP_CLOCK_SKEW_MS_MAX
        return Session(role, ends_at, cookie) if holds and _digest(cookie) not in self._left else None

    def end(self, session: Session) -> None:
        """Log out."""
        now = self._clock.now_ms()
        self._left = OrderedDict((digest, at) for digest, at in self._left.items() if at > now)
        self._left[_digest(session.cookie)] = session.ends_at
        while len(self._left) > HTTP_SESSIONS_MAX:
            self._left.popitem(last=False)

    def proof(self, session: Session) -> str:
        """What a page that was drawn for this session carries, whichever server drew it."""
        return _signature(self._keys[session.role], f"page.{session.cookie}")

    def key(self, role: Role) -> bytes | None:
        """What is signed with for a role; None where nobody logs in for it."""
        return self._keys.get(role)

    @property
    def lasts_s(self) -> int:
        """How long a browser keeps the cookie."""
        return self._lasts_ms // 1000


@lru_cache(maxsize=16)
def _key(digest: bytes) -> bytes:
    return hashlib.scrypt(digest, salt=b"kafka-saga session", **_SCRYPT)


def _signature(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
