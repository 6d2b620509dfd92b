"""`python -m kafka_saga.orchestrator.cli.leash …` is the `saga` command, on a leash.

It stops when its standard input ends, which is when the process that started it is gone, however it went. So a
supervisor that is killed with SIGKILL leaves nothing behind either.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

STOP_TIMEOUT_S = 15
_STANDARD_INPUT = 0


def hold(ended: threading.Event) -> None:
    """Wait for the end of standard input, then stop this process: first politely."""
    while os.read(_STANDARD_INPUT, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    if not ended.wait(STOP_TIMEOUT_S):
        os._exit(1)


def main() -> None:
    """Run `saga` with the arguments given."""
    ended = threading.Event()
    threading.Thread(target=hold, args=(ended,), name="leash", daemon=True).start()
    from kafka_saga.orchestrator.cli import main as saga  # noqa: PLC0415 -- the leash holds while it is being imported, too

    sys.argv[0] = "saga"
    try:
        saga()
    finally:
        ended.set()


if __name__ == "__main__":
    main()
