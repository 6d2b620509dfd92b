"""A project of a user's own, with the wheel installed: its tests, and the whole system from `saga up` to Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, collide
from tests.packaging.environments import PATIENCE_S, Environment, requirements_of

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def project(full: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project that has folders called as our rooms are, and uses one of them; its path has spaces."""
    folder = tmp_path_factory.mktemp("mine") / "my projects"
    folder.mkdir()
    done = full.run(full.bin / "saga", "new", "booking", cwd=folder)
    assert done.returncode == 0, done.stderr
    collide(folder / "booking")
    module = folder / "booking" / "booking" / "saga.py"
    module.write_text(module.read_text() + "\nfrom schemas.ids import MINE\n\nassert MINE == 'schemas.ids'\n")
    return folder / "booking"


def test_its_tests_pass(full: Environment, project: Path) -> None:
    done = full.run("make", "test", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


def test_the_whole_system_runs_in_it(full: Environment, project: Path) -> None:
    with subprocess.Popen(
        [full.bin / "saga", "up"],
        cwd=project, env=full.variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as up:  # fmt: skip
        try:
            assert up.stderr is not None
            said = []
            for line in up.stderr:
                said.append(line)
                if "everything is ready" in line:
                    break
            else:
                pytest.fail("".join(said))
            asked = '{"booking_id": "b-1", "customer": "alice", "seat": "A1", "price": 4990}'
            done = full.run(full.bin / "saga", "submit", "booking", "--wait", "--json", asked, cwd=project)
            assert done.returncode == 0, done.stderr
            assert "COMPLETED" in done.stdout
            up.send_signal(signal.SIGINT)
            _, rest = up.communicate(timeout=PATIENCE_S)
            assert up.returncode == 0, "".join(said) + rest
        finally:
            up.kill()


def test_it_can_be_installed_beside_a_source_checkout_that_is_on_no_index(tmp_path: Path) -> None:
    """As `pip install .` does it, but for its downloads: what it would fetch is there already."""
    made = subprocess.run(
        [sys.executable, "-m", "kafka_saga.orchestrator.cli", "new", "booking"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert f"kafka-saga[demo] @ {ROOT.as_uri()}" in (tmp_path / "booking" / "pyproject.toml").read_text()
    fresh = Environment(tmp_path / "venv", [*requirements_of("demo"), "hatchling", "hatch-fancy-pypi-readme"])
    fresh.install(".", cwd=tmp_path / "booking", isolated=False)
    code = "import booking.saga, kafka_saga; print(booking.saga.__file__, kafka_saga.__file__)"
    done = fresh.run(fresh.python, "-c", code, cwd=tmp_path / "venv")
    assert done.returncode == 0, done.stderr
    assert [Path(path).parents[1] for path in done.stdout.split()] == [fresh.packages, fresh.packages]
