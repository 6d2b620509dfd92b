from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_readme_prints_the_foreign_participant_as_it_is() -> None:
    program = (ROOT / "examples" / "foreign_participant.py").read_text()
    assert program.strip() in (ROOT / "README.md").read_text()
