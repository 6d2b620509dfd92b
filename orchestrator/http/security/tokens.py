"""The tokens that programs show, and people at the login."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from kafka_saga.orchestrator.http.security.actors import Role


class Tokens:
    """A reader's and an operator's. Only their digests are kept: no log and no error can print them.

    Args:
        by_role: the tokens there are.

    """

    def __init__(self, by_role: Mapping[Role, str]) -> None:
        self._digests = tuple((role, _digest(token)) for role, token in by_role.items())

    def __bool__(self) -> bool:
        return bool(self._digests)

    @property
    def digests(self) -> dict[Role, bytes]:
        """The SHA-256 of each role's token."""
        return dict(self._digests)

    def role_of(self, token: str) -> Role | None:
        """Whose token it is; it takes as long for a wrong one, and for one that begins well."""
        shown = _digest(token)
        found: Role | None = None
        for role, digest in self._digests:
            if hmac.compare_digest(shown, digest):
                found = role
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
