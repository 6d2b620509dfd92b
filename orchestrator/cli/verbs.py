"""`saga retry`, `saga skip`, `saga cancel` and `saga resolve`: what an operator may do to a saga (R25)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from kafka_saga.orchestrator.cli.acting import ActFlags, Asked, act_on_saga
from kafka_saga.orchestrator.cli.bulk import BulkFlags, Many, act_on_many
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.operations.acts.asking import check_asked
from kafka_saga.runtime.errors import ContractError, UsageError
from kafka_saga.schemas.codec import decode_object

ACT, ONE = ActFlags(), BulkFlags()

Type = Annotated[str | None, Parameter(name="--type", help="Its type, where several have the id; or only this type")]
MaybeSagaId = Annotated[str | None, Parameter(help="The saga's id, or its beginning; without one, say which sagas")]
StandingAt = Annotated[str | None, Parameter(help="With a filter: only sagas that stand at this step")]


def retry(
    saga_id: MaybeSagaId = None,
    /,
    *,
    step: Annotated[str | None, Parameter(help="Refuse unless the saga stands at this step")] = None,
    saga_type: Type = None,
    act: ActFlags = ACT,
    bulk: BulkFlags = ONE,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Send the command of a saga's step again, now: skip the backoff, or go on with what is parked.

    It has succeeded when the step's reply is in; exit 1 when the step fails again.

    Examples:
        saga retry order-123
        saga retry order-123 --step process_payment --reason "card processor is back"
        saga retry --cause compensation_failed --step process_payment --dry-run
        saga retry --cause compensation_failed --older-than 1h --limit 100 --yes
        saga list --state parked -n 500 -o jsonl | saga retry --ids - --yes

    """
    asked = Asked(common.settings(), EventKind.RETRY_NOW, saga_type, act, output, {"step": step})
    return _do(asked, saga_id, bulk, step)


def skip(
    saga_id: MaybeSagaId = None,
    /,
    *,
    step: Annotated[str, Parameter(help="The step in flight, which was done, or undone, by hand")],
    data: Annotated[
        str | None,
        Parameter(help="Its reply, where later steps take fields of it: JSON, or @FILE", allow_leading_hyphen=True),
    ] = None,
    saga_type: Type = None,
    act: ActFlags = ACT,
    bulk: BulkFlags = ONE,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Mark the step in flight as done, or as undone where it is being undone: somebody did it by hand.

    The saga goes on as if the reply had come. Where a later step takes fields of the reply, give them as --data.

    Examples:
        saga skip order-123 --step process_payment --data '{"charge_id": "ch-77"}' --reason "charged by phone"
        saga skip order-123 --step create_order --data @reply.json
        saga skip --step release_room --state parked --type booking --dry-run

    """
    arguments = {"step": step, "data": _read(data)}
    return _do(Asked(common.settings(), EventKind.SKIP, saga_type, act, output, arguments), saga_id, bulk, step)


def cancel(
    saga_id: MaybeSagaId = None,
    /,
    *,
    step: StandingAt = None,
    saga_type: Type = None,
    act: ActFlags = ACT,
    bulk: BulkFlags = ONE,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Undo a running saga: the step in flight and everything before it.

    Refused once the saga has completed, or has passed its point of no return. Exit 1 when undoing ends parked.

    Examples:
        saga cancel order-123 --reason "the customer called"
        saga cancel order-123 --no-wait
        saga cancel --type order --state running --older-than 2h --dry-run
        saga cancel --ids ids.txt --yes

    """
    if saga_id is not None and step is not None:
        raise UsageError("a cancel undoes the whole saga: --step only goes with a filter")
    return _do(Asked(common.settings(), EventKind.CANCEL, saga_type, act, output, {}), saga_id, bulk, step)


def resolve(
    saga_id: MaybeSagaId = None,
    /,
    *,
    outcome: Annotated[Literal["compensated", "completed"], Parameter(name="--as", help="How you settled it")],
    step: StandingAt = None,
    saga_type: Type = None,
    act: ActFlags = ACT,
    bulk: BulkFlags = ONE,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """End a parked saga: a person has settled it outside, and says how. Nothing more is sent. Needs a --reason.

    Examples:
        saga resolve order-123 --as compensated --reason "refunded at the counter, ticket 4711"
        saga resolve --as compensated --cause fence_expired --older-than 30d --reason "audit of May" --dry-run

    """
    arguments = {"as": outcome}
    check_asked(EventKind.RESOLVE, act.reason, arguments)
    if saga_id is not None and step is not None:
        raise UsageError("a resolve ends the whole saga: --step only goes with a filter")
    return _do(Asked(common.settings(), EventKind.RESOLVE, saga_type, act, output, arguments), saga_id, bulk, step)


def _do(asked: Asked, saga_id: str | None, bulk: BulkFlags, step: str | None) -> int:
    if saga_id is None:
        return act_on_many(Many(asked, bulk, step))
    if bulk.given:
        raise UsageError("give one saga's id, or say which sagas with a filter: not both")
    return act_on_saga(asked, saga_id)


def _read(data: str | None) -> dict[str, Any] | None:
    """`--data` as a JSON object."""
    if data is None:
        return None
    origin = "--data"
    text = data.encode()
    if data.startswith("@"):
        origin = data[1:]
        try:
            text = sys.stdin.buffer.read() if origin == "-" else Path(origin).read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read {origin}: {error.strerror}") from error
    try:
        return decode_object(text)
    except ContractError as error:
        raise UsageError(f"{origin}: {error}") from error
