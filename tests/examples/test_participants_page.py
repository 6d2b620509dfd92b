"""The examples of docs/participants.md are one program, and its tests pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.examples.console import blocks_of
from tests.participants.adapters import new_schema
from tests.postgres import PostgresUnderTest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "participants.md"


def run_page(tmp_path: Path, page: Path, first_line: str, **environment: str) -> str:
    blocks = blocks_of(page, "python")
    assert blocks[0].startswith(first_line)
    (tmp_path / "test_page.py").write_text("\n".join(blocks))
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    program = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"]
    told = {**os.environ, **environment}
    tests = subprocess.run(program, cwd=tmp_path, env=told, capture_output=True, text=True, check=False)
    return tests.stdout + tests.stderr


def test_the_pages_program_passes_its_own_tests(tmp_path: Path) -> None:
    assert "3 passed" in (said := run_page(tmp_path, PAGE, "# parcels.py")), said


async def test_the_program_of_the_databases_page_passes_its_own_tests(
    tmp_path: Path, postgres: PostgresUnderTest
) -> None:
    page = ROOT / "docs" / "participants-databases.md"
    url = await new_schema(postgres)
    said = run_page(tmp_path, page, "# seats.py", TEST_DATABASE=url.secret_text)
    assert "2 passed" in said, said


def test_the_readme_leads_to_the_page() -> None:
    assert "(docs/participants.md)" in (ROOT / "README.md").read_text()
