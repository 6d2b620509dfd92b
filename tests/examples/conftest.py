"""The examples, started as their README says: whole system or participant alone, on the run's Kafka."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.brokers import BrokerUnderTest
from tests.examples.payment import Payment
from tests.integration.processes import ROOT
from tests.integration.world import World

EXAMPLES = ROOT / "examples"
_UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED")


@pytest.fixture
async def world(kafka: BrokerUnderTest, tmp_path: Path, topic_prefix: str) -> AsyncIterator[World]:
    """Ours, not started yet; everything that was added to it is ended afterwards."""
    world = World(kafka.bootstrap_servers, tmp_path, topic_prefix)
    yield world
    await world.stop()


@pytest.fixture(scope="session")
def node_program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The Node participant with its packages, in a folder of its own."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs Node: {tool} is not installed")
    folder = tmp_path_factory.mktemp("node-participant")
    for name in ("package.json", "package-lock.json", "participant.js"):
        shutil.copy(EXAMPLES / "node-participant" / name, folder)
    installed = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, check=False, timeout=240
    )
    if any(code in installed.stderr for code in _UNREACHABLE):
        pytest.skip("needs the packages of the Node example: npm ci reaches no registry")
    assert installed.returncode == 0, installed.stderr
    return ["node", str(folder / "participant.js")]


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The Go participant, compiled."""
    if shutil.which("go") is None:
        pytest.skip("needs Go: go is not installed")
    program = tmp_path_factory.mktemp("go-participant") / "participant"
    built = subprocess.run(
        ["go", "build", "-o", str(program), "."],
        cwd=EXAMPLES / "go-participant", capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    if any(text in built.stderr for text in ("dial tcp", "no such host", "toolchain not available")):
        pytest.skip("needs the modules of the Go example: go build reaches no proxy, or no Go of its version")
    assert built.returncode == 0, built.stderr
    return [str(program)]


@pytest.fixture(params=["python", "node", "go"])
def payment(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Payment:
    """The payment service of one example, not started yet."""
    if request.param == "python":
        program = [sys.executable, str(EXAMPLES / "foreign_participant.py")]
    else:
        program = request.getfixturevalue(f"{request.param}_program")
    return Payment(world, program, tmp_path / "payment-example.db")
