"""Starting a saga: a form for its request."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from kafka_saga.orchestrator.dashboard.pages.sagas import saga_href
from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.schema_form import Form, Mistakes, names, place, with_item, without_item
from kafka_saga.orchestrator.dashboard.visit import Page, TheVisit, Visit
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.operations.sagas import starting
from kafka_saga.orchestrator.operations.sagas.requests import Request, definition_of, prepare
from kafka_saga.orchestrator.operations.sagas.starting import Begun
from kafka_saga.runtime.errors import ConflictError, ContractError, UsageError
from kafka_saga.runtime.limits import ID_LENGTH_MAX
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.codec import encode, fit
from kafka_saga.schemas.ids import SagaRef, check_saga_id

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
        "id_hint": f"1 to {ID_LENGTH_MAX} characters from A-Z a-z 0-9 . _ : -",
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
        request = _asked(visit, actor, definition, filled, mistakes)
        begun = None if request is None else await _begun(visit, definition, request, mistakes)
        if request is not None and begun is not None:
            _log.info("saga.requested", saga_type=saga_type, saga_id=request.saga_id, actor=actor.name)
            there = saga_href(SagaRef(saga_type, request.saga_id))
            asked_at = f"?asked={visit.desk.clock.now_ms()}" if begun is Begun.ACCEPTED else ""
            return RedirectResponse(there + asked_at, 303)
    answers = {"fields": form_of(definition).fields(filled), "mistakes": mistakes, "saga_id": filled.get(ID, "")}
    return await visit.show(PAGE, 422 if mistakes else 200, **answers)


def _asked(
    visit: Visit, actor: Actor, definition: Definition, filled: dict[str, str], mistakes: Mistakes
) -> Request | None:
    """The request, where nothing is wrong with it; else everything that is wrong, at once."""
    form = form_of(definition)
    known = names(form.fields(filled))
    document = form.document(filled, mistakes)
    saga_id = None if definition.id_from is not None else filled.get(ID, "").strip()
    try:
        fit(definition.request, encode(document))
    except ContractError as error:
        _put(mistakes, known, error)
    try:
        check_saga_id(saga_id if definition.id_from is None else document.get(definition.id_from))
    except ContractError as error:
        mistakes.at.setdefault(_id_field(definition), str(error))
    if mistakes:
        return None
    try:
        topics = visit.desk.topics
        [request] = prepare(definition, topics, [document], saga_id=saga_id, origin="the form", actor=actor.name)
    except UsageError as error:
        mistakes.whole.append(str(error))
        return None
    return request


def _put(mistakes: Mistakes, known: set[str], error: ContractError) -> None:
    """Complaints of the model to their fields; what no schema says (a validator of a user's) to all of it."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        mistakes.whole.append(str(error))
        return
    for one in cause.errors(include_url=False, include_input=False):
        place(mistakes, known, one["loc"], one["msg"])


def _id_field(definition: Definition) -> str:
    return definition.id_from or ID


async def _begun(visit: Visit, definition: Definition, request: Request, mistakes: Mistakes) -> Begun | None:
    """How the saga was asked for, now or before; None where its id is another's."""
    try:
        async with visit.desk.reader() as reader:
            return (await starting.start(reader, visit.desk.producer, request)).begun
    except ConflictError as error:
        mistakes.at[_id_field(definition)] = str(error)
        return None
