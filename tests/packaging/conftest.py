"""What users get: the sdist and the wheel of this checkout, and clean environments that have the wheel."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.environments import PATIENCE_S, Environment, requirements_of

ROOT = Path(__file__).resolve().parents[2]

TESTING = ("pytest", "pytest-asyncio")


@dataclass(frozen=True)
class Built:
    """The files that would be published."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel that is made of it."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="session")
def bare(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel without any extra."""
    environment = Environment(tmp_path_factory.mktemp("bare") / "venv", requirements_of())
    environment.install(str(built.wheel), cwd=built.wheel.parent)
    return environment


@pytest.fixture(scope="session")
def full(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with the command line and the embedded broker, and pytest; its path has spaces."""
    folder = tmp_path_factory.mktemp("full") / "my environments" / "venv"
    environment = Environment(folder, [*requirements_of("demo"), *TESTING])
    environment.install(f"{built.wheel}[demo]", cwd=built.wheel.parent)
    return environment


COLLIDING = {
    "schemas/ids.py": "MINE = 'schemas.ids'\n",
    "schemas/codec.py": "raise ImportError('this is the project\\'s own module')\n",
    "runtime/errors.py": "raise ImportError('this is the project\\'s own module')\n",
    "messaging/records.py": "raise ImportError('this is the project\\'s own module')\n",
    "orchestrator/definition.py": "raise ImportError('this is the project\\'s own module')\n",
    "client/client.py": "raise ImportError('this is the project\\'s own module')\n",
    "participants/handlers.py": "raise ImportError('this is the project\\'s own module')\n",
}
"""Files that a project may well have. Who imports them instead of ours fails at once."""


def collide(project: Path) -> None:
    """Give a project folders of its own that are called as our rooms are."""
    for name, text in COLLIDING.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
