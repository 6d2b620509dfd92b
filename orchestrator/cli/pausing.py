"""`saga pause`, `saga resume` and `saga pauses`: stop one saga, a type or a service, and lose nothing (R25)."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from kafka_saga.orchestrator.cli.acting import ActFlags, Asked, act_on_saga, act_on_scope
from kafka_saga.orchestrator.cli.bulk import BulkFlags, Many, act_on_many
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_rows, say
from kafka_saga.orchestrator.cli.sagas import read
from kafka_saga.orchestrator.cli.verbs import ACT, ONE, MaybeSagaId
from kafka_saga.orchestrator.machine.saga import service_scope, type_scope
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.operations.acts.pausing import PauseRow, list_pauses
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.wording import duration

Type = Annotated[str | None, Parameter(name="--type", help="All sagas of a type; with an id, its type")]
Service = Annotated[str | None, Parameter(help="All commands to a service, of whichever sagas")]


def pause(
    saga_id: MaybeSagaId = None,
    /,
    *,
    saga_type: Type = None,
    service: Service = None,
    running: Annotated[
        bool, Parameter(negative="", show_default=False, help="With --type: stop those under way, too")
    ] = False,
    act: ActFlags = ACT,
    bulk: BulkFlags = ONE,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Stop one saga, a saga type, or all commands to a service. Nothing is lost, and nothing times out.

    What is held sends nothing; replies that come are taken. A paused type begins no sagas, and its requests stay in
    their topic; those under way go on to their end, or stop before their next command with --running.

    Examples:
        saga pause order-123 --reason "fraud desk looks at it"
        saga pause --service payment --reason "card processor's maintenance"
        saga pause --type order
        saga pause --type order --running
        saga pause --state running --older-than 2h --dry-run

    """
    asked = Asked(common.settings(), EventKind.PAUSE, saga_type, act, output, {})
    if running and (saga_type is None or saga_id is not None or bulk.given):
        raise UsageError("--running goes with --type alone: `saga pause --type order --running`")
    return _do(asked, saga_id, service, bulk, under_way=running)


def resume(
    saga_id: MaybeSagaId = None,
    /,
    *,
    saga_type: Type = None,
    service: Service = None,
    act: ActFlags = ACT,
    bulk: BulkFlags = ONE,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Let go on what was paused: the commands that are due go out as there is room, with fresh deadlines.

    Examples:
        saga resume order-123
        saga resume --service payment
        saga resume --type order
        saga resume --all --yes                  # every saga that was paused one by one

    """
    asked = Asked(common.settings(), EventKind.RESUME, saga_type, act, output, {})
    return _do(asked, saga_id, service, bulk)


def pauses(*, output: OutputFlag = "table", common: SettingFlags = DEFAULTS) -> None:
    """List what is paused, by whom, why, and how many sagas it holds.

    Examples:
        saga pauses
        saga list --held                         # the sagas themselves

    """
    found = read(common.settings(), list_pauses)
    if output != "table":
        print_rows(output, [], [row.as_json() for row in found])
        return
    if not found:
        say("nothing is paused")
        return
    now = SystemClock().now_ms()
    rows = [_line(row, now) for row in found]
    print_rows(output, ["what", "since", "by", "holds", "reason"], rows, prose=("reason",))


def _line(row: PauseRow, now: int) -> dict[str, Any]:
    if row.pause is None:
        why = "`saga list --held` shows them" if ":" not in row.scope else "resumed: they go on as there is room"
        return {"what": row.what, "holds": row.held, "reason": why}
    hold = row.pause.hold
    return {
        "what": row.what,
        "since": f"{duration(max(0, now - hold.at))} ago",
        "by": hold.actor,
        "holds": row.held,
        "reason": hold.reason if row.pause.under_way else f"{hold.reason} (those under way go on)",
    }


def _do(asked: Asked, saga_id: str | None, service: str | None, bulk: BulkFlags, *, under_way: bool = False) -> int:
    if saga_id is not None:
        if bulk.given or service is not None:
            raise UsageError("give one saga's id, or say what else: not both")
        return act_on_saga(asked, saga_id)
    if service is not None:
        if bulk.given or asked.saga_type is not None:
            raise UsageError("--service stands alone: it is about all commands to that service")
        return act_on_scope(asked, service_scope(service))
    if asked.saga_type is not None and not bulk.given:
        return act_on_scope(asked, type_scope(asked.saga_type), under_way=under_way)
    return act_on_many(Many(asked, bulk, None))
