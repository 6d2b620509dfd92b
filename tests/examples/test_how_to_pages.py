"""The how-to pages, to the letter: their files are written, their commands typed, and they say what is printed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.demo.upper import clean_environment
from tests.examples.walking import walking
from tests.integration.processes import ROOT

HOW_TO = ROOT / "docs" / "how-to"


@pytest.mark.processes
@pytest.mark.parametrize("page", ["call-an-api", "change-a-saga", "test"])
def test_the_page_works_to_the_letter(page: str, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with walking(tmp_path, clean_environment(PATH=path)) as walk:
        walk.follow(HOW_TO / f"{page}.md")
        assert walk.typed
        assert walk.written
