"""`saga purge`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from kafka_saga.orchestrator.cli.asking import confirmed
from kafka_saga.orchestrator.cli.options import AS_DURATION, DEFAULTS, SettingFlags
from kafka_saga.orchestrator.cli.output import console, print_json, say
from kafka_saga.orchestrator.cli.progress import progress_bar
from kafka_saga.orchestrator.cli.sagas import read
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.operations.acts.asking import NO_REASON
from kafka_saga.orchestrator.operations.store.purging import compact as compact_store
from kafka_saga.orchestrator.operations.store.purging import purge as purge_sagas
from kafka_saga.orchestrator.store.location import file_of
from kafka_saga.orchestrator.store.retention import Asker, Purge, QueuedPurge
from kafka_saga.runtime.clock import SystemClock, new_id, rfc3339
from kafka_saga.runtime.errors import RefusedError, UsageError
from kafka_saga.runtime.limits import ACT_TEXT_LENGTH_MAX
from kafka_saga.runtime.store_lock import StoreLock
from kafka_saga.runtime.user import this_user
from kafka_saga.runtime.wording import counted

_MEGABYTE = 1_000_000
_NOT_COMPACTED = "free space is used again there, and VACUUM FULL or pg_repack give it back"


def purge(
    *,
    older_than: Annotated[int, AS_DURATION, Parameter(help="Ended longer ago than, e.g. 30d")],
    saga_type: Annotated[str | None, Parameter(name="--type", help="Only of this type")] = None,
    state: Annotated[
        tuple[str, ...],
        Parameter(help="Only those that ended so: COMPLETED, COMPENSATED", negative="", show_default=False),
    ] = (),
    reason: Annotated[str | None, Parameter(help="Why; it is kept among the acts")] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Say how many, and change nothing")] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask", show_default=False)] = False,
    compact: Annotated[
        bool, Parameter(negative="", help="Also make the file smaller; only while no orchestrator runs")
    ] = False,
    json: Annotated[bool, Parameter(negative="", help="One JSON object, for programs")] = False,
    common: SettingFlags = DEFAULTS,
) -> int:
    """Delete finished sagas with their logs; what has not ended stays, however old.

    Of each its id, the hash of its request and how it ended are kept for a while: a duplicate of its request is
    still a duplicate. A running orchestrator does the work between its batches; where none runs, this command does.
    The orchestrator also purges by itself what is older than the setting `retention_days`.

    Examples:
        saga purge --older-than 30d --dry-run                  # how many are there?
        saga purge --older-than 30d --yes
        saga purge --older-than 7d --state COMPLETED --type order
        saga purge --older-than 90d --yes --compact            # and give the space back to the disk

    """
    if reason is not None and not 0 < len(reason) <= ACT_TEXT_LENGTH_MAX:
        raise UsageError(f"the reason must have 1 to {ACT_TEXT_LENGTH_MAX} characters")
    settings = common.settings()
    now = SystemClock().now_ms()
    wanted = Purge(now - older_than, saga_type, _states(state))
    path = file_of(settings.store_at, _NOT_COMPACTED) if compact and not dry_run else None
    if path is not None:
        _check_unused(path)
    count = read(settings, lambda reader: reader.count_purgeable(wanted))
    if dry_run or not count:
        _report(json, wanted, {"purgeable": count, "purged": 0})
    elif not confirmed(f"purge {counted(count, 'saga')} that ended before {rfc3339(wanted.ended_before)}?", yes=yes):
        say("nothing was changed")
        return 1
    else:
        asker = Asker(this_user(), reason or NO_REASON)
        _report(json, wanted, {"purgeable": count, "purged": _purge(settings, wanted, asker, count)})
    if path is not None:
        before, after = asyncio.run(compact_store(path, SystemClock()))
        say(f"the store's file: {before / _MEGABYTE:,.1f} MB before, {after / _MEGABYTE:,.1f} MB now")
    return 0


def _check_unused(path: Path) -> None:
    if (holder := StoreLock(path).holder()) is not None:
        raise RefusedError(f"{holder} has the store: stop it, then use --compact; free space is used again anyway")


def _states(words: tuple[str, ...]) -> frozenset[SagaState]:
    names = {name.strip().upper() for word in words for name in word.split(",") if name.strip()}
    unknown = names - {state.value for state in TERMINAL}
    if unknown:
        raise UsageError(f"--state takes COMPLETED and COMPENSATED, not {', '.join(sorted(unknown))}: only what ended")
    return frozenset(SagaState(name) for name in names) or TERMINAL


def _purge(settings: Settings, wanted: Purge, asker: Asker, count: int) -> int:
    bar = progress_bar()
    task = bar.add_task("purging", total=count)
    queued = QueuedPurge(new_id(), wanted)
    with bar:
        return asyncio.run(
            purge_sagas(
                settings.store_at,
                queued,
                asker,
                SystemClock(),
                on_progress=lambda done: bar.update(task, completed=done),
            )
        )


def _report(as_json: bool, wanted: Purge, figures: dict[str, Any]) -> None:
    if as_json:
        print_json({"endedBefore": rfc3339(wanted.ended_before), **figures})
    elif figures["purged"]:
        console().print(f"{counted(figures['purged'], 'saga')} purged")
    else:
        console().print(f"{counted(figures['purgeable'], 'saga')} ended before {rfc3339(wanted.ended_before)}")
