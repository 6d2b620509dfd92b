"""Clean environments, made without a network: links to the distributions that are needed, of the one we run in.

Only what our metadata asks for gets there, so what is missing from it is missing there; and nothing of this checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PATIENCE_S = 120


class Environment:
    """A virtual environment in `folder`, with these requirements and what they need; ours is not among them."""

    def __init__(self, folder: Path, requirements: Iterable[str]) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=PATIENCE_S)
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        [self.packages] = (folder / "lib").glob("python*/site-packages")
        for name in sorted(set(_closure(requirements))):
            _link(metadata.distribution(name), self.packages)

    @property
    def variables(self) -> dict[str, str]:
        """Those of a user who has activated it and set nothing of ours."""
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, "PATH": f"{self.bin}:{os.environ['PATH']}", "COLUMNS": "200"}

    def install(self, what: str, *, cwd: Path, isolated: bool = True) -> None:
        """Let pip install `what`, for which everything else must be there already."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check"]
        options = ["--no-index", "--quiet", *([] if isolated else ["--no-build-isolation"])]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
        done = subprocess.run(
            [*pip, "install", *options, what], cwd=cwd, env=clean, capture_output=True, text=True, check=False,
            timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def run(self, *command: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            command, cwd=cwd, env={**self.variables, **more}, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=PATIENCE_S,
        )  # fmt: skip


def requirements_of(*extras: str) -> list[str]:
    """What the metadata of kafka-saga asks for, with these extras."""
    return [name for name in _needed("kafka-saga", frozenset(extras)) if Requirement(name).name != "kafka-saga"]


def _needed(name: str, extras: frozenset[str]) -> Iterator[str]:
    """The requirements of a distribution; an extra of ours may ask for another of ours."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        if not _counts(requirement, extras):
            continue
        if requirement.name == name:
            yield from _needed(name, frozenset(requirement.extras))
        else:
            yield text


def _counts(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _closure(requirements: Iterable[str]) -> Iterator[str]:
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        key = (requirement.name, frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            yield requirement.name
            waiting += [Requirement(text) for text in _needed(*key)]


def _link(distribution: metadata.Distribution, to: Path) -> None:
    tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}  # no scripts: nobody calls them
    for top in tops:
        target = to / top
        if not target.exists():  # a namespace that another distribution has a part in
            target.symlink_to(Path(str(distribution.locate_file(top))))
