"""The mutants fit the code as it is; whether each is noticed is told by `make mutants`."""

from __future__ import annotations

import pytest

from tests.simulation.breakages import MUTANTS
from tests.simulation.breaking import ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_has_its_place_in_the_code(mutant: Mutant) -> None:
    times = (ROOT / mutant.file).read_text().count(mutant.old)
    assert times == 1, f"{mutant.file} has changed; bring the mutant in tests/simulation/breakages.py up to date"
    assert mutant.new != mutant.old


def test_no_two_mutants_are_the_same() -> None:
    assert len({mutant[1:4] for mutant in MUTANTS}) == len(MUTANTS)
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
