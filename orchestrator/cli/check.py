"""`saga check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.edge import EXIT_FAILED
from kafka_saga.orchestrator.cli.offered import offered
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, ParticipantFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_rows, say
from kafka_saga.orchestrator.operations.checks.fitting import Mismatch, compare
from kafka_saga.runtime.errors import UsageError

_FOUND = "found, and what to do"


def check(
    *,
    participant: ParticipantFlag = None,
    allow_unused: Annotated[
        bool, Parameter(negative="", help="Handlers that no saga here sends are fine: other sagas use them")
    ] = False,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Compare sagas and participants before they run: whether all that is sent finds a handler that fits.

    Found are commands that nobody handles, handlers that no saga sends, names that differ by a typo, replies and models
    that differ on both sides, actions registered as compensations. Exit 1 where something is wrong or unused; notes
    are fine. Services in other languages are only noted. No broker and no store is needed.

    Examples:
        saga check
        saga check --app shop.sagas --participant shop.seats:seats --participant shop.wallet:wallet
        saga check -o jsonl | jq 'select(.verdict == "wrong")'

    """
    settings = common.settings(participants=participant)
    registry = registry_of(settings)
    participants = [found.participant for found in offered(settings, registry)]
    if not participants:
        raise UsageError(
            f"there is nothing to compare with: name the participants of {', '.join(registry.services)} with "
            "--participant module:object, or as participants = [...] in saga.toml"
        )
    found = compare(registry, participants, handler_timeout_ms=settings.handler_timeout_ms)
    _print(found, output)
    sagas = ", ".join(f"{saga.saga_type} v{saga.version}" for saga in registry)
    names = ", ".join(participant.name for participant in participants)
    say(f"{sagas} with {names}: {_summary(found)}")
    bad = {"wrong"} if allow_unused else {"wrong", "unused"}
    return EXIT_FAILED if any(item.verdict in bad for item in found) else 0


def _print(found: Sequence[Mismatch], output: OutputFlag) -> None:
    """A row for each; no table where there is none."""
    if output != "table":
        print_rows(output, [], [asdict(item) for item in found])
    elif found:
        rows = [{"": item.verdict, "command": item.subject, _FOUND: _told(item)} for item in found]
        print_rows("table", ["", "command", _FOUND], rows, prose=(_FOUND,))


def _told(item: Mismatch) -> str:
    steps = f" ({', '.join(item.steps)})" if item.steps else ""
    return f"{item.found}; {item.remedy}{steps}"


def _summary(found: Sequence[Mismatch]) -> str:
    counts = Counter(item.verdict for item in found)
    notes = "1 note" if counts["note"] == 1 else f"{counts['note']} notes"
    parts = [f"{counts['wrong']} wrong", f"{counts['unused']} unused", notes]
    return ", ".join(part for part in parts if not part.startswith("0 ")) or "everything fits"
