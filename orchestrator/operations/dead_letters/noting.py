"""Keeping among the acts who handled dead letters: the letters' own notes are on Kafka, where nobody looks for acts."""

from __future__ import annotations

from kafka_saga.orchestrator.operations.acts.noting import note_done
from kafka_saga.orchestrator.operations.dead_letters.marks import Verdict
from kafka_saga.orchestrator.operations.dead_letters.redriving import Author, Progress
from kafka_saga.orchestrator.store.act_rows import DISCARD, REDRIVE
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.port import NO_SAGA, NotedAct
from kafka_saga.runtime.wording import counted

_WORDS: dict[Verdict, str] = {"redriven": REDRIVE, "discarded": DISCARD}


async def note_handled(
    at: StoreLocation, author: Author, verdict: Verdict, progress: Progress, *, act_id: str, now: int
) -> None:
    """Keep that dead letters were handled; nothing where none was.

    Args:
        at: the store.
        author: who did it, and why.
        verdict: what was done.
        progress: what came of it.
        act_id: of the note.
        now: when, in milliseconds.

    Raises:
        StoreUnavailableError: there is no store, or its server does not answer.

    """
    if not progress.handled:
        return
    arguments = {"scope": "dead letters", "handled": progress.handled, "failed": len(progress.failed)}
    message = f"{counted(progress.handled, 'dead letter')} {verdict}"
    word = _WORDS[verdict]
    await note_done(at, NotedAct(act_id, NO_SAGA, word, author.actor, author.reason, message, arguments), now)
