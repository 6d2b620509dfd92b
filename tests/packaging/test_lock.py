"""The lock of the image is in step with pyproject.toml: whoever changes a dependency runs `make lock`."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.conftest import ROOT
from tests.packaging.environments import requirements_of

LOCK = ROOT / "deploy" / "requirements.lock"
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; .+?)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", re.MULTILINE)


def locked_extras() -> list[str]:
    [line] = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("LOCKED := ")]
    return re.findall(r"--extra (\w+)", line)


VERSIONS = dict(PINNED.findall(LOCK.read_text()))


def test_every_line_is_a_version_with_hashes() -> None:
    rest = PINNED.sub("", LOCK.read_text())
    assert [line for line in rest.splitlines() if not line.startswith("#")] == []
    assert "kafka-saga" not in VERSIONS
    assert "://" not in LOCK.read_text()  # whose index it was is nobody's business


@pytest.mark.parametrize("text", requirements_of(*locked_extras()))
def test_what_is_asked_for_is_pinned_to_a_version_that_fits(text: str) -> None:
    requirement = Requirement(text)
    assert requirement.specifier.contains(VERSIONS[canonicalize_name(requirement.name)], prereleases=True)


def test_nothing_is_pinned_that_only_developers_need() -> None:
    assert {"hypothesis", "mypy", "pytest", "ruff", "confluent-kafka"} & set(VERSIONS) == set()
    assert {"cyclopts", "fastapi", "asyncpg", "sqlalchemy", "opentelemetry-sdk"} <= set(VERSIONS)
