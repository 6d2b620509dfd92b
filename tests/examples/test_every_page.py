"""Whoever writes a page with commands or programs says which test runs them, or why nobody does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from kafka_saga.orchestrator.config import load_settings
from kafka_saga.schemas.sensitive import Sensitive
from tests.examples.console import blocks_of
from tests.integration.processes import ROOT

DOCS = ROOT / "docs"
CODE = re.compile(r"^```(console|python|sh|sql|yaml|toml|go|java|js|ini)$", re.MULTILINE)

RUN_BY = {
    "client.md": "tests/examples/test_client_page.py",
    "http-api.md": "tests/examples/test_running_pages.py",
    "how-to/call-an-api.md": "tests/examples/test_how_to_pages.py",
    "how-to/change-a-saga.md": "tests/examples/test_how_to_pages.py",
    "how-to/other-languages.md": "tests/examples/test_other_languages_page.py",
    "how-to/test.md": "tests/examples/test_how_to_pages.py",
    "index.md": "tests/examples/test_readme.py",
    "observability.md": "tests/examples/test_running_pages.py",
    "operating.md": "tests/examples/test_readme.py",
    "participants-databases.md": "tests/examples/test_participants_page.py",
    "participants.md": "tests/examples/test_participants_page.py",
    "quickstart.md": "tests/examples/test_readme.py",
    "sagas.md": "tests/examples/test_sagas_page.py",
    "security.md": "tests/examples/test_every_page.py",
    "tutorial.md": "tests/packaging/test_tutorial.py",
}
OTHERWISE = {
    "deploying.md": "builds an image: `make deploy-test`",
    "performance.md": "takes minutes to hours: tests/bench measures less",
    "secured-kafka.md": "its program is of AWS; the rest is tests/security",
}


def pages_with_code() -> set[str]:
    pages = {str(path.relative_to(DOCS)): path for path in DOCS.rglob("*.md") if "decisions" not in path.parts}
    return {name for name, path in pages.items() if CODE.search(path.read_text(encoding="utf-8"))}


def test_every_page_with_commands_or_programs_is_run_by_a_test() -> None:
    assert pages_with_code() - {*RUN_BY, *OTHERWISE} == set(), "say here which test runs it"
    assert {*RUN_BY, *OTHERWISE} - pages_with_code() == set(), "nothing is on these pages any more"


@pytest.mark.parametrize(("page", "test"), RUN_BY.items())
def test_the_test_that_is_named_reads_the_page(page: str, test: str) -> None:
    assert Path(page).stem in (ROOT / test).read_text(encoding="utf-8")


def test_the_settings_of_the_security_page_are_settings(tmp_path: Path) -> None:
    [told] = blocks_of(DOCS / "security.md", "toml")
    (tmp_path / "saga.toml").write_text(told, encoding="utf-8")
    loaded = load_settings(flags={}, environment={}, file=tmp_path / "saga.toml")
    assert loaded.settings.http.listen == "127.0.0.1:7242"


def test_the_model_of_the_security_page_is_marked() -> None:
    [program] = blocks_of(DOCS / "security.md", "python")
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(program, "docs/security.md", "exec", dont_inherit=True), names)
    model: type[BaseModel] = names["OrderRequested"]
    assert names["Sensitive"] is Sensitive
    assert {field["saga"] for field in model.model_json_schema()["properties"].values() if "saga" in field} == {
        "sensitive"
    }
