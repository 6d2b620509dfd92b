"""Commands as processes that need no start: forked from one that has loaded what commands load, half a second each."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_COMMANDS = sorted(path.stem for path in (ROOT / "orchestrator" / "cli").glob("[!_]*.py"))

_LOADED = [
    "aiokafka",
    "asyncpg",
    "rich.console",
    "rich.table",
    "kafka_saga.messaging.consumer",
    "kafka_saga.messaging.producer",
    "kafka_saga.orchestrator.app",
    "kafka_saga.orchestrator.store.postgres.store",
    *(f"kafka_saga.orchestrator.cli.{name}" for name in _COMMANDS),
]

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(_LOADED)


def run_warm(
    arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str], stdin: str | None, patience_s: float
) -> tuple[int, str, str]:
    """`saga …` in a process of its own, in `folder`; its exit code, and what it wrote to each stream."""
    with tempfile.TemporaryDirectory(prefix="saga-warm-") as directory:
        streams = [Path(directory, name) for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(stdin or "", encoding="utf-8")
        process = _forking.Process(target=_command, args=(arguments, str(folder), dict(environment), streams))
        process.start()
        process.join(patience_s)
        if process.is_alive():
            process.kill()
            process.join()
            raise AssertionError(f"saga {' '.join(arguments)} has not ended after {patience_s} s")
        out, err = (stream.read_text(encoding="utf-8") for stream in streams[1:])
        assert process.exitcode is not None
        return process.exitcode, out, err


def _command(arguments: tuple[str, ...], folder: str, environment: Mapping[str, str], streams: list[Path]) -> None:
    """What the interpreter does before `python -m kafka_saga.orchestrator.cli` runs, and then that."""
    os.environ.clear()
    os.environ.update(environment)
    for number, (path, flags) in enumerate(
        zip(streams, (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT), strict=True)
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 -- until the process ends
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.argv = ["saga", *arguments]
    from kafka_saga.orchestrator.cli import main  # noqa: PLC0415 -- the parent needs none of it

    try:
        main()
    finally:
        sys.stdout.flush()
