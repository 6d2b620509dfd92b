"""One verb for many sagas: the list is frozen, shown and confirmed, and every saga's outcome is counted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from kafka_saga.orchestrator.app import registry_of, sight_of
from kafka_saga.orchestrator.cli.acting import Asked
from kafka_saga.orchestrator.cli.asking import check_terminal, confirmed_many
from kafka_saga.orchestrator.cli.edge import EXIT_PARTLY_FAILED, EXIT_TIMED_OUT, EXIT_UNAVAILABLE
from kafka_saga.orchestrator.cli.filters import ANY, FilterFlags
from kafka_saga.orchestrator.cli.output import print_json, print_rows, say
from kafka_saga.orchestrator.cli.progress import progress_bar
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.operations.acts.asking import wanted_by
from kafka_saga.orchestrator.operations.acts.bulk import Bulk, BulkRun, bulk_acts
from kafka_saga.orchestrator.operations.acts.choosing import Chosen, Frozen, Wanted, choose, choose_ids
from kafka_saga.orchestrator.operations.acts.following import Result
from kafka_saga.orchestrator.operations.acts.telling import bulk_document, chosen_document
from kafka_saga.orchestrator.store.act_queue import ActQueue
from kafka_saga.orchestrator.store.port import QueuedAct
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.wording import counted

SAMPLE = 10
"""Sagas shown before the question; the whole list is `--dry-run -o jsonl`."""


@Parameter(name="*", group=Group("Many sagas at once", sort_key=2))
@dataclass(frozen=True, slots=True)
class BulkFlags:
    """Which sagas, instead of one id; and how they are acted on."""

    which: FilterFlags = ANY
    ids: Annotated[
        str | None,
        Parameter(help="A file of ids, or `saga list -o jsonl`'s lines; - is stdin", allow_leading_hyphen=True),
    ] = None
    every: Annotated[
        bool, Parameter(name="--all", negative="", show_default=False, help="Every saga that the verb is for")
    ] = False
    limit: Annotated[
        int | None, Parameter(name=["--limit", "-n"], help="The oldest so many", validator=Number(gte=1))
    ] = None
    dry_run: Annotated[bool, Parameter(negative="", show_default=False, help="Show the list, send nothing")] = False
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", show_default=False, help="Do not ask")] = False
    bulk_id: Annotated[str | None, Parameter(help="The id of an earlier run: go on with it, send nothing twice")] = None

    @property
    def given(self) -> bool:
        """Whether any of them was."""
        return any(getattr(self, item.name) != item.default for item in fields(self))

    @property
    def filters(self) -> bool:
        """Whether they say which sagas, other than by a list."""
        return self.which.said.narrows or self.every or self.limit is not None

    @property
    def chooses(self) -> bool:
        """Whether they say which sagas."""
        return self.ids is not None or self.filters

    def wanted(self, verb: EventKind, saga_type: str | None, step: str | None, now: int) -> Wanted:
        """The filter."""
        return wanted_by(verb, self.which.said, now=now, saga_type=saga_type, step=step, limit=self.limit)


@dataclass(frozen=True, slots=True)
class Many:
    """A verb for many sagas: what was asked for, and which sagas. `step` is where they must stand."""

    asked: Asked
    bulk: BulkFlags
    step: str | None


def act_on_many(many: Many) -> int:
    """Freeze the list, show it, ask, send, follow, count; the exit code.

    Raises:
        UsageError: the flags do not say which sagas, or nobody is there to be asked.

    """
    _check(many)
    return asyncio.run(_act_on_many(many))


def _check(many: Many) -> None:
    flags, bulk, verb = many.asked.flags, many.bulk, many.asked.word
    if not (bulk.chooses or many.asked.saga_type or many.step):
        raise UsageError(f"say which sagas: `saga {verb} ID`, or a filter, or --all; see saga {verb} --help")
    if flags.act_id is not None or flags.if_state is not None or flags.if_version is not None:
        raise UsageError("--act-id, --if-state and --if-version are for one saga; a bulk act has --bulk-id and --state")
    step_filters = many.step is not None and "step" not in many.asked.arguments
    if bulk.ids is not None and (bulk.filters or step_filters):
        raise UsageError("--ids is the list: no other filter goes with it, except --type")
    if not (bulk.yes or bulk.dry_run):
        check_terminal()  # before a long list is read for nothing


async def _act_on_many(many: Many) -> int:
    reader = await StoreReader.open(many.asked.settings.store_at, sight_of(many.asked.settings))
    try:
        frozen = await _freeze(many, reader, SystemClock().now_ms())
        _show(many, frozen)
        if many.bulk.dry_run or not frozen.chosen:
            return EXIT_PARTLY_FAILED if frozen.missing else 0
        if not confirmed_many(many.asked.word, len(frozen.chosen), yes=many.bulk.yes):
            say("nothing was sent")
            return 1
        bulk_id = many.bulk.bulk_id or new_id()[:12]
        acts = bulk_acts(bulk_id, many.asked.act(), frozen.chosen)
        done = await _run(many, reader, bulk_id, acts)
    finally:
        await reader.close()
    return _report(many, bulk_id, frozen, done)


async def _freeze(many: Many, reader: StoreReader, now: int) -> Frozen:
    registry = registry_of(many.asked.settings)
    if many.bulk.ids is not None:
        return await choose_ids(reader, registry, _lines(many.bulk.ids), many.asked.saga_type)
    return await choose(reader, registry, many.bulk.wanted(many.asked.verb, many.asked.saga_type, many.step, now))


def _lines(source: str) -> Iterable[str]:
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return raw.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {source}: {error}") from error


def _show(many: Many, frozen: Frozen) -> None:
    """The count and a sample; a dry run for programs prints the whole list."""
    chosen = frozen.chosen
    if many.bulk.dry_run and many.asked.output != "table":
        print_rows(many.asked.output, [], map(chosen_document, chosen))
        return
    word = many.asked.word
    unknown = f"; there is no saga for {counted(len(frozen.missing), 'id')}" if frozen.missing else ""
    say(f"{word}: {counted(len(chosen), 'saga')}{unknown}")
    if chosen and not many.bulk.yes:
        print_rows("table", ["saga", "type", "status", "error"], map(_line, chosen[:SAMPLE]))
        if len(chosen) > SAMPLE:
            say(f"… and {len(chosen) - SAMPLE:,} more: --dry-run -o jsonl prints all")


async def _run(many: Many, reader: StoreReader, bulk_id: str, acts: Sequence[QueuedAct]) -> Bulk:
    bar = progress_bar()
    follow = not many.asked.flags.no_wait
    task = bar.add_task(many.asked.word, total=len(acts))

    def progress(bulk: Bulk) -> None:
        bar.update(task, completed=bulk.settled if follow else bulk.sent + bulk.known)

    clock = SystemClock()
    holder = partial(reader.owners.now, clock)
    queue = await ActQueue.open(many.asked.settings.store_at)
    if await holder() is None:
        say("no orchestrator runs on this store: acts wait there, and are taken when one starts")
    try:
        with bar:
            running = BulkRun(reader, queue, clock, holder, many.asked.flags.timeout, progress)
            return await running.run(acts, follow=follow)
    except asyncio.CancelledError:
        say(f"stopped; what was sent is sent. Go on with the rest: --bulk-id {bulk_id}")
        raise
    finally:
        await queue.close()


def _report(many: Many, bulk_id: str, frozen: Frozen, bulk: Bulk) -> int:
    document = bulk_document(bulk_id, bulk, frozen.missing, followed=not many.asked.flags.no_wait)
    counts = {result.value: document[result.value] for result in Result}
    if many.asked.output != "table":
        print_json(document)
    else:
        _print_report(bulk, counts, document["notDone"], frozen.missing)
        say(f"bulk id {bulk_id}: `saga acts --bulk-id {bulk_id}` lists its acts; --bulk-id {bulk_id} goes on with it")
    if counts["failed"] or counts["refused"] or frozen.missing:
        return EXIT_PARTLY_FAILED
    if counts["waiting"] and not many.asked.flags.no_wait:
        unattended = any(standing.unattended for standing in bulk.standings.values())
        return EXIT_UNAVAILABLE if unattended else EXIT_TIMED_OUT
    return 0


def _print_report(bulk: Bulk, counts: dict[str, int], wrong: Sequence[dict[str, Any]], missing: Sequence[str]) -> None:
    rows = [{"result": "sent", "sagas": bulk.sent}]
    if bulk.known:
        rows.append({"result": "sent before", "sagas": bulk.known})
    rows += [{"result": name, "sagas": count} for name, count in counts.items() if count or name == "succeeded"]
    if missing:
        rows.append({"result": "not found", "sagas": len(missing)})
    print_rows("table", ["result", "sagas"], rows)
    for row in wrong[:SAMPLE]:
        say(f"  {row['sagaId']}: {row['result']}: {row['message']}")
    if len(wrong) > SAMPLE:
        say(f"  … and {len(wrong) - SAMPLE:,} more: -o json lists all")


def _line(chosen: Chosen) -> dict[str, Any]:
    ref = chosen.ref
    return {"saga": ref.saga_id, "type": ref.saga_type, "status": chosen.status, "error": chosen.error}
