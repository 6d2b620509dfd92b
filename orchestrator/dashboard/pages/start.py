"""Starting a saga: a form for its request."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from kafka_saga.orchestrator.dashboard.filters import Asked
from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.schema_form import Form, Mistakes, names, place, with_item, without_item
from kafka_saga.orchestrator.dashboard.visit import Page, TheVisit, Visit
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.operations.sagas import starting
from kafka_saga.orchestrator.operations.sagas.requests import Request, definition_of, prepare
from kafka_saga.runtime.errors import ConflictError, UsageError
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.codec import encode

_log = log("dashboard")
Operator = Annotated[Actor, needs(Role.OPERATOR)]
ID = "saga-id"
"""The form's name of an id that the request does not carry: no field of a request can be called so."""
_OURS = ("add", "remove", ID)


async def look(visit: Visit) -> dict[str, Any]:
    """The types that can be started; the form of one."""
    registry = visit.desk.registry
    saga_type = visit.request.path_params.get("saga_type")
    shown: dict[str, Any] = {"types": registry.saga_types, "saga_type": saga_type}
    if saga_type is None:
        return shown
    definition = definition_of(registry, saga_type)
    return {
        **shown,
        "fields": form_of(definition).fields(),
        "id_from": definition.id_from,
        "version": definition.version,
        "requests": visit.desk.topics.requests(saga_type),
        "saga_id": "",
        "mistakes": Mistakes(),
    }


def form_of(definition: Definition) -> Form:
    """The form of a definition's request."""
    return Form(definition.request.model_json_schema(mode="validation"))


PAGE = Page("Sagas", "Start a saga", "start.html", look)
router = APIRouter()
add_page(router, "/start", PAGE)
add_page(router, "/start/{saga_type}", PAGE)


@router.post("/start/{saga_type}", include_in_schema=False)
async def start(visit: TheVisit, actor: Operator, saga_type: str) -> Response:
    """Publish the request, or say at each field what is wrong with it."""
    definition = definition_of(visit.desk.registry, saga_type)
    filled = {name: str(value) for name, value in (await visit.request.form()).items()}
    mistakes = Mistakes()
    if filled.get("add"):
        filled = with_item(filled, filled["add"])
    elif filled.get("remove"):
        filled = without_item(filled, filled["remove"])
    else:
        request = await _asked(visit, actor, definition, filled, mistakes)
        if request is not None and await _started(visit, request, mistakes):
            _log.info("saga.requested", saga_type=saga_type, saga_id=request.saga_id, actor=actor.name)
            return RedirectResponse(Asked(q=request.saga_id, type=saga_type).address(), 303)
    answers = {"fields": form_of(definition).fields(filled), "mistakes": mistakes, "saga_id": filled.get(ID, "")}
    return await visit.show(PAGE, 422 if mistakes.at or mistakes.whole else 200, **answers)


async def _asked(
    visit: Visit, actor: Actor, definition: Definition, filled: dict[str, str], mistakes: Mistakes
) -> Request | None:  # fmt: skip
    """The request, where nothing is wrong with it."""
    form = form_of(definition)
    known = names(form.fields(filled))
    try:
        document = form.document(filled)
        definition.request.model_validate_json(encode(document))
        saga_id, topics = filled.get(ID, "").strip() or None, visit.desk.topics
        [request] = prepare(definition, topics, [document], saga_id=saga_id, origin="the form", actor=actor.name)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            place(mistakes, known, one["loc"], one["msg"])
        return None
    except UsageError as error:
        mistakes.whole.append(str(error))
        return None
    return request


async def _started(visit: Visit, request: Request, mistakes: Mistakes) -> bool:
    """Whether the saga was asked for, now or before."""
    try:
        async with visit.desk.reader() as reader:
            await starting.start(reader, visit.desk.producer, request)
    except ConflictError as error:
        mistakes.whole.append(str(error))
        return False
    return True
