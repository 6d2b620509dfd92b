"""`saga schemas`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.edge import EXIT_FAILED
from kafka_saga.orchestrator.cli.options import DEFAULTS, SettingFlags
from kafka_saga.orchestrator.cli.output import say
from kafka_saga.orchestrator.contract import contract_files, newest, stale, write
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.wording import counted

app = cyclopts.App(name="schemas", help="Export the contract: JSON Schemas and AsyncAPI.")


@app.command
def export(
    directory: Annotated[Path, Parameter(help="Where to write; created where it is missing")],
    /,
    *,
    check: Annotated[
        bool, Parameter(negative="", help="Write nothing; exit 1 where a file is out of date", show_default=False)
    ] = False,
    common: SettingFlags = DEFAULTS,
) -> int:
    """Write a JSON Schema of each message and one AsyncAPI document: what services in other languages need.

    Examples:
        saga schemas export contract
        saga schemas export contract --app shop.sagas --prefix shop.
        saga schemas export contract --check    # in CI: is what is committed what the code says?

    """
    settings = common.settings()
    files = contract_files(newest(registry_of(settings)), settings.topics)
    try:
        wrong = stale(directory, files)
        if not check:
            directory.mkdir(parents=True, exist_ok=True)
            write(directory, files)
    except OSError as error:
        raise UsageError(f"cannot write to {directory}: {error.strerror}") from error
    if check:
        for path in wrong:
            say(f"out of date: {path}")
        return EXIT_FAILED if wrong else 0
    say(f"wrote {counted(len(files), 'file')} to {directory}/, {len(wrong)} of them new or changed")
    return 0
