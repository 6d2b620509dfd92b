"""What pages are drawn with: style sheets and scripts.

They are read once and served under names that tell what is in them: browsers keep them for good, and never an old one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from kafka_saga.orchestrator.http.security.roles import Role, needs
from kafka_saga.runtime.errors import NotFoundError

STYLES = ("tokens", "base", "shell", "parts", "tables", "overview", "saga", "drawings", "forms", "narrow")
"""In this order they are one sheet; the last words are those of narrow screens."""

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_FOR_GOOD = "public, max-age=31536000, immutable"


class Static(NamedTuple):
    """One file: where it is served, what it is, and its bytes."""

    path: str
    media_type: str
    content: bytes


@cache
def statics() -> dict[str, Static]:
    """Every file by the name that templates use: `style.css`, `js/keys.js`."""
    folder = resources.files("kafka_saga.orchestrator.dashboard").joinpath("static")
    sheet = b"\n".join(folder.joinpath("css", f"{name}.css").read_bytes() for name in STYLES)
    files = {"style.css": sheet, **dict(_files(folder, ""))}
    return {name: _named(name, content) for name, content in files.items()}


def url_of(name: str) -> str:
    """Where a browser finds the file that templates call `name`."""
    return statics()[name].path


router = APIRouter(include_in_schema=False)


@router.get("/static/{path:path}", dependencies=[needs(Role.PUBLIC)])
async def serve(request: Request, path: str) -> Response:
    """One file; the browser need not ask for it again."""
    found = _by_path().get(f"/static/{path}")
    if found is None:
        raise NotFoundError(f"there is no {request.url.path}; a page of this version names others")
    return Response(found.content, media_type=found.media_type, headers={"Cache-Control": _FOR_GOOD})


@cache
def _by_path() -> dict[str, Static]:
    return {static.path: static for static in statics().values()}


def _named(name: str, content: bytes) -> Static:
    stem, _, suffix = name.rpartition(".")
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Static(f"/static/{stem}.{digest}.{suffix}", _TYPES[suffix], content)


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "css":
                yield from _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in _TYPES:
            yield prefix + entry.name, entry.read_bytes()
