"""One look at a page: who looks, and what the page may ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from kafka_saga.orchestrator.dashboard.rendering import render
from kafka_saga.orchestrator.http.desk import Desk, TheDesk
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store.reader import StoreReader

_NOT_KEPT = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and what of it is kept up to date while somebody looks at it.

    Attributes:
        name: its word in the navigation.
        title: of the window.
        template: of the whole page; it includes its parts.
        look: what the page shows, for its templates.
        parts: templates of parts that are sent again when they have changed. Each is one element with an id.
        shared: whether everybody with the same role sees the same parts. Not where a part has a form in it.

    """

    name: str
    title: str
    template: str
    look: Callable[[Visit], Awaitable[Mapping[str, Any]]]
    parts: tuple[str, ...] = ()
    shared: bool = True


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page."""

    request: Request
    desk: Desk
    actor: Actor

    @property
    def may_act(self) -> bool:
        """Whether buttons that change something are worth showing."""
        return self.desk.may_write and self.actor.role >= Role.OPERATOR

    async def show(self, page: Page, status: int = 200, **more: Any) -> HTMLResponse:
        """The page as it is now."""
        context = {**self.frame(page), **await self.navigation(), **await page.look(self), **more}
        return HTMLResponse(render(page.template, **context), status, _NOT_KEPT)

    def frame(self, page: Page) -> dict[str, Any]:
        """What every page has around it."""
        path, query = self.request.url.path, self.request.url.query
        live = f"/live{path}" + (f"?{query}" if query else "")
        return {
            "here": page.name,
            "title": page.title,
            "live": live if page.parts else None,
            "actor": self.actor,
            "role": self.actor.role.name.lower(),
            "may_act": self.may_act,
            "csrf_field": csrf_field(self.request),
            "logged_in": has_session(self.request),
            "kafka": self.desk.kafka.bootstrap_servers,
            "now": self.desk.clock.now_ms(),
            "query": self.request.query_params,
            "params": self.request.path_params,
        }

    async def navigation(self) -> dict[str, Any]:
        """What the navigation counts."""
        async with self.desk.reader() as reader:
            return await _counts(reader)


async def _counts(reader: StoreReader) -> dict[str, Any]:
    states = await reader.count_unfinished()
    return {"parked": states.get(SagaState.PARKED, 0)}


def has_session(request: Request) -> bool:
    """Whether there is something to log out of; not where the application has no login."""
    tells: Callable[[Request], bool] | None = getattr(request.app.state, "has_session", None)
    return tells is not None and tells(request)


def csrf_field(request: Request) -> Callable[[], Markup]:
    """What a form carries so that no other site can send it: nothing where the application brings no tokens."""
    make: Callable[[Request], Markup] | None = getattr(request.app.state, "csrf_field", None)
    return lambda: Markup("") if make is None else make(request)


async def _visit(request: Request, desk: TheDesk, actor: Annotated[Actor, needs(Role.READER)]) -> Visit:
    return Visit(request, desk, actor)


TheVisit = Annotated[Visit, Depends(_visit)]
"""A route's argument: `async def show(visit: TheVisit)`. The route needs the role reader."""
