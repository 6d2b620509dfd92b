"""Stand-ins for the images that no registry is asked for: made of Debian's packages, under the names of the real ones.

They have the entry points, variables and paths that our Dockerfile, our compose file and testcontainers rely on, and
nothing else of the real ones. What Debian does not package (Grafana) has no stand-in.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deploy.kafka.kafka import fetch_jars
from deploy.test.engine import Engine, run

ROOT = Path(__file__).resolve().parents[2]
WHEELS = ROOT / "deploy" / "wheels"
DEBIAN = "saga-standin/debian"
RELEASE = "bookworm"
RELEASE_PYTHON = "3.11"
"""Debian's, in the stand-in for `python:3.13-slim`."""

STANDINS = {
    "python": ("python:3.13-slim",),
    "kafka": ("apache/kafka:4.3.1", "confluentinc/cp-kafka:7.6.0"),
    "postgres": ("postgres:17", "postgres:17-alpine"),
    "prometheus": ("prom/prometheus:v3.5.0",),
}
"""For each stand-in what it stands in for: what the Dockerfile, the compose file and testcontainers name."""


def make_standins(engine: Engine) -> list[str]:
    """Build them all, from what the engine has of an earlier run; their tags."""
    with ThreadPoolExecutor() as pool:
        jars = pool.submit(fetch_jars)
        if not engine.has(DEBIAN):
            _import_debian(engine)
        jars.result()
        list(pool.map(lambda name: _build(engine, name, STANDINS[name]), STANDINS))
    return [tag for tags in STANDINS.values() for tag in tags]


def _import_debian(engine: Engine) -> None:
    with tempfile.TemporaryDirectory(prefix="saga-debian-", dir=engine.folder) as made:
        root, archive = Path(made) / "root", Path(made) / "root.tar"
        packages = "--include=ca-certificates,python3,python3-venv"
        run(["debootstrap", "--variant=minbase", packages, RELEASE, str(root)])
        shutil.rmtree(root / "var" / "cache" / "apt" / "archives")
        run(["tar", "-C", str(root), "--exclude=./dev", "-cf", str(archive), "."])
        engine.docker("import", str(archive), DEBIAN)


def _build(engine: Engine, name: str, tags: tuple[str, ...]) -> None:
    first, *others = tags
    engine.build(first, ROOT / "deploy" / "test" / "standins" / f"{name}.Dockerfile", ROOT / "deploy")
    for tag in others:
        engine.docker("tag", first, tag)


def fetch_wheels() -> int:
    """Put what the image installs into deploy/wheels, for the stand-in's Python; how many."""
    WHEELS.mkdir(exist_ok=True)
    locked = ("--require-hashes", "--requirement", str(ROOT / "deploy" / "requirements.lock"))
    for wanted in (locked, _project()["build-system"]["requires"]):
        only = ("--only-binary=:all:", "--python-version", RELEASE_PYTHON)
        run([sys.executable, "-m", "pip", "download", "--quiet", *only, "--dest", str(WHEELS), *wanted])
    return len(list(WHEELS.glob("*.whl")))


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def build_image(engine: Engine, tag: str = "kafka-saga") -> None:
    """Build the image of the project as it is here."""
    version = _project()["project"]["version"]
    arguments = ("PIP_NO_INDEX=1", "PIP_FIND_LINKS=/src/deploy/wheels", f"VERSION={version}")
    engine.build(tag, ROOT / "deploy" / "Dockerfile", ROOT, *(f"--build-arg={argument}" for argument in arguments))
