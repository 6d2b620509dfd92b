"""The `saga` command."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from kafka_saga.orchestrator.cli.streams import prepare_streams

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    prepare_streams()
    check_interpreter()
    missing = [name for name in ("cyclopts", "rich", "ormsgpack") if find_spec(name) is None]
    if missing:
        _refuse(f"the command line needs {', '.join(missing)}: pip install 'kafka-saga[cli]'")
    try:
        from kafka_saga.orchestrator.cli.commands import run  # noqa: PLC0415 -- a participant's machine may lack it

        raise SystemExit(run(sys.argv[1:]))
    except KeyboardInterrupt:  # pressed before the command had begun
        raise SystemExit(EXIT_INTERRUPTED) from None


def check_interpreter() -> None:
    """Refuse to go on without assertions."""
    if not __debug__:
        _refuse("refuses to run under python -O: its assertions guard your data")


def _refuse(message: str) -> None:
    sys.stderr.write(f"saga: {message}\n")
    raise SystemExit(EXIT_USAGE)
