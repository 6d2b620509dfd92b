"""Whether processes of ours are alive and ready, for exec probes: `python -m kafka_saga.runtime.probe`, `saga health`.

Every process writes a note of itself into its data directory every two seconds. Reading that is all that a probe costs:
no port is needed, and no library is imported. Where a process serves `--admin-port`, it can be asked
there instead, from anywhere.
"""

from __future__ import annotations

import json
import sys
import time  # noqa: TID251 -- a process of its own, which must not import the port for it
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from kafka_saga.runtime.limits import HEARTBEAT_SILENCE_MS_MAX

NOTE_SUFFIX = ".health"
TIMEOUT_S = 2.0

OK, FAILED, NOT_FOUND, UNREACHABLE = 0, 1, 3, 5
"""Exit codes, as all of `saga` has them."""


class Seen(NamedTuple):
    """A process, as its note has it.

    Attributes:
        process: what it is: `orchestrator`, `payment`.
        silent_ms: how long ago it wrote the note.
        findings: by part: whether it is ok, and what was seen.
        admin: where it serves `/livez`, `/readyz` and `/metrics`, if it does.

    """

    process: str
    silent_ms: int
    findings: dict[str, dict[str, Any]]
    admin: str | None

    @property
    def is_alive(self) -> bool:
        """Whether its event loop turns."""
        return self.silent_ms < HEARTBEAT_SILENCE_MS_MAX

    @property
    def is_ready(self) -> bool:
        """Whether it can do its work, too."""
        return self.is_alive and all(finding["ok"] for finding in self.findings.values())

    def in_words(self) -> str:
        """One line."""
        if not self.is_alive:
            return f"{self.process}: not alive: it has said nothing for {self.silent_ms / 1000:.0f} s"
        failed = [f"{name}: {finding['seen']}" for name, finding in self.findings.items() if not finding["ok"]]
        return f"{self.process}: not ready: {'; '.join(failed)}" if failed else f"{self.process}: ready"


def look(folder: Path, process: str | None = None) -> list[Seen]:
    """The processes that have `folder` as their data directory, or the one that is meant."""
    now_ms = time.monotonic_ns() // 1_000_000  # one clock for all processes of a machine
    found = []
    for file in sorted(folder.glob(f"*{NOTE_SUFFIX}")):
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
            seen = Seen(note["process"], now_ms - note["beat_at_ms"], note["findings"], note["admin"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it has ended just now, or is no note of ours
        if process in {None, seen.process, file.name.removesuffix(NOTE_SUFFIX)}:
            found.append(seen)
    return found


def judge(found: list[Seen], *, live_only: bool) -> int:
    """The exit code."""
    if not found:
        return NOT_FOUND
    return OK if all(seen.is_alive if live_only else seen.is_ready for seen in found) else FAILED


def ask(address: str, *, live_only: bool) -> tuple[int, str]:
    """What the process that serves `address` (`http://127.0.0.1:9464`) says of itself: exit code and text."""
    base = address if "://" in address else f"http://{address}"
    url = f"{base.rstrip('/')}/{'livez' if live_only else 'readyz?verbose'}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 -- whoever calls says where
            return OK, answer.read().decode()
    except urllib.error.HTTPError as error:
        return FAILED, error.read().decode()
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)  # urllib's wraps it
        return UNREACHABLE, f"{url} does not answer: {getattr(why, 'strerror', None) or why}\n"


def main(arguments: list[str]) -> int:
    """`[--live] FOLDER [PROCESS]`, or `[--live] http://HOST:PORT`."""
    live_only = "--live" in arguments
    rest = [argument for argument in arguments if argument != "--live"]
    if not 1 <= len(rest) <= 2:
        sys.stderr.write(
            "usage: python -m kafka_saga.runtime.probe [--live] DATA_DIRECTORY [PROCESS] | http://HOST:PORT\n"
        )
        return 2
    if "://" in rest[0]:
        code, text = ask(rest[0], live_only=live_only)
        sys.stdout.write(text)
        return code
    found = look(Path(rest[0]), rest[1] if len(rest) == 2 else None)
    sys.stdout.write("".join(f"{seen.in_words()}\n" for seen in found) or f"nobody works in {rest[0]}\n")
    return judge(found, live_only=live_only)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
