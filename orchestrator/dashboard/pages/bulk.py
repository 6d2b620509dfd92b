"""Acting on many sagas: the list is frozen and shown, then sent, and then each of them is followed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from kafka_saga.orchestrator.dashboard.filters import Asked
from kafka_saga.orchestrator.dashboard.pages.sagas import saga_href
from kafka_saga.orchestrator.dashboard.room import TheRoom, room_of
from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.visit import Page, TheVisit, Visit
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.machine.states import TERMINAL, VERBS, EventKind
from kafka_saga.orchestrator.operations.acts.acting import standing_of
from kafka_saga.orchestrator.operations.acts.asking import NO_REASON, REACH
from kafka_saga.orchestrator.operations.acts.choosing import Frozen, Wanted, choose, choose_ids
from kafka_saga.orchestrator.operations.acts.following import Result, Standing
from kafka_saga.orchestrator.operations.acts.jobs import Job
from kafka_saga.orchestrator.store.act_rows import verb_word
from kafka_saga.runtime.errors import NotFoundError, UsageError
from kafka_saga.schemas.codec import decode_object, encode
from kafka_saga.schemas.ids import SagaRef

SAMPLE = 10
MEMBERS = 200
"""Members of a bulk act that its page shows; those that did not work come first."""
REMEMBERED = 1_000
"""Acts that are looked at where this process did not send them."""
WORDS = {
    "retry": "The command of the step that each stands at is sent again, now.",
    "skip": "The step is taken as done, or as undone where it was being undone: somebody did it by hand.",
    "cancel": "What was done is undone.",
    "resolve": "They end: somebody has settled all of it outside.",
}
_ORDER = (Result.FAILED, Result.REFUSED, Result.WAITING, Result.UNCHANGED, Result.SUCCEEDED)

Operator = Annotated[Actor, needs(Role.OPERATOR)]
Text = Annotated[str, Form()]
router = APIRouter()


@router.post("/bulk", include_in_schema=False)
async def freeze(
    visit: TheVisit,
    room: TheRoom,
    actor: Operator,
    *,
    verb: Text,
    listed: Text = "",
    every: Text = "",
) -> Response:
    """Freeze the list that was chosen: by hand, or all that the filter `listed` lets through."""
    if verb not in WORDS:
        raise UsageError(f"there is no act '{verb}' on many sagas: it is one of {', '.join(WORDS)}")
    kind = VERBS[verb]
    chosen = [str(value) for value in (await visit.request.form()).getlist("saga")]
    frozen = await (_filtered(visit, kind, listed) if every else _named(visit, chosen))
    return RedirectResponse(f"/bulk/{room.jobs.freeze(kind, actor.name, frozen).bulk_id}", 303)


async def _named(visit: Visit, chosen: list[str]) -> Frozen:
    if not chosen:
        raise UsageError("no saga was chosen")
    refs = [SagaRef(*one.split("/", 1)) for one in chosen if "/" in one]
    async with visit.desk.reader() as reader:
        return await choose_ids(reader, visit.desk.registry, map(_line, refs), None)


def _line(ref: SagaRef) -> str:
    return encode({"sagaId": ref.saga_id, "sagaType": ref.saga_type}).decode()


async def _filtered(visit: Visit, kind: EventKind, address: str) -> Frozen:
    asked = Asked.of_address(address)
    wanted = asked.filter(visit.desk.registry, visit.desk.clock.now_ms(), 1)
    states = (wanted.states or REACH[kind]) - TERMINAL
    if not states:
        raise UsageError("sagas that have ended take no acts: filter for others")
    async with visit.desk.reader() as reader:
        wanted = await asked.narrowed(reader, wanted)
        return await choose(reader, visit.desk.registry, Wanted(replace(wanted, states=states)))


@router.post("/bulk/{bulk_id}", include_in_schema=False)
async def send(
    bulk_id: str, room: TheRoom, actor: Operator, *,
    reason: Text = "", confirm: Text = "", step: Text = "", outcome: Text = "", data: Text = "",
) -> Response:  # fmt: skip
    """Send the frozen list."""
    job = room.jobs.get(bulk_id)
    if job is None:
        raise NotFoundError(f"there is no frozen list {bulk_id} here: the server was restarted; choose again")
    if job.verb is EventKind.RESOLVE and not reason.strip():
        raise UsageError("say why: nothing but your word settles these sagas")
    room.jobs.begin(
        bulk_id,
        actor=actor.name,
        reason=reason.strip() or NO_REASON,
        arguments=_arguments(job.verb, step=step.strip(), outcome=outcome, data=data.strip()),
        confirmed=confirm.strip(),
    )
    return RedirectResponse(f"/bulk/{bulk_id}", 303)


def _arguments(verb: EventKind, *, step: str, outcome: str, data: str) -> dict[str, Any]:
    if verb is EventKind.SKIP:
        return {"step": step} | ({"data": decode_object(data.encode())} if data else {})
    return {"as": outcome} if verb is EventKind.RESOLVE else {}


async def look(visit: Visit) -> dict[str, Any]:
    """A bulk act: as it is frozen, as it goes, or as the store remembers it."""
    bulk_id = visit.request.path_params["bulk_id"]
    job = room_of(visit.request).jobs.get(bulk_id)
    if job is not None and job.act is None:
        return {"job": job, **_preview(visit, job)}
    return {"job": job, **(await _remembered(visit, bulk_id) if job is None else _going_on(job))}


def _preview(visit: Visit, job: Job) -> dict[str, Any]:
    verb = verb_word(job.verb.value)
    return {
        "verb": verb,
        "words": WORDS[verb],
        "sample": [(one, saga_href(one.ref)) for one in job.chosen[:SAMPLE]],
        "kinds": job.kinds.most_common(SAMPLE),
        "outside": sum(one.state not in REACH[job.verb] for one in job.chosen),
        "steps": sorted({step.name for definition in visit.desk.registry for step in definition.steps}),
    }


def _going_on(job: Job) -> dict[str, Any]:
    assert job.act is not None
    assert job.bulk is not None
    bulk = job.bulk
    sent = bulk.sent + bulk.known
    shown = _shown(bulk.standings)
    shown["counts"]["waiting"] = sent - bulk.settled
    return {
        "verb": verb_word(job.verb.value), "actor_name": job.actor, "reason": job.act.reason, "at": job.at,
        "total": bulk.total, "sent": sent, **shown,
    }  # fmt: skip


async def _remembered(visit: Visit, bulk_id: str) -> dict[str, Any]:
    async with visit.desk.reader() as reader:
        acts = await reader.acts(REMEMBERED, bulk_id=bulk_id)
        if not acts:
            raise NotFoundError(f"there is no bulk act {bulk_id}; a list that was not sent goes with its server")
        standings = {act.ref: await standing_of(reader, act) for act in acts}
    first = acts[0]
    return {
        "verb": first.verb, "actor_name": first.actor, "reason": first.reason, "at": acts[-1].created_at,
        "total": len(acts), "sent": len(acts), **_shown(standings),
    }  # fmt: skip


def _shown(standings: Mapping[SagaRef, Standing]) -> dict[str, Any]:
    counts = Counter(standing.result for standing in standings.values())
    members = sorted(standings.items(), key=lambda item: (_ORDER.index(item[1].result), item[0]))
    return {
        "counts": {result.value: counts[result] for result in Result},
        "members": [(ref, saga_href(ref), standing) for ref, standing in members[:MEMBERS]],
        "more": max(0, len(members) - MEMBERS),
    }


PAGE = Page("Sagas", "Act on many", "bulk.html", look, ("bulk/body.html",), shared=False)
add_page(router, "/bulk/{bulk_id}", PAGE)
