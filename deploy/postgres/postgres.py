"""PostgreSQL without Docker: a server of one's own on a free loopback port, from the programs that are installed.

Tests and benchmarks start one, break it and stop it. Its data is a folder that the caller chooses and throws away.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time  # noqa: TID251 -- a server that starts is asked again, as a shell would
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.kafka.kafka import free_port

START_TIMEOUT_S = 60
SERVER_USER = "postgres"
"""A server refuses to run as root: then it runs as the user that Debian's package makes."""

QUICK = ("fsync=off", "shared_buffers=64MB", "max_connections=200")
"""For tests: nothing survives a power cut, and nothing is asked to; a killed process loses nothing without it."""


class PostgresError(Exception):
    """No server can be had, or it did not start; the message says why."""


class Server:
    """A server of our own on a free loopback port, its data in a folder of its own."""

    def __init__(self, programs: Path, folder: Path, *settings: str) -> None:
        """Prepare it: `settings` are lines of postgresql.conf, `max_connections=5`."""
        self._programs = programs
        self.data = folder / "data"
        self._log = folder / "log"
        self._folder = folder
        self._settings = settings
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._user = SERVER_USER if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._run("initdb", "--pgdata", str(self.data), "--auth", "trust", "--username", "saga", "--encoding", "UTF8")

    def admit(self, network: str) -> None:
        """Let clients of a network in too, `10.0.0.0/8`; it must listen there. From the next start on."""
        with (self.data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write(f"host all all {network} trust\n")

    @property
    def url(self) -> str:
        return f"postgresql://saga@127.0.0.1:{self.port}/postgres"

    def create_database(self, name: str) -> str:
        """Make a new, empty database while it runs; its URL."""
        self._run("createdb", "--host", "127.0.0.1", "--port", str(self.port), "--username", "saga", name)
        return f"{self.url.rpartition('/')[0]}/{name}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "it runs"
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = (
            *("-D", str(self.data), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self._folder)),
            *(word for setting in self._settings for word in ("-c", setting)),
        )
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", *options], stdout=log, stderr=log, user=self._user, cwd="/"
            )
        self._wait_until_ready()

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` ends sessions, `immediate` is a crash. Nothing where it does not run."""
        if self._process is None:
            return
        self._process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        self._process.wait(START_TIMEOUT_S)
        self._process = None

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def _wait_until_ready(self) -> None:
        assert self._process is not None, "it was started"
        until = time.monotonic() + START_TIMEOUT_S
        ready = [str(self._programs / "pg_isready"), "--quiet", "--host", "127.0.0.1", "--port", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > until:
                raise PostgresError(f"the server did not start: {self._log.read_text(encoding='utf-8')[-500:]}")
            time.sleep(0.05)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments], check=False, capture_output=True, user=self._user, cwd="/"
        )
        if done.returncode:
            raise PostgresError(f"{program} failed: {done.stderr.decode(errors='replace')[-500:]}")


def installed_programs() -> Path:
    """Where `initdb` and `postgres` are: the newest of Debian's folders, or the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    for folder in (*reversed(folders), *(Path(entry) for entry in os.get_exec_path())):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise PostgresError("neither initdb nor postgres is in /usr/lib/postgresql or the PATH")


@contextmanager
def running_server(*settings: str, admit: Sequence[str] = ()) -> Iterator[Server]:
    """A server with `settings` (`max_connections=5`), its data in a folder for temporary files; gone at the end.

    Args:
        settings: lines of postgresql.conf.
        admit: networks whose clients are let in, beside this machine's own.

    Raises:
        PostgresError: none is installed, or it does not start.

    """
    with tempfile.TemporaryDirectory(prefix="saga-postgres-", ignore_cleanup_errors=True) as directory:
        server = Server(installed_programs(), Path(directory), *settings)
        for network in admit:
            server.admit(network)
        try:
            server.start()
            yield server
        finally:
            server.stop("immediate")
