"""The generated reference has everything that the code has, and is the same however often it is made."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import kafka_saga
from kafka_saga.orchestrator.config import setting_names
from kafka_saga.orchestrator.machine.states import ParkReason
from kafka_saga.runtime.log_events import log_events
from kafka_saga.schemas.causes import Cause
from manual.complaint import ComplaintError
from manual.reference import PAGES, command_line, errors, headers, metrics, python_api, rules, settings
from manual.reference.remedies import CAUSES, ERRORS, PARKED, remedy
from manual.reference.tables import table
from manual.staging import ROOT
from tests.tidy.test_observability import MODULES, meters

FIRST_CELL = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def first_cells(page: str) -> list[str]:
    return FIRST_CELL.findall(page)


def test_every_setting_is_there_once() -> None:
    assert sorted(first_cells(settings.page())) == sorted(setting_names())


def test_every_metric_is_there_once() -> None:
    assert sorted(first_cells(metrics.page())) == sorted(meter.name for module in MODULES for meter in meters(module))


def test_every_log_event_is_there_once() -> None:
    assert first_cells(PAGES["reference/log-events.md"]()) == sorted(event.name for event in log_events())


def test_every_header_that_the_code_names_is_there_once() -> None:
    found = first_cells(headers.page())
    assert len(found) == len(set(found)) > 25
    assert set(found) == headers.names_in_code()


def test_every_error_is_there_with_its_code_and_what_helps() -> None:
    page = errors.page()
    for error in errors.every_error():
        assert f"| `{error.__name__}` `{error.code}` |" in page
    assert {error.code for error in errors.every_error()} == set(ERRORS)
    assert {str(cause) for cause in Cause} == set(CAUSES)
    assert {str(reason) for reason in ParkReason} == set(PARKED)


def test_a_code_that_nobody_explained_keeps_the_site_from_being_built() -> None:
    with pytest.raises(ComplaintError, match=r"what helps against 'new_code': add it to manual/reference/remedies\.py"):
        remedy(ERRORS, "new_code")


def test_every_name_that_is_exported_is_in_the_python_api() -> None:
    assert python_api.grouped() == set(kafka_saga.__all__)


def test_every_rule_has_a_sentence_and_the_tests_that_cite_it() -> None:
    page = rules.page()
    assert list(rules.RULES) == sorted(rules.RULES)
    cited = rules.citing()
    assert len(cited) > 30
    for number in rules.RULES:
        assert f"| R{number} | " in page
    assert cited[21][0] in page


def test_every_command_is_there_with_its_examples() -> None:
    page = command_line.page()
    done = subprocess.run(
        [sys.executable, "-m", "kafka_saga.orchestrator.cli", "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    commands = re.findall(r"^│ +([a-z]+) ", done.stdout, re.MULTILINE)
    assert len(commands) > 30
    for command in commands:
        assert f"\n## saga {command}\n" in page
    assert "\n### saga dlq redrive\n" in page
    assert '$ kcat -b "$(saga config get kafka.bootstrap_servers)" -L' in page


def test_the_same_code_makes_the_same_pages() -> None:
    program = "import hashlib; from manual.reference import reference_pages as made\n"
    program += "print(hashlib.sha256(repr(sorted(made().items())).encode()).hexdigest())"
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT, capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "COLUMNS": columns, "SAGA_LOG_LEVEL": "debug"},
        ).stdout
        for seed, columns in (("1", "80"), ("2", "200"))
    }  # fmt: skip
    assert len(told) == 1


def test_a_bar_or_a_new_line_in_a_cell_ends_no_cell() -> None:
    assert table(["a", "b"], [["x | y", "one\n  two"]]) == "| a | b |\n|---|---|\n| x \\| y | one two |\n"
