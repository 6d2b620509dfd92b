"""The Pythons that a release is for: of this machine, or CPython's builds on Maven Central (Linux on x86-64)."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
ON_MAVEN = {"3.12": "3.12.1-1.5.10", "3.13": "3.13.5-1.5.12", "3.14": "3.14.3-1.5.13"}
"""Versions of `org.bytedeco:cpython`, whose jars hold a whole CPython."""

FETCH_TIMEOUT_S = 300
_INSIDE = "org/bytedeco/cpython/linux-x86_64/"
_TESTS = "/test/"  # half of it


class NoInterpreterError(Exception):
    """None of this version can be had here; it says why."""


def interpreter(version: str, folder: Path) -> Path:
    """A Python of `version`; what has to be fetched is unpacked into `folder`.

    Raises:
        NoInterpreterError: there is none here, and none can be fetched.

    """
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return Path(sys.executable)
    found = _of_this_machine(version)
    if found is not None:
        return found
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise NoInterpreterError(f"python{version} is not on the PATH, and Maven's is for Linux on x86-64 only")
    _unpack(_fetched(ON_MAVEN[version], folder), folder)
    python = folder / _INSIDE / "bin" / f"python{version}"
    python.chmod(0o755)
    return python


def _of_this_machine(version: str) -> Path | None:
    """The one on the PATH; a version manager's stand-in may have the name, and no Python behind it."""
    try:
        done = subprocess.run(
            [f"python{version}", "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def _fetched(version: str, folder: Path) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoInterpreterError("it is not on the PATH, and there is no Maven to fetch it with")
    artifact = f"org.bytedeco:cpython:{version}:jar:linux-x86_64"
    command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise NoInterpreterError(f"{artifact} did not come within {FETCH_TIMEOUT_S} s") from error
    if done.returncode:
        raise NoInterpreterError(f"{artifact}: {done.stdout.strip().splitlines()[0]}")
    [jar] = folder.glob("*.jar")
    return jar


def _unpack(jar: Path, folder: Path) -> None:
    with zipfile.ZipFile(jar) as packed:
        wanted = [name for name in packed.namelist() if name.startswith(_INSIDE) and _TESTS not in name]
        packed.extractall(folder, wanted)


@cache
def uv() -> str:
    """uv beside the Python we run in."""
    return str(Path(sys.executable).with_name("uv"))
