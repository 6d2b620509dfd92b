"""Audit: what people did, why, and what it came to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter

from kafka_saga.orchestrator.dashboard.pages.sagas import saga_href
from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.visit import Page, Visit
from kafka_saga.orchestrator.dashboard.vocabulary import Look, result_look
from kafka_saga.orchestrator.machine.states import VERBS
from kafka_saga.orchestrator.operations.acts.auditing import read_acts
from kafka_saga.orchestrator.operations.acts.pausing import scope_text
from kafka_saga.orchestrator.store.act_rows import NOTED, ActRow
from kafka_saga.orchestrator.store.looking import WantedActs
from kafka_saga.runtime.errors import UsageError

ROWS = 50
OUTCOMES = {"waiting": "not taken yet", "done": "taken", "refused": "refused", "unchanged": "changed nothing"}
_STORED = {word: kind.value for word, kind in VERBS.items()} | {word: word for word in NOTED}
"""How acts are stored, by the words that people use."""
_LOOKS = {"waiting": "waiting", "done": "succeeded", "refused": "refused", "unchanged": "unchanged"}


async def look(visit: Visit) -> dict[str, Any]:
    """What the page shows."""
    query = visit.request.query_params
    asked = {name: query.get(name, "").strip() for name in ("actor", "verb", "outcome")}
    if asked["verb"] and asked["verb"] not in _STORED:
        raise UsageError(f"there is no act '{asked['verb']}': it is one of {', '.join(_STORED)}")
    after = query.get("after") or None
    wanted = WantedActs(asked["actor"] or None, _STORED.get(asked["verb"]), asked["outcome"] or None)
    async with visit.desk.reader() as reader:
        page = await read_acts(reader, wanted, after, ROWS, visit.desk.clock)
    return {
        "acts": [(act, _subject(act), outcome_look(act), act.outcome or "waiting") for act in page.acts],
        "is_whole": page.is_whole,
        "asked": asked,
        "after": after,
        "cursor": page.cursor,
        "address": "/audit?" + urlencode({name: text for name, text in asked.items() if text}),
        "verbs": list(_STORED),
        "outcomes": OUTCOMES,
    }


def outcome_look(act: ActRow) -> Look:
    """How the outcome of an act looks."""
    return result_look(_LOOKS.get(act.outcome or "waiting", ""))


def _subject(act: ActRow) -> tuple[str, str | None, str | None]:
    """What the act was on, where its page is, and the bulk act it was a part of."""
    bulk, slash, _ = act.act_id.partition("/")
    if not act.ref.saga_id:
        return scope_text(str(act.arguments.get("scope", ""))), None, None
    return act.ref.saga_id, saga_href(act.ref), bulk if slash else None


PAGE = Page("Audit", "Audit", "audit.html", look, ("audit/rows.html",))
router = APIRouter()
add_page(router, "/audit", PAGE)
