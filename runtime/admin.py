"""`/livez`, `/readyz` and `/metrics` as an ASGI application of its own: a participant has no web framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from kafka_saga.runtime.health import Finding, Health, is_ready
from kafka_saga.runtime.metrics import Metrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATHS = ("/livez", "/readyz", "/metrics")
_TEXT = "text/plain; charset=utf-8"


class Admin:
    """Answers probes and scrapers. Nothing that it says is about one saga."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- no body is read
        """As ASGI has it."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        status, body, content_type = await self._answer(path, scope)
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, path: str, scope: Scope) -> tuple[int, bytes, str]:
        if scope["method"] not in {"GET", "HEAD"}:
            return 405, b"only GET and HEAD\n", _TEXT
        if path == "/livez":
            return 200, b"ok\n", _TEXT  # who answers has a loop that turns
        if path == "/readyz":
            findings = await self._health.findings()
            body = in_words(findings) if b"verbose" in scope.get("query_string", b"") else _brief(findings)
            return 200 if is_ready(findings) else 503, body.encode(), _TEXT
        if path == "/metrics":
            accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
            body_bytes, content_type = await self._metrics.exposition(accept.decode("latin-1"))
            return 200, body_bytes, content_type
        return 404, f"there are {', '.join(PATHS)}\n".encode(), _TEXT


def in_words(findings: dict[str, Finding]) -> str:
    """A line for each look, as Kubernetes' own servers write them."""
    lines = [f"[{'+' if finding.ok else '-'}]{name}: {finding.seen}" for name, finding in findings.items()]
    return "\n".join([*lines, "ready" if is_ready(findings) else "not ready", ""])


def _brief(findings: dict[str, Finding]) -> str:
    failed = ", ".join(name for name, finding in findings.items() if not finding.ok)
    return f"not ready: {failed}\n" if failed else "ok\n"
