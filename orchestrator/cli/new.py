"""`saga new`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kafka_saga.orchestrator.cli.output import say
from kafka_saga.orchestrator.cli.scaffold import write_project


def new(
    name: Annotated[Path, Parameter(help="The folder to make; its last part names the saga, e.g. booking")],
    /,
) -> None:
    """Write a project of your own: a saga, two services with their tables, tests, and a Makefile.

    Examples:
        saga new booking && cd booking && make test && make run

    """
    for path in write_project(name):
        say(f"wrote {path}")
    say(f"next: cd {shlex.quote(str(name))} && make test && make run")
