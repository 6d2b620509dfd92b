"""Dead letters: messages that could not be read or sent. Looked at, sent again, or put away."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.visit import Page, TheVisit, Visit
from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.operations.acts.asking import NO_REASON
from kafka_saga.orchestrator.operations.dead_letters.letters import DeadLetterFilter
from kafka_saga.orchestrator.operations.dead_letters.marks import Verdict, parse_position
from kafka_saga.orchestrator.operations.dead_letters.noting import note_handled
from kafka_saga.orchestrator.operations.dead_letters.redriving import (
    Author,
    Plan,
    Progress,
    discard,
    plan_of,
    redrive,
)
from kafka_saga.orchestrator.operations.kafka.messages import describe, id_fields
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.codec import encode

ROWS = 200
"""Of a page; a cause, or the handled ones, are a link each."""
EVERY = DeadLetterFilter()
CHOSEN_MAX = 200
VALUE_SHOWN = 4_000

Operator = Annotated[Actor, needs(Role.OPERATOR)]
Text = Annotated[str, Form()]
router = APIRouter()


async def look(visit: Visit) -> dict[str, Any]:
    """What the list shows."""
    query, shelf = visit.request.query_params, visit.desk.letters
    cause, handled, after = query.get("cause") or None, bool(query.get("handled")), query.get("after") or None
    standing, tally = await shelf.standing(EVERY), await shelf.tally(EVERY, "cause")
    wanted = DeadLetterFilter(cause=cause, handled=handled, unhandled=not handled)
    page = await shelf.look(wanted, after, ROWS)
    asked = {"cause": cause or "", "handled": "1" if handled else ""}
    return {
        "letters": page.letters,
        "after": after,
        "cursor": page.cursor,
        "is_whole": page.is_whole,
        "address": "/dead-letters?" + urlencode({name: text for name, text in asked.items() if text}),
        "causes": tally.counts,
        "counted": None if tally.is_whole else tally.looked_at,
        "cause": cause,
        "handled": handled,
        "open": standing.open,
        "closed": standing.all - standing.open,
    }


PAGE = Page(
    "Dead letters", "Dead letters", "dead_letters.html", look, ("dead_letters/say.html", "dead_letters/rows.html")
)
add_page(router, "/dead-letters", PAGE)


async def look_at_one(visit: Visit) -> dict[str, Any]:
    """One dead letter, whole."""
    desk, position = visit.desk, visit.request.path_params["position"]
    [(listed, record)] = await desk.letters.at([parse_position(position)])
    letter = {**describe(record, id_fields(desk.registry, desk.topics)), "handled": listed["handled"]}
    value = letter["value"]
    text = value if isinstance(value, str) else encode(value).decode() if value is not None else ""
    plan = plan_of("redriven", [listed], await desk.letters.there(), total=1)
    return {
        "letter": letter,
        "position": position,
        "text": text[:VALUE_SHOWN],
        "cut": max(0, len(text) - VALUE_SHOWN),
        "refusal": plan.refused[0][1] if plan.refused else None,
        "kcat": "kcat -b {} -C -t {} -p {} -o {} -c 1".format(
            desk.kafka.bootstrap_servers, letter["topic"], letter["partition"], letter["offset"]
        ),
    }


ONE = Page("Dead letters", "Dead letter", "dead_letter.html", look_at_one)
add_page(router, "/dead-letters/{position:path}", ONE)


@router.post("/dead-letters", include_in_schema=False)
async def act(visit: TheVisit, actor: Operator, *, verb: Text, reason: Text = "", sure: Text = "") -> Response:
    """What to do with the chosen ones: looked at first, carried out when somebody is sure."""
    if verb not in ("redrive", "discard"):
        raise UsageError("it is redrive or discard")
    chosen = [str(one) for one in (await visit.request.form()).getlist("letter")][:CHOSEN_MAX]
    if not chosen:
        raise UsageError("no dead letter was chosen")
    plan = await _plan(visit.desk, verb, chosen)
    if not sure:
        return await visit.show(PLANNED, verb=verb, chosen=chosen, letters=plan.letters, refused=plan.refused)
    if verb == "discard" and not reason.strip():
        raise UsageError("say why: somebody will want to know")
    progress = await _carry_out(visit.desk, verb, plan, Author(actor.name, reason.strip() or NO_REASON))
    failed = [(letter["position"], why) for letter, why in plan.refused] + progress.failed
    if not failed:
        return RedirectResponse("/dead-letters?handled=1", 303)
    return await visit.show(DONE, verb=verb, done=progress.handled, failed=failed)


async def _plan(desk: Desk, verb: str, chosen: list[str]) -> Plan:
    found = await desk.letters.at([parse_position(one) for one in dict.fromkeys(chosen)])
    letters = [letter for letter, _record in found]
    return plan_of(_verdict(verb), letters, await desk.letters.there(), total=len(letters))


async def _carry_out(desk: Desk, verb: str, plan: Plan, author: Author) -> Progress:
    """Do it, and keep it among the acts."""
    work = redrive if verb == "redrive" else discard
    progress = await work(
        desk.kafka, desk.topics, plan, author=author, clock=desk.clock, on_progress=lambda _progress: None
    )
    desk.letters.look_anew()
    now = desk.clock.now_ms()
    await note_handled(desk.store_at, author, _verdict(verb), progress, act_id=desk.new_id(), now=now)
    return progress


def _verdict(verb: str) -> Verdict:
    return "redriven" if verb == "redrive" else "discarded"


async def _nothing(_visit: Visit) -> dict[str, Any]:
    return {}


PLANNED = Page("Dead letters", "Dead letters", "dead_letters_planned.html", _nothing)
DONE = Page("Dead letters", "Dead letters", "dead_letters_done.html", _nothing)
