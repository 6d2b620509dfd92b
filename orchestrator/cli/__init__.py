"""The `saga` command."""

from __future__ import annotations

import os
import signal
import sys

from kafka_saga.orchestrator.cli.streams import prepare_streams
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.extras import require

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def main() -> None:
    """Run the command line."""
    end_at_sigterm_as_first_process()
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


def end_at_sigterm_as_first_process() -> None:
    """Have SIGTERM end us before the command heeds it: without a handler a container's first process never sees it."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))


def check_interpreter() -> None:
    """Refuse to go on without assertions."""
    if not __debug__:
        _refuse("refuses to run under python -O: its assertions guard your data")


def _refuse(message: str) -> None:
    sys.stderr.write(f"saga: {message}\n")
    raise SystemExit(EXIT_USAGE)
