"""What handlers and their libraries log: in our form, about their saga, and without the values it met."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from tests.participants.logging_service import CARD

Lines = Sequence[dict[str, Any]]


def run(log_format: str, level: str) -> str:
    program = [sys.executable, "-m", "tests.participants.logging_service", log_format, level]
    return subprocess.run(program, capture_output=True, text=True, check=True).stderr


def lines(level: str) -> Lines:
    return [json.loads(line) for line in run("json", level).splitlines()]


@pytest.fixture(scope="module")
def at_info() -> Lines:
    return lines("info")


def the(lines: Lines, event: str) -> dict[str, Any]:
    [line] = [line for line in lines if line["event"] == event]
    return line


def about(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line.get(name) for name in ("saga_id", "step", "message_id", "attempt"))


TALK = ("talk", "pay", "order/talk/pay/forward/1", 1)
CALL = ("call", "pay", "order/call/pay/forward/1", 1)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("3 of lamps", TALK),
        ("by structlog", TALK),
        ("from a thread", TALK),
        ("called with order/call/pay/forward/1", CALL),
        ("kept", CALL),
        ("command.unknown_type", ("unknown", "pay", "order/unknown/pay/forward/1", 1)),
        ("tables are there", (None, None, None, None)),
        ("between commands", (None, None, None, None)),
    ],
)
def test_every_line_says_its_process_and_what_it_is_about(
    at_info: Lines, event: str, expected: tuple[Any, ...]
) -> None:
    line = the(at_info, event)
    assert (about(line), line["process"]) == (expected, "participant:shop")


def test_a_line_of_the_standard_library_keeps_its_logger_its_level_and_its_extra_fields(at_info: Lines) -> None:
    line = the(at_info, "3 of lamps")
    assert (line["logger"], line["level"], line["warehouse"]) == ("shop.library", "info", "north")
    assert the(at_info, "from a thread")["level"] == "warning"
    assert the(at_info, "between the levels")["level"] == "info"


def test_a_warning_of_python_is_a_line_too(at_info: Lines) -> None:
    [line] = [line for line in at_info if line.get("logger") == "py.warnings"]
    assert "UserWarning: soon gone" in line["event"]
    assert about(line) == TALK


def test_what_cannot_be_written_as_it_is_loses_neither_the_line_nor_the_handler(at_info: Lines) -> None:
    line = the(at_info, "hard to write")
    assert (line["number"], line["text"], line["by"]) == (str(2**70), "\\ud800", "{1: 2}")
    assert the(at_info, "odd: %d")["level"] == "info"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", {"details", "3 of lamps", "from a thread", "cannot connect"}),
        ("info", {"3 of lamps", "from a thread"}),
        ("warning", {"from a thread"}),
        ("error", set()),
    ],
)
def test_levels_obey_the_setting_and_kafkas_client_is_quiet_as_before(level: str, shown: set[str]) -> None:
    events = {line["event"] for line in lines(level)}
    assert events & {"details", "3 of lamps", "from a thread", "cannot connect"} == shown


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_form_shows_local_variables_input_values_or_arguments_that_did_not_fit(log_format: str) -> None:
    told = run(log_format, "debug")
    assert "Input should be a valid integer" in told
    assert CARD not in told


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_stack_is_logged_once_while_a_command_fails_the_same_way(log_format: str) -> None:
    told = run(log_format, "info")
    assert told.count("RuntimeError: it broke") == 1
    assert told.count("LookupError: another") == 1
    assert told.count("logged at attempt 1") == 1
    assert told.count("logged at attempt 3") == 1


def test_later_attempts_still_say_their_own_error(at_info: Lines) -> None:
    retries = [line for line in at_info if line["event"] == "command.retry" and line["saga_id"] == "broken"]
    assert [(line["attempt"], line["error"], line.get("traceback")) for line in retries] == [
        (1, "it broke once", None),
        (2, "it broke twice", "logged at attempt 1"),
        (3, "another", None),
        (4, "another", "logged at attempt 3"),
    ]
