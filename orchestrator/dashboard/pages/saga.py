"""One saga: its sentence, what helps, its steps, its time, its acts and its conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from kafka_saga.orchestrator.dashboard.drawing.gantt import TALL, WIDE, Row, gantt, time_scale
from kafka_saga.orchestrator.dashboard.drawing.graph import Graph
from kafka_saga.orchestrator.dashboard.drawing.tall_graph import tall_graph
from kafka_saga.orchestrator.dashboard.drawing.wide_graph import wide_graph
from kafka_saga.orchestrator.dashboard.pages.sagas import saga_href
from kafka_saga.orchestrator.dashboard.rendering import render
from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.saga.awaited import awaited
from kafka_saga.orchestrator.dashboard.saga.conversation import conversation, since
from kafka_saga.orchestrator.dashboard.saga.facts import facts, ways
from kafka_saga.orchestrator.dashboard.saga.opened import opened
from kafka_saga.orchestrator.dashboard.saga.picture import graph_of
from kafka_saga.orchestrator.dashboard.visit import Page, TheVisit, Visit
from kafka_saga.orchestrator.dashboard.vocabulary import Look, saga_look, step_look
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.states import VERBS, SagaState
from kafka_saga.orchestrator.operations.acts.acting import act_on, send
from kafka_saga.orchestrator.operations.sagas.show import show as show_saga
from kafka_saga.orchestrator.operations.sagas.telling import Told, tell
from kafka_saga.runtime.errors import NotFoundError, UsageError
from kafka_saga.runtime.wording import duration
from kafka_saga.schemas.codec import decode_object, encode
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.topics import TopicNames

NO_REASON = "no reason given"
Operator = Annotated[Actor, needs(Role.OPERATOR)]
Text = Annotated[str, Form()]

router = APIRouter()


async def look(visit: Visit) -> dict[str, Any]:
    """What the page shows."""
    params, asked = visit.request.path_params, visit.request.query_params
    ref = SagaRef(params["saga_type"], params["saga_id"])
    try:
        told = await _told(visit, ref)
    except NotFoundError:
        coming = await awaited(visit, ref)
        if coming is None:
            raise
        return coming
    return shown(
        told,
        visit.desk.topics,
        actor=visit.actor.name,
        true_scale=asked.get("scale") == "true",
        whole="all" in asked,
    )


def shown(told: Told, topics: TopicNames, *, actor: str, true_scale: bool, whole: bool) -> dict[str, Any]:
    """The same, of what was read already.

    Args:
        told: the saga.
        topics: how topics are called.
        actor: who looks, and may act.
        true_scale: whether waits are drawn as long as they were.
        whole: whether all changes are shown, however many.

    """
    saga = told.saga
    graph = graph_of(told.definition, saga, told.line)
    talk = conversation(told.definition, saga, told.history, topics, saga_href(saga.ref), whole=whole)
    return {
        "title": f"{saga.ref.saga_id} {saga.state.value}",
        "told": told,
        "saga": saga,
        "base": saga_href(saga.ref),
        "look": step_look("HELD") if saga.held is not None else saga_look(saga.state.value),
        "facts": facts(told),
        "ways": ways(told, actor),
        "urgent": saga.state is SagaState.PARKED,
        "legend": _legend(graph),
        "graph": (Markup(wide_graph(graph)), Markup(tall_graph(graph))),  # noqa: S704 -- svg.py escapes what it draws
        "gantt": _gantt(told, graph, true_scale=true_scale),
        "time_remark": _time_remark(told, true_scale=true_scale),
        "true_scale": true_scale,
        "folds": time_scale(told.line).folded_ms > 0,
        "talk": replace(talk, rows=tuple(replace(row, since=since(row, saga.created_at)) for row in talk.rows)),
    }


async def _told(visit: Visit, ref: SagaRef) -> Told:
    desk = visit.desk
    async with desk.reader() as reader:
        return await tell(reader, desk.registry, desk.topics, ref, desk.clock.now_ms())


def _legend(graph: Graph) -> list[Look]:
    """The shapes that the picture has, each once."""
    statuses = [node.status for node in graph.nodes] + [node.undo.status for node in graph.nodes if node.undo]
    looks = dict.fromkeys(map(step_look, statuses))
    return [one for one in looks if one.plain]


def _gantt(told: Told, graph: Graph, *, true_scale: bool) -> tuple[Markup, Markup] | None:
    if not told.line.bars:
        return None
    services = {} if told.definition is None else {step.name: step.service for step in told.definition.steps}
    ran = set(told.line.steps)
    rows = [Row(node.name, node.label, services.get(node.name, "")) for node in graph.nodes if node.name in ran]
    wide, tall = (gantt(told.line, rows, shape, true_scale=true_scale) for shape in (WIDE, TALL))
    return Markup(wide), Markup(tall)  # noqa: S704 -- svg.py escapes what it draws


def _time_remark(told: Told, *, true_scale: bool) -> str:
    line = told.line
    whole = duration(line.ended_at - line.began_at)
    folded = time_scale(line).folded_ms
    if true_scale or not folded:
        return f"until now, {whole}" if line.lasts else whole
    return f"{duration(folded)} of {whole} were waiting; they are folded"


PARTS = ("head", "ways", "path", "time", "acts", "talk")
PAGE = Page("Sagas", "Saga", "saga.html", look, tuple(f"saga/{part}.html" for part in PARTS), shared=False)
add_page(router, "/sagas/{saga_type}/{saga_id}", PAGE)


@router.post("/sagas/{saga_type}/{saga_id}/acts", include_in_schema=False)
async def act(
    saga_type: str, saga_id: str, visit: TheVisit, actor: Operator, *,
    verb: Text, act_id: Text, state: Text, reason: Text = "", step: Text = "", target: Text = "", data: Text = "",
) -> Response:  # fmt: skip
    """Send one act; the page it leads back to says what becomes of it."""
    if verb not in VERBS:
        raise UsageError(f"there is no act '{verb}'")
    if verb == "resolve" and not reason.strip():
        raise UsageError("say why: nothing but your word settles this saga")
    desk = visit.desk
    arguments = _arguments(step=step, target=target, data=data)
    wanted = Act(act_id, VERBS[verb], actor.name, reason.strip() or NO_REASON, state, arguments=arguments)
    async with desk.reader() as reader, desk.act_queue() as queue:
        saga = await reader.find(saga_id, saga_type)
        await send(queue, reader, [act_on(saga.ref, wanted, saga.state)], desk.clock.now_ms())
    return RedirectResponse(f"{saga_href(saga.ref)}#acts", 303)


def _arguments(*, step: str, target: str, data: str) -> Mapping[str, Any]:
    given: dict[str, Any] = {"step": step} if step else {}
    if target:
        given["as"] = target
    if data.strip():
        given["data"] = decode_object(data.encode())
    return given


@router.get("/sagas/{saga_type}/{saga_id}/messages/{turn}/{place}", include_in_schema=False)
async def message(saga_type: str, saga_id: str, turn: int, place: str, visit: TheVisit) -> HTMLResponse:
    """One message of the conversation, opened: looked for on Kafka now. A part of the page, or a page of its own."""
    told = await _told(visit, SagaRef(saga_type, saga_id))
    found = await opened(visit.desk, told, turn, place)
    context = {"message": found, "base": saga_href(told.saga.ref), "saga": told.saga}
    if visit.request.headers.get("hx-request") == "true":
        return HTMLResponse(render("saga/message.html", **context), headers={"Cache-Control": "no-store"})
    frame = {**visit.frame(_ALONE), **await visit.navigation(), **context, "title": found.name}
    return HTMLResponse(render("message.html", **frame), headers={"Cache-Control": "no-store"})


_ALONE = Page("Sagas", "Message", "message.html", look)


@router.get("/sagas/{saga_type}/{saga_id}/raw", include_in_schema=False)
async def raw(saga_type: str, saga_id: str, visit: TheVisit) -> Response:
    """All that is known of the saga, as JSON to keep."""
    desk = visit.desk
    async with desk.reader() as reader:
        now = desk.clock.now_ms()
        shown = await show_saga(reader, desk.registry, saga_id, saga_type, now=now)
        log = [{**entry._asdict(), "detail": dict(entry.detail)} for entry in await reader.log(shown.saga)]
    name = f"{shown.saga.ref.saga_type}-{shown.saga.ref.saga_id}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(encode({**shown.record, "log": log}), media_type="application/json", headers=headers)
