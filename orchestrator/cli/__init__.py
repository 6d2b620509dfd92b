"""The `saga` command."""

from __future__ import annotations

import sys

from kafka_saga.orchestrator.cli.streams import prepare_streams
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.extras import require

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    prepare_streams()
    check_interpreter()
    try:
        require("cli", "the command line")
    except ConfigError as error:
        _refuse(str(error))
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
