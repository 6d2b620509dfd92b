"""The examples of docs/sagas.md, as they are printed: they run in order, and what is refused says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kafka_saga.errors import DefinitionError
from tests.examples.console import blocks_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sagas.md"
REFUSED = re.compile(r"^# DefinitionError: (.*)$", re.MULTILINE)


def test_the_pages_examples_run_as_they_are_printed() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    told = []
    for example in blocks_of(PAGE, "python"):
        program = compile(example, "docs/sagas.md", "exec", dont_inherit=True)
        refused = REFUSED.search(example)
        if refused is None:
            exec(program, names)
            continue
        with pytest.raises(DefinitionError) as caught:
            exec(program, names)
        assert refused[1] in str(caught.value)
        told.append(refused[1])

    assert len(told) == 2
    assert names["trip"].pivot_index == 1
