"""The `saga` command."""

from __future__ import annotations

import sys
from importlib.util import find_spec

EXIT_USAGE = 2


def main() -> None:
    """Run the command line."""
    check_interpreter()
    missing = [name for name in ("cyclopts", "rich", "ormsgpack") if find_spec(name) is None]
    if missing:
        _refuse(f"the command line needs {', '.join(missing)}: pip install 'kafka-saga[cli]'")
    from kafka_saga.orchestrator.cli.commands import run  # noqa: PLC0415 -- a participant's machine may lack cyclopts

    raise SystemExit(run(sys.argv[1:]))


def check_interpreter() -> None:
    """Refuse to go on without assertions."""
    if not __debug__:
        _refuse("refuses to run under python -O: its assertions guard your data")


def _refuse(message: str) -> None:
    sys.stderr.write(f"saga: {message}\n")
    raise SystemExit(EXIT_USAGE)
