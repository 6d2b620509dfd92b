"""The wheel on each Python that it is for, from an index, where a saga runs; and the sdist on the image's lock."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from kafka_saga import __version__
from tests.demo.upper import Up, clean_environment
from tests.packaging.conftest import ROOT, Built
from tests.packaging.interpreters import VERSIONS, NoInterpreterError, interpreter, uv
from tests.packaging.test_lock import VERSIONS as LOCKED

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

OTHERS = [version for version in VERSIONS if version != ".".join(map(str, sys.version_info[:2]))]
"""Ours is the one that all the other tests run on."""

OF_THE_IMAGE = "3.13"
INSTALL_TIMEOUT_S = 300
UNREACHABLE = ("error sending request", "Could not connect", "dns error", "timed out")


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The Python of a version; the test is skipped where there is none."""
    found: dict[str, Path] = {}

    def python(version: str) -> Path:
        try:
            return found.get(version) or found.setdefault(
                version, interpreter(version, tmp_path_factory.mktemp(f"python{version}"))
            )
        except NoInterpreterError as error:
            pytest.skip(f"no Python {version}: {error}")

    return python


def made(python: Path, folder: Path) -> Path:
    """A new environment of this Python, its programs."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True, timeout=INSTALL_TIMEOUT_S)
    return folder / "bin"


def install(programs: Path, *what: str) -> None:
    command = [uv(), "pip", "install", "--quiet", "--python", programs / "python", *what]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
    if done.returncode and any(word in done.stderr for word in UNREACHABLE):
        pytest.skip(f"the package index cannot be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def said(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=clean_environment(), capture_output=True, text=True, check=False,
        timeout=INSTALL_TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bill_of(python: Path, to: Path) -> dict[tuple[str, str], str]:
    """The components of an environment by name and version, with the first licence of each."""
    said(sys.executable, ROOT / "deploy" / "sbom.py", python, to, cwd=to.parent)
    found = {}
    for one in json.loads(to.read_text())["components"]:
        [licence] = [told.get("license", told) for told in one.get("licenses", [])[:1]] or [{}]
        name = str(canonicalize_name(one["name"])) if one["purl"].startswith("pkg:pypi") else one["name"]
        found[name, one["version"]] = licence.get("id") or licence.get("expression") or licence.get("name", "")
    return found


@pytest.mark.parametrize("version", OTHERS)
def test_everything_installs_from_wheels_and_a_saga_runs(
    pythons: Callable[[str], Path], version: str, built: Built, tmp_path: Path
) -> None:
    programs = made(pythons(version), tmp_path / "venv")
    install(programs, "--only-binary", ":all:", f"kafka-saga[all] @ {built.wheel.as_uri()}")
    work = tmp_path / "work"
    work.mkdir()
    with subprocess.Popen(
        [programs / "saga", "up"],
        cwd=work, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            up = Up(process, work)
            up.until("everything is ready")
            assert "COMPLETED" in said(programs / "saga", "submit", "order", "--order-id", "o-1", "--wait", cwd=work)
            assert up.stop() == 0
        finally:
            process.kill()


def test_the_image_s_lock_is_whole_and_its_bill_of_materials_too(
    pythons: Callable[[str], Path], built: Built, tmp_path: Path
) -> None:
    programs = made(pythons(OF_THE_IMAGE), tmp_path / "venv")
    install(programs, "--require-hashes", "--requirements", str(ROOT / "deploy" / "requirements.lock"))
    install(programs, "--no-deps", str(built.sdist))
    said(uv(), "pip", "check", "--python", programs / "python", cwd=tmp_path)
    assert said(programs / "saga", "--version", cwd=tmp_path).strip() == __version__
    assert "postgresql" in said(programs / "saga", "store", "migrate", "--help", cwd=tmp_path)
    bill = bill_of(programs / "python", tmp_path / "bill.json")
    assert {(name, LOCKED[name]) for name in ("aiokafka", "fastapi", "pydantic")} <= bill.keys()
    assert {name for name, _version in bill} - {"htmx.org"} <= LOCKED.keys()
    assert bill["htmx.org", "4.0.1"] == "0BSD"
    lacking = "import asyncpg, fastapi, sqlalchemy, opentelemetry.sdk, kafka_saga.orchestrator.web"
    assert said(programs / "python", "-c", lacking, cwd=tmp_path) == ""
