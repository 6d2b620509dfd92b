"""A network between a client and its server that a test breaks where it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

Cut = Literal["request", "answer", "before the answer"]


class CutWire:
    """A proxy on a loopback port of its own.

    `cut_at` breaks the connection that says something next: before its `request` has reached the server, after that and
    `before the answer`, or once the `answer` is there, and does not reach the client.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.port = 0
        self.cut_at: Cut | None = None
        self.cuts = 0
        self.down = False
        """Whether nobody gets through."""
        self._open: set[asyncio.StreamWriter] = set()
        self._cutting: asyncio.StreamWriter | None = None

    def sever(self) -> None:
        """Break every connection."""
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.transport.abort()
            return
        to_server: asyncio.StreamWriter
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {writer, to_server}
        await asyncio.gather(self._requests(reader, to_server, writer), self._answers(from_server, writer, to_server))
        self._open -= {writer, to_server}

    async def _requests(
        self, client: asyncio.StreamReader, server: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while data := await _read(client):
            if self.cut_at == "request":
                self._cut(back, server)
                return
            server.write(data)
            if self.cut_at == "before the answer":
                await server.drain()
                self._cut(back, server)
                return
            if self.cut_at == "answer":
                self._cutting = back
        server.transport.abort()

    async def _answers(
        self, server: asyncio.StreamReader, client: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while data := await _read(server):
            if self._cutting is client:
                self._cutting = None
                self._cut(client, back)
                return
            client.write(data)
        client.transport.abort()

    def _cut(self, *ends: asyncio.StreamWriter) -> None:
        self.cut_at = None
        self.cuts += 1
        for end in ends:
            end.close()


async def _read(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.read(65_536)
    except OSError:
        return b""


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[CutWire]:
    """A proxy to `port`."""
    wire = CutWire(port)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        wire.sever()
