"""What a package index shows, and what licences oblige us to ship."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.packaging.conftest import ROOT, Built

URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
LINK = re.compile(r"\]\((.+?)\)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shown(built: Built) -> Message:
    """The wheel's metadata; its payload is what the index shows as the project's page."""
    with zipfile.ZipFile(built.wheel) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(wheel.read(name).decode())


def text_of(shown: Message) -> str:
    text = shown.get_payload()
    assert isinstance(text, str)
    return text


def test_the_page_is_the_readme_but_for_its_links(shown: Message) -> None:
    readme = (ROOT / "README.md").read_text()
    assert CODE.findall(readme) == CODE.findall(text_of(shown))
    assert len(LINK.findall(readme)) == len(LINK.findall(text_of(shown)))


def test_every_link_of_the_page_is_absolute_and_of_this_release(shown: Message) -> None:
    links = LINK.findall(CODE.sub("", text_of(shown)))
    ours = f"{URLS['Repository']}/blob/v{shown['Version']}/"
    pictures = f"{URLS['Repository'].replace('github.com', 'raw.githubusercontent.com')}/v{shown['Version']}/"
    assert len(links) > 20
    assert [link for link in links if not urlsplit(link).scheme] == []
    for link in links:
        if link.startswith((ours, pictures)):
            path = link.removeprefix(ours).removeprefix(pictures).partition("#")[0]
            assert (ROOT / path).exists(), link
    assert sum(link.startswith(pictures) for link in links) == text_of(shown).count("![")


def test_it_says_where_it_is_at_home_and_whose_it_is(shown: Message) -> None:
    assert dict(line.split(", ") for line in shown.get_all("Project-URL", [])) == URLS
    assert all(url.startswith(URLS["Repository"]) for url in URLS.values())
    for name in ("Changelog", "Security"):
        assert (ROOT / URLS[name].rpartition("/main/")[2]).exists()
    assert shown["License-Expression"] == "Apache-2.0 AND 0BSD"
    assert shown["Description-Content-Type"] == "text/markdown"
    classifiers = shown.get_all("Classifier", [])
    assert not [one for one in classifiers if one.startswith("License ::")]  # the expression says it
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= set(classifiers)


def test_the_release_is_in_the_changelog(shown: Message) -> None:
    assert f"\n## [{shown['Version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_alerts_lead_to_runbooks_in_the_repository() -> None:
    [group] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "saga-alerts.yml").read_text())["groups"]
    pages = {rule["annotations"]["runbook_url"].partition("#")[0] for rule in group["rules"]}
    assert pages == {f"{URLS['Repository']}/blob/main/docs/runbooks.md"}


def test_what_is_carried_of_others_comes_with_its_licence(built: Built, shown: Message) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    carried = [Path(name) for name in tracked if "vendor" in Path(name).parts]
    assert carried
    assert [name for name in tracked if ".min." in name and "vendor" not in Path(name).parts] == []
    licences = {folder / "LICENSE" for folder in {path.parent for path in carried}}
    assert {path.name for path in carried} >= {"LICENSE", "README.md"}
    assert set(shown.get_all("License-File", [])) == {"LICENSE", *map(str, licences)}
    with zipfile.ZipFile(built.wheel) as wheel, tarfile.open(built.sdist) as sdist:
        of_sdist = {name.partition("/")[2] for name in sdist.getnames()}
        for licence in licences:
            text = (ROOT / licence).read_bytes()
            assert len(text) > 200
            [kept] = [name for name in wheel.namelist() if name.endswith(f".dist-info/licenses/{licence}")]
            assert wheel.read(kept) == text
            assert wheel.read(f"kafka_saga/{licence}") == text
            assert str(licence) in of_sdist
