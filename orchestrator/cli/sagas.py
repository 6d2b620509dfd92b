"""`saga show` and `saga log`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter
from rich.console import Console

from orchestrator.app import registry_of
from orchestrator.cli.options import DEFAULTS, Common, Output
from orchestrator.cli.output import clock, print_json, print_rows, styled
from orchestrator.config import Settings
from orchestrator.operations.show import LogRow, Shown, read_log
from orchestrator.operations.show import show as show_saga
from orchestrator.store.reader import StoreReader

Result = TypeVar("Result")
SagaId = Annotated[str, Parameter(help="The saga's id, e.g. order-123")]
SagaType = Annotated[str | None, Parameter(name="--type", help="Its type, where several types have the id")]
OutputFlag = Annotated[Output, Parameter(name=["--output", "-o"], help="table for people, json or jsonl for programs")]


def show(
    saga_id: SagaId,
    *,
    saga_type: SagaType = None,
    output: OutputFlag = "table",
    common: Common = DEFAULTS,
) -> None:
    """Show one saga: its record, and where it stands in one sentence.

    Examples:
        saga show order-123

        saga show order-123 -o json | jq .stepsCompensated

    """
    settings = common.settings()
    shown = read(settings, lambda reader: show_saga(reader, registry_of(settings), saga_id, saga_type))
    if output == "table":
        _print_record(shown)
    else:
        print_json(shown.record)


def log(
    saga_id: SagaId,
    *,
    every_row: Annotated[bool, Parameter(name="--all", negative="", help="Every row: attempts, retries, acts")] = False,
    saga_type: SagaType = None,
    output: OutputFlag = "table",
    common: Common = DEFAULTS,
) -> None:
    """Show what happened to each step of one saga, in order.

    Examples:
        saga log order-123

        saga log order-123 --all

    """
    settings = common.settings()
    rows = read(
        settings, lambda reader: read_log(reader, registry_of(settings), saga_id, saga_type, every_row=every_row)
    )
    columns = ["seq", "at", "step", "name", "status", "attempt", "detail"]
    print_rows(output, columns, (_log_row(row, output) for row in rows))


def read(settings: Settings, question: Callable[[StoreReader], Awaitable[Result]]) -> Result:
    """Ask the store something, beside the orchestrator that owns it."""

    async def asked() -> Result:
        reader = await StoreReader.open(settings.store_path)
        try:
            return await question(reader)
        finally:
            await reader.close()

    return asyncio.run(asked())


def _print_record(shown: Shown) -> None:
    console = Console()
    saga = shown.saga
    version = f"{saga.ref.saga_type} v{saga.definition_version}"
    console.print(f"[bold]{saga.ref.saga_id}[/]  {version}  {styled(shown.record['state'])}  {shown.status}")
    console.print(shown.sentence, highlight=False, markup=False)
    for name in ("currentStep", "stepsExecuted", "stepsCompensated", "error"):
        console.print(f"  {name:<17} {shown.record[name]}", highlight=False, markup=False)
    if shown.definition is not None:
        for number, (step, state) in enumerate(zip(shown.definition.steps, saga.steps, strict=True), 1):
            console.print(f"  {number}. {step.name:<22} {step.service:<12} {styled(state.status.value)}")


def _log_row(row: LogRow, output: Output) -> dict[str, Any]:
    entry = row.entry
    if output != "table":
        return {
            "seq": entry.seq,
            "at": entry.at,
            "step": row.number,
            "name": entry.step,
            "status": entry.status.value,
            "attempt": entry.attempt,
            "detail": dict(entry.detail),
        }
    detail = entry.detail
    said = detail.get("error") or detail.get("why") or detail.get("note") or detail.get("body", {}).get("error") or ""
    return {
        "seq": entry.seq,
        "at": clock(entry.at),
        "step": row.number or "",
        "name": entry.step,
        "status": entry.status.value,
        "attempt": entry.attempt or "",
        "detail": said,
    }
