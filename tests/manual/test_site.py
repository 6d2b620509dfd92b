"""The site is built strictly: what leads to nothing is said with its place."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from manual import staging
from manual.__main__ import CONFIG, complaints, tool
from manual.complaint import ComplaintError
from manual.navigation import check_navigation, unplaced
from manual.staging import ROOT, moved_links, page_places

PLACES = {"docs/a.md": "a.md", "docs/deep/b.md": "deep/b.md", "CHANGELOG.md": "changelog.md"}


@pytest.fixture(scope="module")
def site() -> Path:
    """The site, built as `make docs` does."""
    done = subprocess.run(
        [sys.executable, "-m", "manual", "build"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return ROOT / "build" / "site"


@pytest.mark.parametrize(
    ("written", "source", "becomes"),
    [
        ("[b](deep/b.md#x)", "docs/a.md", "[b](deep/b.md#x)"),
        ("[a](../a.md)", "docs/deep/b.md", "[a](../a.md)"),
        ("[log](../CHANGELOG.md)", "docs/a.md", "[log](changelog.md)"),
        ("[log](../../CHANGELOG.md)", "docs/deep/b.md", "[log](../changelog.md)"),
        ("[a](docs/a.md)", "CHANGELOG.md", "[a](a.md)"),
        ("[s](reference/settings.md#x)", "docs/a.md", "[s](reference/settings.md#x)"),
        ("[web](https://kafka.apache.org/x)", "docs/a.md", "[web](https://kafka.apache.org/x)"),
        ("[here](#below)", "docs/a.md", "[here](#below)"),
        ("```md\n[b](nowhere.md)\n```", "docs/a.md", "```md\n[b](nowhere.md)\n```"),
    ],
)
def test_a_link_leads_on_the_site_to_where_its_page_is(written: str, source: str, becomes: str) -> None:
    assert moved_links(written, source, PLACES[source], PLACES) == becomes


@pytest.mark.parametrize(
    ("address", "becomes"),
    [
        (None, "[the script](x) → the script (`deploy/kafka/kafka.py`)"),
        ("https://example.com/saga", "[the script](https://example.com/saga/blob/main/deploy/kafka/kafka.py)"),
    ],
)
def test_a_link_to_what_is_no_page_names_the_file(
    address: str | None, becomes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "source_address", lambda: address)
    told = moved_links("[the script](../deploy/kafka/kafka.py)", "docs/a.md", "a.md", PLACES)
    assert told == becomes.rpartition(" → ")[2]


def test_a_link_to_nothing_is_said() -> None:
    with pytest.raises(ComplaintError, match=r"docs/a\.md links to gone\.md, which does not exist: mend the link"):
        moved_links("[x](gone.md)", "docs/a.md", "a.md", PLACES)


def test_the_generator_says_which_pages_and_anchors_are_missing_and_fails(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# One\n\n[a](gone.md) [b](#nowhere)\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: x\ntheme: {name: material, font: false}\nnav: [index.md]\n")
    command = [word.replace(str(CONFIG), str(tmp_path / "mkdocs.yml")) for word in tool("build")]
    done = subprocess.run([*command, "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert complaints(done.stdout + done.stderr) == [
        "index.md:3:5: page does not exist", "index.md:3:19: anchor does not exist",
    ]  # fmt: skip


def test_the_site_is_built_and_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    sources = r"<(?:script|img|iframe)[^>]* src=\"?(https?:)?//"
    styles = r"<link[^>]* rel=\"?(?:stylesheet|preconnect)\"?[^>]* href=\"?(https?:)?//"
    loaded = re.compile(f"{sources}|{styles}")
    assert [page for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []


def test_the_python_reference_is_drawn_from_the_docstrings(site: Path) -> None:
    page = (site / "reference" / "python-api" / "index.html").read_text(encoding="utf-8")
    for name in (
        "kafka_saga.Saga",
        "kafka_saga.Participant",
        "kafka_saga.client.SagaClient",
        "kafka_saga.testing.given",
    ):
        assert f'id="{name}"' in page
    assert "names the saga and its topics" in page


QUESTIONS = [
    ("How do I call a payment provider?", "how-to/call-an-api/", "Idempotency-Key"),
    ("What if my compensation fails?", "operating/#a-saga-is-parked", "compensation_failed"),
    ("How do I change a saga?", "how-to/change-a-saga/", "keep the old definition"),
    ("How do I add a service in Go?", "how-to/other-languages/", "franz-go"),
    ("How do I test?", "how-to/test/", "Harness"),
    ("What happens on a timeout?", "sagas/#patience", "27 s for a step nobody answers"),
    ("How do I run two orchestrators?", "operating/#a-store-on-postgresql", "SAGA_REPLICA"),
    ("How do I upgrade?", "how-to/upgrade/", "saga store migrate"),
    ("What does this error mean?", "reference/errors/", "broker_unreachable"),
    ("How do I secure Kafka?", "secured-kafka/", "SASL_SSL"),
]


@pytest.mark.parametrize(("question", "answer", "words"), QUESTIONS, ids=lambda text: text.rstrip("?"))
def test_the_front_page_leads_to_the_answer(question: str, answer: str, words: str, site: Path) -> None:
    front = (site / "index.html").read_text(encoding="utf-8")
    article = front[front.index("<article") : front.index("</article>")]
    assert answer in set(re.findall(r"href=\"?([^\" >]+)", article)), question
    place, _, anchor = answer.partition("#")
    page = (site / place / "index.html").read_text(encoding="utf-8")
    told = re.sub(
        r"<[^>]+>",
        "",
        page[page.index(f"id={anchor}" if f"id={anchor}" in page else f'id="{anchor}"') :] if anchor else page,
    )
    assert words in " ".join(unescape(told).split())


def test_the_navigation_names_every_page_and_no_other() -> None:
    config = CONFIG.read_text(encoding="utf-8")
    pages = sorted({*page_places().values(), *staging.reference_pages()})
    assert unplaced(config, pages) == [], "name it in the navigation of mkdocs.yml"
    check_navigation(config, pages)
    with pytest.raises(ComplaintError, match=r"names index\.md, which does not exist"):
        check_navigation(config, pages[:1])
