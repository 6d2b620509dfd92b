"""What docs/guarantees.md counts is so many, and what it tells people to run exists."""

from __future__ import annotations

import re

import pytest

from kafka_saga.runtime.failpoints import FAILPOINTS
from tests.participants.test_handlers_sql import REFUSED
from tests.simulation.breakages import MUTANTS
from tests.tidy.test_tidy import ROOT, python_files

PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("counted", "number"),
    [
        (r"(\d+) named failpoints", len(FAILPOINTS)),
        (r"(\d+) ways of breaking the code", len(MUTANTS)),
        (r"end the transaction in (\d+) ways", len(REFUSED)),
    ],
)
def test_what_the_page_counts_is_so_many(counted: str, number: int) -> None:
    assert {int(found) for found in re.findall(counted, PAGE)} == {number}


def test_the_makefile_counts_the_mutants_too() -> None:
    assert re.findall(r"break the code in (\d+) ways", MAKEFILE) == [str(len(MUTANTS))]


def test_every_make_target_on_the_page_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"`(?:[A-Z_]+=\w+ )?make ([a-z-]+)", PAGE)) <= targets


def test_every_test_on_the_page_exists() -> None:
    """A name that ends in `…` is the beginning of one."""
    defined = {
        name for path in python_files() for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    named = re.findall(r"`(test_\w+)(…?)`", PAGE)
    assert named
    for name, cut in named:
        assert any(one == name or (cut and one.startswith(name)) for one in defined), name
    for path in re.findall(r"tests/[\w/.]+", PAGE):
        assert (ROOT / path).exists(), path
