"""A Docker engine of one's own: its socket, images and containers are in a folder, and nobody else's are touched.

Our stand-ins bear the names of well-known images, so they must never get into an engine that somebody works with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time  # noqa: TID251 -- an engine that starts is asked again, as a shell would
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
_PACKAGES = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
}


class DeployError(Exception):
    """Something did not go as it must; the message says what, with the last lines of whoever failed."""


class Engine:
    """The engine behind one socket, and the two commands that talk to it."""

    def __init__(self, folder: Path) -> None:
        """`folder` keeps its images between runs."""
        self.folder = folder
        self.socket = f"unix://{folder / 'docker.sock'}"
        # The builder without BuildKit: Debian's engine has no other.
        self.environment = {
            **os.environ,
            "DOCKER_HOST": self.socket,
            "DOCKER_BUILDKIT": "0",
            "DOCKER_CONTEXT": "default",
        }

    def docker(self, *arguments: str, stdin: bytes | None = None, check: bool = True) -> str:
        """Run `docker`; its standard output.

        Raises:
            DeployError: it failed, and `check` was wanted.

        """
        return run(["docker", *arguments], environment=self.environment, stdin=stdin, check=check)

    def succeeds(self, *arguments: str) -> bool:
        """Whether `docker` with these arguments ends with 0."""
        return (
            subprocess.run(["docker", *arguments], capture_output=True, env=self.environment, check=False).returncode
            == 0
        )

    def logs(self, container: str) -> str:
        """What a container said last."""
        command = ["docker", "logs", "--tail", "12", container]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment, check=False
        )
        return done.stdout.decode(errors="replace")

    def build(self, tag: str, dockerfile: Path, context: Path, *options: str) -> None:
        """Build an image. Its builds have the host's network: they install Debian's packages."""
        self.docker(
            "build", "--quiet", "--network", "host", "--tag", tag, "--file", str(dockerfile), *options, str(context)
        )

    def await_that(self, what: str, done: Callable[[], bool], timeout_s: float = 120.0) -> float:
        """Ask until it is so; after how many seconds it was.

        Raises:
            DeployError: it was not, in time.

        """
        began = time.monotonic()
        while not done():
            if time.monotonic() > began + timeout_s:
                raise DeployError(f"waited {timeout_s:.0f} s in vain until {what}")
            time.sleep(0.2)
        return time.monotonic() - began

    def has(self, image: str) -> bool:
        """Whether there is such an image."""
        return bool(self.docker("images", "--quiet", image).strip())


def run(
    command: list[str],
    *,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    check: bool = True,
    folder: Path | None = None,
) -> str:
    """Run a program to its end; what it wrote on its standard output.

    Raises:
        DeployError: it failed, and `check` was wanted; with its last lines.

    """
    done = subprocess.run(command, input=stdin or b"", capture_output=True, env=environment, cwd=folder, check=False)
    output, said = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if done.returncode and check:
        tail = "\n".join((output + said).strip().splitlines()[-25:])
        raise DeployError(f"{' '.join(command[:6])} … ended with {done.returncode}:\n{tail}")
    return output


def install_tools() -> None:
    """Install what is missing of Debian's packages that an engine needs.

    Raises:
        DeployError: something is missing, and this is no Debian where we are root.

    """
    missing = sorted({package for tool, package in _PACKAGES.items() if shutil.which(tool) is None})
    if os.geteuid() != 0:
        raise DeployError("an engine of one's own needs root")
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise DeployError(f"missing, and this is no Debian where they could be installed: {', '.join(missing)}")
    run(["apt-get", "update", "-q"])
    quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing], environment=quietly)


@contextmanager
def running_engine(folder: Path) -> Iterator[Engine]:
    """An engine whose data is in `folder`; it ends with its containers, its images stay.

    Raises:
        DeployError: it did not start; with its last lines.

    """
    folder.mkdir(parents=True, exist_ok=True)
    engine = Engine(folder)
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    command = ["dockerd", "--host", engine.socket, *(f"--{name}={folder / place}" for name, place in places.items())]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _await_engine(engine, daemon)
        _remove_containers(engine)  # of a run that was killed
        yield engine
    finally:
        if daemon.poll() is None:
            _remove_containers(engine)
            daemon.terminate()
            daemon.wait(STOP_TIMEOUT_S)


def _await_engine(engine: Engine, daemon: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while not engine.docker("info", "--format", "{{.ServerVersion}}", check=False).strip():
        if daemon.poll() is not None or time.monotonic() > until:
            tail = (engine.folder / "log").read_text(errors="replace").splitlines()[-8:]
            raise DeployError("dockerd did not start:\n" + "\n".join(tail))
        time.sleep(0.1)


def _remove_containers(engine: Engine) -> None:
    containers = engine.docker("ps", "--all", "--quiet").split()
    if containers:
        engine.docker("rm", "--force", "--volumes", *containers)
    engine.docker("network", "prune", "--force")
    engine.docker("volume", "prune", "--force")
