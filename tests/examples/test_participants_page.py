"""The examples of docs/participants.md are one program, and its tests pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "participants.md").read_text()


def test_the_pages_program_passes_its_own_tests(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert blocks[0].startswith("# parcels.py")
    (tmp_path / "test_parcels.py").write_text("\n".join(blocks))
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    program = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_parcels.py"]
    tests = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "3 passed" in tests.stdout, tests.stdout + tests.stderr


def test_the_readme_leads_to_the_page() -> None:
    assert "(docs/participants.md)" in (ROOT / "README.md").read_text()
