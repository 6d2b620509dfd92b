"""Asking an ASGI application directly: from any address, with any headers, and with a body in any pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message

from kafka_saga.schemas.codec import decode_trusted

HOST = "127.0.0.1:7242"


@dataclass
class Answer:
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        found = [value for known, value in self.headers if known == name]
        assert len(found) < 2, f"{name} is there twice"
        return found[0] if found else None

    @property
    def code(self) -> str | None:
        """The problem's code, where the answer is one."""
        if self.header("content-type") != "application/problem+json":
            return None
        return str(decode_trusted(self.body)["code"])

    @property
    def cookie(self) -> str:
        return (self.header("set-cookie") or "").partition(";")[0]


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Iterable[tuple[str, str]] = (),
    *,
    peer: str = "127.0.0.1",
    host: str | None = HOST,
    body: Sequence[bytes] = (b"",),
) -> Answer:
    """One request. The body comes in as many pieces as are given; after them nothing comes any more."""
    path, _, query = path.partition("?")
    named = [*(() if host is None else (("host", host),)), *headers]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in named],
        "client": (peer, 50_000),
        "server": ("127.0.0.1", 7242),
    }
    pieces, answer, gone = list(body), Answer(), asyncio.Event()

    async def receive() -> Message:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(name.decode().lower(), value.decode()) for name, value in message["headers"]]
        else:
            answer.body += message.get("body", b"")

    await app(scope, receive, send)
    return answer
