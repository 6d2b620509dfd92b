"""`saga health`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_json
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.runtime.probe import ask, judge, look


def health(
    name: Annotated[
        str | None, Parameter(help="orchestrator, or a service's name [default: all that have this data directory]")
    ] = None,
    *,
    live: Annotated[bool, Parameter(negative="", help="Only whether it is alive: for liveness probes")] = False,
    at: Annotated[str | None, Parameter(help="Ask the process that serves HOST:PORT (--admin-port) instead")] = None,
    exec_: Annotated[
        bool, Parameter(name="--exec", negative="", help="Print nothing, only exit by it: for exec probes")
    ] = False,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Say whether the processes here are alive and ready.

    Every process writes a note of itself into its data directory every two seconds, which this command reads: an exec
    probe needs no port. Exit codes: 0 ready, 1 not ready or not alive, 3 there is no such process, 5 --at is not
    reachable. Without the command line installed: `python -m kafka_saga.runtime.probe DATA_DIRECTORY`.

    Examples:
        saga health

        saga health payment --live --exec

        saga health --at 127.0.0.1:9464

    """
    if at is not None:
        code, text = ask(at, live_only=live)
        if not exec_:
            (sys.stdout if code in {0, 1} else sys.stderr).write(text)
        return code
    folder = common.settings().data_dir
    found = look(folder, name)
    if exec_:
        return judge(found, live_only=live)
    if not found:
        raise NotFoundError(f"no {name or 'process of ours'} has {folder} as its data directory")
    rows: list[dict[str, Any]] = [
        {"process": seen.process, "alive": seen.is_alive, "ready": seen.is_ready, "silentMs": seen.silent_ms}
        | {"admin": seen.admin, "findings": seen.findings}
        for seen in found
    ]
    if output == "table":
        sys.stdout.write("".join(f"{seen.in_words()}\n" for seen in found))
    for document in [rows] if output == "json" else rows if output == "jsonl" else []:
        print_json(document)
    return judge(found, live_only=live)
