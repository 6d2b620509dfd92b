"""`saga dlq redrive` and `saga dlq discard`."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from kafka_saga.orchestrator.cli.asking import confirmed
from kafka_saga.orchestrator.cli.edge import EXIT_FAILED, EXIT_PARTLY_FAILED
from kafka_saga.orchestrator.cli.letters import LETTERS, LetterFlags
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_json, print_rows, say
from kafka_saga.orchestrator.cli.progress import progress_bar
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.operations.dead_letters import redriving
from kafka_saga.orchestrator.operations.dead_letters.marks import parse_position
from kafka_saga.orchestrator.operations.dead_letters.noting import note_handled
from kafka_saga.orchestrator.operations.dead_letters.redriving import Author, Plan, plan_for
from kafka_saga.orchestrator.operations.dead_letters.reporting import report
from kafka_saga.orchestrator.store.location import may_be_there
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.runtime.errors import RefusedError, UnavailableError, UsageError
from kafka_saga.runtime.limits import DEAD_LETTERS_PER_RUN_MAX
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.runtime.user import this_user

SHOWN_MAX = 10

Position = Annotated[
    str | None,
    Parameter(help="Only the one at topic/partition/offset, as `saga dlq list` prints it", show_default=False),
]
Limit = Annotated[
    int,
    Parameter(name=["--limit", "-n"], help="The oldest so many", validator=Number(gte=1, lte=DEAD_LETTERS_PER_RUN_MAX)),
]
Actor = Annotated[str | None, Parameter(name="--actor", help="Who does it [default: you@this-host]")]
DryRun = Annotated[bool, Parameter(negative="", help="Say what would be done, and do nothing", show_default=False)]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask", show_default=False)]


def redrive(
    position: Position = None,
    /,
    *,
    chosen: LetterFlags = LETTERS,
    limit: Limit = 1_000,
    again: Annotated[
        bool, Parameter(negative="", help="With a position: although it was handled before", show_default=False)
    ] = False,
    force: Annotated[
        bool, Parameter(negative="", help="However often they came back already", show_default=False)
    ] = False,
    reason: Annotated[str, Parameter(help="Why, for the record")] = "",
    who: Actor = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Send open dead letters to their original topics again, oldest first, and note it.

    Each goes as it was, with its key, value and headers; `dlq_replay_count` is raised. One that cannot be read again
    comes back as a new dead letter. A command that is interrupted goes on where it was when it is repeated. Exit code
    4: all were refused; 6: some were refused or failed.

    Examples:
        saga dlq redrive --dry-run                           # what would go, by topic and cause
        saga dlq redrive dlq.order.requests/0/17
        saga dlq redrive --topic order.requests --cause bad_schema --since 2h --reason "model mended" --yes
        saga dlq redrive --saga order-123 --force

    """
    if again and position is None:
        raise UsageError("--again is for one dead letter: give its position, from `saga dlq list --all`")
    settings = _begin(position, chosen, common)
    wanted = chosen.filter(settings) if position is None else parse_position(position)
    plan = asyncio.run(plan_for(settings.kafka, settings.topics, "redriven", wanted, limit, again=again, force=force))
    return _carry_out(
        settings, plan, Author(who or this_user(), reason), output, dry_run=dry_run, yes=yes or position is not None
    )


def discard(
    position: Position = None,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why, for the record")],
    chosen: LetterFlags = LETTERS,
    limit: Limit = 1_000,
    who: Actor = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Note that open dead letters need nothing more: they are listed with --all only.

    Kafka cannot delete a record: a discarded one stays until its topic's retention removes it.

    Examples:
        saga dlq discard dlq.order.requests/0/17 --reason "a test of ours"
        saga dlq discard --cause unknown_saga --until 7d --reason "of the store we gave up" --yes

    """
    if not reason.strip():
        raise UsageError("--reason is empty: say why, somebody will want to know")
    settings = _begin(position, chosen, common)
    wanted = chosen.filter(settings) if position is None else parse_position(position)
    plan = asyncio.run(plan_for(settings.kafka, settings.topics, "discarded", wanted, limit))
    return _carry_out(
        settings, plan, Author(who or this_user(), reason), output, dry_run=dry_run, yes=yes or position is not None
    )


def _begin(position: str | None, chosen: LetterFlags, common: SettingFlags) -> Settings:
    if position is not None and chosen != LETTERS:
        raise UsageError("give a position, or say which dead letters, not both")
    settings = common.settings()
    configure_logging(process="dlq", level="error")
    return settings


def _carry_out(settings: Settings, plan: Plan, author: Author, output: str, *, dry_run: bool, yes: bool) -> int:
    if not plan.letters and not plan.refused and output == "table":
        say("there are no open dead letters of that kind; `saga dlq list --all` shows handled ones")
        return 0
    if output == "table":
        print_rows("table", ["topic", "cause", plan.verdict, "refused"], plan.counts())
        _say_refused(plan)
    left = plan.total - len(plan.letters) - len(plan.refused)
    if left:
        say(f"the oldest {plan.total - left:,} of {plan.total:,}; the others next time, or with a higher --limit")
    if dry_run:
        _report(plan, None, output)
        return 0
    noun = "dead letter" if len(plan.letters) == 1 else "dead letters"
    verb = "send again" if plan.verdict == "redriven" else "discard"
    if plan.letters and not confirmed(f"{verb} {len(plan.letters):,} {noun}?", yes=yes):
        say("nothing was done")
        return EXIT_FAILED
    progress = asyncio.run(_run(settings, plan, author))
    _report(plan, progress, output)
    if plan.refused and not plan.letters:
        return RefusedError.exit_code
    return EXIT_PARTLY_FAILED if plan.refused or progress.failed else 0


async def _run(settings: Settings, plan: Plan, author: Author) -> redriving.Progress:
    bar = progress_bar(worth_it=len(plan.letters) > 1)
    task = bar.add_task("redriving" if plan.verdict == "redriven" else "discarding", total=len(plan.letters))

    def show(progress: redriving.Progress) -> None:
        bar.update(task, completed=progress.handled + len(progress.failed))

    work = redriving.redrive if plan.verdict == "redriven" else redriving.discard
    clock = SystemClock()
    with bar:
        progress = await work(settings.kafka, settings.topics, plan, author=author, clock=clock, on_progress=show)
    if may_be_there(settings.store_at):
        try:
            act_id, now = new_id(), clock.now_ms()
            await note_handled(settings.store_at, author, plan.verdict, progress, act_id=act_id, now=now)
        except UnavailableError as error:
            say(f"it is not kept among the acts, only with the dead letters: {error}")
    return progress


def _say_refused(plan: Plan) -> None:
    for letter, why in plan.refused[:SHOWN_MAX]:
        say(f"refused: {letter['position']}: {why}")
    if len(plan.refused) > SHOWN_MAX:
        say(f"and {len(plan.refused) - SHOWN_MAX:,} more; -o json has all")


def _report(plan: Plan, progress: redriving.Progress | None, output: str) -> None:
    failed = [] if progress is None else progress.failed
    if output != "table":
        print_json(report(plan, progress))
        return
    for position, why in failed[:SHOWN_MAX]:
        say(f"failed: {position}: {why}")
    if progress is None:
        say(f"dry run: {len(plan.letters):,} would be {plan.verdict}, {len(plan.refused):,} refused")
    else:
        say(f"{progress.handled:,} {plan.verdict}, {len(plan.refused):,} refused, {len(failed):,} failed")
        if plan.verdict == "redriven" and progress.handled:
            say("what cannot be read even now comes back as a new dead letter: `saga dlq list`")
