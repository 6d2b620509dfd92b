"""Pages that are looked at are kept up to date: parts that have changed are sent again, each by its element's id.

Everybody who looks at the same thing shares one look at the store, and a look may take one part in `LIVE_SHARE` of the
time: what shows the work must not be felt by it. But for more than `LIVE_MS_MAX` nobody is left with what was.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from fastapi.responses import StreamingResponse

from kafka_saga.orchestrator.dashboard.rendering import render
from kafka_saga.orchestrator.dashboard.visit import Page, Visit
from kafka_saga.runtime.clock import Clock, rest
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.live_limits import LIVE_MS_MAX

LIVE_MS = 1_000
"""How often a page that is looked at is kept up to date: quicker than anybody reads."""

LIVE_SHARE = 100
"""Keeping a page up to date may take one part in so many of the time: the engine may run in the same process."""

LIVE_LOOKS_MAX = 200
"""Different things that are looked at at once; beyond, those who look at the same no longer share it."""

_CHANGES_BY_ITSELF = re.compile(r'(data-as="(?:age|left)">)[^<]*')
_ID = re.compile(r'^\s*<[^>]*?\sid="([^"]+)"')


@dataclass(slots=True)
class _Seen:
    """One look, for whoever asks for the same until it is old."""

    at: int
    parts: asyncio.Task[dict[str, str]]
    cost_ms: int = 0


@dataclass(slots=True)
class Looks:
    """The looks of a moment ago."""

    clock: Clock
    _seen: dict[tuple[object, ...], _Seen] = field(default_factory=dict)

    async def take(self, page: Page, visit: Visit, opened_at: int = 0) -> tuple[dict[str, str], int]:
        """The parts of a page as they are now, and how long they were looked for.

        Args:
            page: what is looked at.
            visit: who looks.
            opened_at: ticks of the clock; a look from before would set the page back to before it was opened, without
                what its reader has just done.

        Raises:
            SagaError: what the page shows cannot be asked.

        """
        key = _key(page, visit)
        now = self.clock.monotonic_ms()
        seen = self._seen.get(key)
        if seen is None or seen.at < opened_at or now - seen.at >= _pace(seen.cost_ms) or seen.parts.cancelled():
            seen = self._seen[key] = _Seen(now, asyncio.create_task(_draw(page, visit)))
            seen.parts.add_done_callback(lambda _done: self._note(seen))
        while len(self._seen) > LIVE_LOOKS_MAX:
            del self._seen[next(iter(self._seen))]
        return await asyncio.shield(seen.parts), seen.cost_ms

    def _note(self, seen: _Seen) -> None:
        seen.cost_ms = self.clock.monotonic_ms() - seen.at
        if not seen.parts.cancelled():
            seen.parts.exception()  # whoever asked was told, or has gone away


def _key(page: Page, visit: Visit) -> tuple[object, ...]:
    request = visit.request
    who = () if page.shared else (visit.actor.name, request.headers.get("cookie"))
    return (page.name, request.url.path, request.url.query, visit.actor.role, *who)


def _pace(cost_ms: int) -> int:
    return min(LIVE_MS_MAX, max(LIVE_MS, cost_ms * LIVE_SHARE))


async def _draw(page: Page, visit: Visit) -> dict[str, str]:
    context = {**visit.frame(page), **await visit.navigation(), **await page.look(visit), "part": True}
    if page.shared:
        del context["csrf_field"]  # it would be somebody else's
    parts = context.get("live_parts", page.parts)  # a page may have others while what it is about is not there
    drawn = [render(part, **context) for part in ("part/pages.html", *parts)]
    return {_id_of(html): html for html in drawn}


def _id_of(html: str) -> str:
    found = _ID.match(html)
    assert found is not None, f"a part is one element with an id, and this is not: {html[:80]}"
    return found.group(1)


def stream(page: Page, visit: Visit, looks: Looks) -> StreamingResponse:
    """The changes of a page, until its reader or the server goes."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(page, visit, looks), media_type="text/event-stream", headers=headers)


async def _events(page: Page, visit: Visit, looks: Looks) -> AsyncIterator[str]:
    sent: dict[str, str] = {}
    ending, clock = visit.desk.ending, visit.desk.clock
    opened_at = looks.clock.monotonic_ms()
    while not ending.is_set():
        cost_ms = 0
        try:
            parts, cost_ms = await looks.take(page, visit, opened_at)
            parts = {"trouble": render("part/trouble.html", error=None, now=clock.now_ms()), **parts}
        except SagaError as error:
            parts = {"trouble": render("part/trouble.html", error=str(error), now=clock.now_ms())}
        changed = {name: html for name, html in parts.items() if sent.get(name) != _lasting(html)}
        sent |= {name: _lasting(html) for name, html in changed.items()}
        yield _event(changed) if changed else "event: beat\ndata: -\n\n"
        await rest(ending, clock, _pace(cost_ms))


def _lasting(html: str) -> str:
    """What of a part does not change by itself: ages and countdowns are the browser's business."""
    return _CHANGES_BY_ITSELF.sub(r"\1", html)


def _event(changed: Mapping[str, str]) -> str:
    partials = "".join(
        f'<hx-partial hx-target="#{name}" hx-swap="outerMorph">{html}</hx-partial>' for name, html in changed.items()
    )
    return "".join(f"data: {line}\n" for line in partials.splitlines()) + "\nevent: beat\ndata: -\n\n"
