"""Dead letters: look at them, send them again, put them away."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from kafka_saga.orchestrator.http.api.answers import Limit, page, reply
from kafka_saga.orchestrator.http.api.dead_letter_documents import (
    DeadLetterCounts,
    DeadLetterDocument,
    DeadLettersAsked,
    DeadLettersHandled,
)
from kafka_saga.orchestrator.http.api.documents import Moment, Page
from kafka_saga.orchestrator.http.desk import Desk, TheDesk
from kafka_saga.orchestrator.http.problems import problem
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.operations.acts.asking import NO_REASON
from kafka_saga.orchestrator.operations.acts.jobs import BULK_CONFIRMED_MIN
from kafka_saga.orchestrator.operations.dead_letters import redriving
from kafka_saga.orchestrator.operations.dead_letters.letters import By, DeadLetterFilter
from kafka_saga.orchestrator.operations.dead_letters.marks import Position, Verdict, parse_position
from kafka_saga.orchestrator.operations.dead_letters.moments import as_written
from kafka_saga.orchestrator.operations.dead_letters.noting import note_handled
from kafka_saga.orchestrator.operations.dead_letters.redriving import Author, plan_for, plan_of
from kafka_saga.orchestrator.operations.dead_letters.reporting import report
from kafka_saga.orchestrator.operations.kafka.messages import describe, id_fields
from kafka_saga.orchestrator.operations.kafka.needed_topics import dead_letter_topics_of
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.limits import ID_LENGTH_MAX
from kafka_saga.runtime.live_limits import LETTERS_CURSOR_LENGTH_MAX

router = APIRouter(tags=["dead letters"])

_Operator = Annotated[Actor, needs(Role.OPERATOR)]
_Topic = Annotated[str | None, Query(max_length=250, description="Only of this topic, e.g. order.requests")]
_Cause = Annotated[str | None, Query(max_length=100, description="Only with this cause, e.g. conflict")]
_Saga = Annotated[str | None, Query(max_length=ID_LENGTH_MAX, description="Only about the saga with this id")]
_Handled = Annotated[bool, Query(alias="all", description="Also those that were redriven or discarded")]
_EveryTopic = Annotated[bool, Query(alias="allTopics", description="Also of topics that no saga here needs")]


@router.get(
    "/dead-letters",
    summary="List open dead letters, newest first",
    response_model=Page[DeadLetterDocument],
    dependencies=[needs(Role.READER)],
)
async def list_letters(
    *,
    desk: TheDesk,
    topic: _Topic = None,
    cause: _Cause = None,
    saga: _Saga = None,
    since: Annotated[Moment | None, Query(max_length=40)] = None,
    until: Annotated[Moment | None, Query(max_length=40)] = None,
    handled: _Handled = False,
    all_topics: _EveryTopic = False,
    limit: Limit = 100,
    cursor: Annotated[
        str | None,
        Query(max_length=LETTERS_CURSOR_LENGTH_MAX, description="`next` of the page before; else the list begins"),
    ] = None,
) -> Response:
    """List what could not be used, with its cause. A page looks at 2,000 letters at most; the next one goes on."""
    chosen = DeadLetterFilter(topic, cause, saga, as_written(since), as_written(until), handled=handled)
    found = await desk.letters.look(_ours(desk, chosen, every=all_topics), cursor, limit)
    return page(found.letters, found.cursor, is_whole=found.is_whole)


@router.get(
    "/dead-letters/count",
    summary="Count open dead letters",
    response_model=DeadLetterCounts,
    dependencies=[needs(Role.READER)],
)
async def count_letters(
    *,
    desk: TheDesk,
    by: By = "cause",
    topic: _Topic = None,
    cause: _Cause = None,
    handled: _Handled = False,
    all_topics: _EveryTopic = False,
) -> Response:
    """Count them by cause, topic or saga, the most first: of the newest 2,000, as `complete` says."""
    chosen = _ours(desk, DeadLetterFilter(topic, cause, handled=handled), every=all_topics)
    tally, standing = await desk.letters.tally(chosen, by), await desk.letters.standing(chosen)
    counts = [{by: name, "deadLetters": number} for name, number in tally.counts]
    shares = {"lookedAt": tally.looked_at, "complete": tally.is_whole}
    return reply({"items": counts, "all": standing.all, "open": standing.open, **shares})


@router.get(
    "/dead-letters/{topic}/{partition}/{offset}",
    summary="Show one dead letter whole",
    response_model=dict[str, Any],
    dependencies=[needs(Role.READER)],
)
async def show_letter(
    desk: TheDesk,
    topic: Annotated[str, Path(pattern=r"^dlq\.[A-Za-z0-9._-]{1,240}$")],
    partition: Annotated[int, Path(ge=0, le=2**31 - 1)],
    offset: Annotated[int, Path(ge=0, le=2**63 - 1)],
) -> Response:
    """Show cause, origin, headers and value, and what became of it."""
    [(letter, record)] = await desk.letters.at([Position(topic, partition, offset)])
    return reply({**describe(record, id_fields(desk.registry, desk.topics)), "handled": letter["handled"]})


@router.post("/dead-letters/redrive", summary="Send dead letters again", response_model=DeadLettersHandled)
async def redrive(desk: TheDesk, actor: _Operator, asked: DeadLettersAsked) -> Response:
    """Send the oldest of those that the filter lets through, or the one at a position, to their topics again.

    What cannot be read even now comes back as a new dead letter. `dryRun` says what would be done.
    """
    return await _handle(desk, actor, asked, "redriven")


@router.post("/dead-letters/discard", summary="Put dead letters away", response_model=DeadLettersHandled)
async def discard(desk: TheDesk, actor: _Operator, asked: DeadLettersAsked) -> Response:
    """Note that they need nothing more. Needs a `reason`."""
    if not (asked.reason or "").strip():
        raise UsageError("say why with a reason: somebody will want to know")
    return await _handle(desk, actor, asked, "discarded")


async def _handle(desk: Desk, actor: Actor, asked: DeadLettersAsked, verdict: Verdict) -> Response:
    filters = (asked.topic, asked.cause, asked.saga, as_written(asked.since), as_written(asked.until))
    if asked.position is not None:
        if any(one is not None for one in filters):
            raise UsageError("give a position, or say which dead letters: not both")
        [(letter, _)] = await desk.letters.at([parse_position(asked.position)])
        there = await desk.letters.there()
        plan = plan_of(verdict, [letter], there, total=1, again=asked.again, force=asked.force)
    else:
        if asked.again:
            raise UsageError("`again` is for one dead letter: give its position")
        if not asked.dry_run and all(one is None for one in filters):
            raise UsageError("say which dead letters: a position, or a topic, cause, saga, since or until")
        wanted = _ours(desk, DeadLetterFilter(*filters), every=asked.all_topics)
        plan = await plan_for(desk.kafka, desk.topics, verdict, wanted, asked.limit, force=asked.force)
    if asked.dry_run:
        return reply(report(plan, None))
    if len(plan.letters) > BULK_CONFIRMED_MIN and asked.total != len(plan.letters):
        raise UsageError(f"say total: {len(plan.letters)}, the number of dead letters, to confirm")
    author = Author(actor.name, asked.reason or NO_REASON)
    work = redriving.redrive if verdict == "redriven" else redriving.discard
    progress = await work(
        desk.kafka, desk.topics, plan, author=author, clock=desk.clock, on_progress=lambda _progress: None
    )
    desk.letters.look_anew()
    document = report(plan, progress)
    act_id, now = desk.new_id(), desk.clock.now_ms()
    await note_handled(desk.store_at, author, verdict, progress, act_id=act_id, now=now)
    if plan.refused and not plan.letters:
        why = plan.refused[0][1]
        return problem(HTTPStatus.CONFLICT, "refused", f"all were refused: {why}", outcome=document)
    return reply(document)


def _ours(desk: Desk, chosen: DeadLetterFilter, *, every: bool) -> DeadLetterFilter:
    """The filter, held to the topics of our sagas where their names tell."""
    among = None if every else dead_letter_topics_of(desk.registry, desk.topics)
    fields = id_fields(desk.registry, desk.topics)
    return DeadLetterFilter(
        chosen.topic,
        chosen.cause,
        chosen.saga_id,
        chosen.since,
        chosen.until,
        handled=chosen.handled,
        among=among,
        fields=fields,
    )
