"""docs/why.md has every practice, challenge and benefit by its name, and the tests and pages that it names exist."""

from __future__ import annotations

import re

import pytest

from tests.tidy.test_tidy import ROOT, python_files

PAGE = ROOT / "docs" / "why.md"
ROW = re.compile(r"^\| \*\*(.+?)\*\*.*?\| (.+) \| (.+) \|$", re.MULTILINE)

PRACTICES = [
    "persist saga state", "implement idempotency", "handle timeouts properly", "design clear step definitions",
    "implement proper compensation", "monitor orchestrator health", "use the state machine pattern",
]  # fmt: skip
CHALLENGES = [
    "single point of failure", "additional service needed", "more coupling", "orchestrator complexity",
    "state persistence required",
]  # fmt: skip
BENEFITS = [
    "centralized control", "easy to understand flow", "better error handling", "easier debugging", "state management",
    "timeout handling",
]  # fmt: skip


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None, title
    return found[1]


@pytest.mark.parametrize(
    ("title", "names"), [("Best practices", PRACTICES), ("Challenges", CHALLENGES), ("Benefits", BENEFITS)]
)
def test_each_is_named_in_the_sources_words_and_says_where_it_is_answered(title: str, names: list[str]) -> None:
    rows = ROW.findall(section(title))
    assert [name.lower() for name, _answer, _test in rows] == names
    for name, answer, test in rows:
        assert re.search(r"\]\([\w-]+\.md(#[\w-]+)?\)", answer), f"{name} leads nowhere"
        assert "`test_" in test, f"{name} is shown by nothing"


def test_every_test_and_target_that_the_page_names_exists() -> None:
    defined = {
        name for path in python_files() for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 20
    assert named - defined == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
