"""The tutorial, to the letter, where nothing is installed but what its first step installs: the wheel with `demo`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.walking import walking
from tests.packaging.environments import Environment

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
INSTALLING = ("mkdir rental", "python3 -m venv", "pip install")
"""What stands in the first step: `full` is that folder's environment, from the wheel that would be published."""


@pytest.mark.processes
def test_the_tutorial_works_to_the_letter(full: Environment, tmp_path: Path) -> None:
    with walking(tmp_path, full.variables, skipped=INSTALLING) as walk:
        walk.follow(TUTORIAL)
        assert len(walk.typed) > 30
        assert {"messages.py", "rental.py", "services.py", "customers.py", "saga.toml"} <= set(walk.written)
