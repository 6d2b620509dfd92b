"""The parts of the test, each timed; a failure is told with the time it took, and ends the run."""

from __future__ import annotations

import sys
import time  # noqa: TID251 -- it measures real time
from collections.abc import Callable


class Parts:
    """What was done so far, and how long each part took."""

    def __init__(self) -> None:
        self._times: list[tuple[str, float]] = []

    def play(self, name: str, act: Callable[[], str | None]) -> None:
        """Do one part; what it returns is said beside its time."""
        print(f"== {name}", flush=True)
        began = time.monotonic()
        try:
            said = act()
        finally:
            self._times.append((name, time.monotonic() - began))
        if said:
            print(f"   {said}", flush=True)

    def show(self) -> None:
        """The table of times."""
        print("== times")
        for name, took in self._times:
            print(f"{name:<34} {took:6.1f} s")
        print(f"{'all':<34} {sum(took for _, took in self._times):6.1f} s")
        sys.stdout.flush()
