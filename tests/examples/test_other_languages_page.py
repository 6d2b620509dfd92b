"""What docs/how-to/other-languages.md prints in Go is of the program that the other tests ask every question."""

from __future__ import annotations

from tests.examples.conftest import EXAMPLES
from tests.examples.console import blocks_of, languages_of
from tests.integration.processes import ROOT

PAGE = ROOT / "docs" / "how-to" / "other-languages.md"


def test_the_page_prints_the_go_program_as_it_is() -> None:
    program = (EXAMPLES / "go-participant" / "participant.go").read_text(encoding="utf-8")
    parts = blocks_of(PAGE, "go")
    assert len(parts) == 2
    for part in parts:
        assert part in program


def test_no_other_block_is_a_program() -> None:
    assert languages_of(PAGE) == {"go", "text"}
