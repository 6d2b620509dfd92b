"""Whatever a shell, a terminal, a locale or other programs' variables are like: every command starts, and prints."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import PATIENCE_S, FillStore, Run, command, completed, environment, parked

READING = ["--help", "list --help", "list", "show order-2", "config show -o jsonl"]
PRINTING = ["--help", "show order-2", "config show"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def in_shell(folder: Path, line: str, **variables: str) -> Run:
    """Run a line of bash in which `saga` is the command; its exit code is that of its first part."""
    script = f'saga() {{ {shlex.join(command())} "$@"; }}; {line}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True, cwd=folder, env=environment(folder, **variables), timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return Run(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


@pytest.fixture
def filled(tmp_path: Path, fill_store: FillStore) -> Path:
    fill_store(completed("order-1"), parked("order-2"))
    return tmp_path


@pytest.mark.parametrize("reader", ["head -n 1", "true"])
@pytest.mark.parametrize("arguments", READING)
def test_a_reader_that_goes_away_is_no_error(filled: Path, arguments: str, reader: str) -> None:
    run = in_shell(filled, f"saga {arguments} | {reader}", SAGA_NOBODY_S="x")
    assert (run.exit_code, "Traceback" in run.err, "Exception" in run.err) == (0, False, False)
    both = in_shell(filled, f"saga {arguments} 2>&1 | {reader}")
    assert (both.exit_code, both.err) == (0, "")


def test_a_mistake_keeps_its_exit_code_when_nobody_reads_it(filled: Path) -> None:
    assert in_shell(filled, "saga nonesuch 2>&1 | true").exit_code == 2


@pytest.mark.parametrize("arguments", PRINTING)
@pytest.mark.parametrize(
    "variables",
    [
        pytest.param(variables, id=" ".join(f"{name}={value}" for name, value in variables.items()))
        for variables in (
            {"LANG": "C"},
            {"LC_ALL": "POSIX"},
            {"PYTHONIOENCODING": "ascii"},
            {"PYTHONIOENCODING": "euc_jp"},
            {"TERM": "dumb"},
            {"LC_ALL": "ja_JP.eucJP"},
            {"LC_ALL": "xx_YY.nonesuch", "PYTHONUTF8": "0"},
            ASCII,
        )
    ],
)
def test_any_locale_and_terminal_gets_its_text(filled: Path, arguments: str, variables: dict[str, str]) -> None:
    run = in_shell(filled, f"saga {arguments}", **variables)
    assert (run.exit_code, "Traceback" in run.err) == (0, False)
    assert run.out


def test_an_ascii_terminal_gets_an_ascii_spelling_or_a_question_mark(filled: Path) -> None:
    assert "SAGA_... variables" in in_shell(filled, "saga --help", **ASCII).out
    (filled / "saga.toml").write_text('group = "b\\u00fcro"', encoding="utf-8")
    assert in_shell(filled, "saga config get group", **ASCII).out == "b?ro\n"


def test_a_word_that_the_locale_cannot_read_is_one_line(filled: Path) -> None:
    run = in_shell(filled, "saga explain caf\N{LATIN SMALL LETTER E WITH ACUTE}", **ASCII)
    assert (run.exit_code, run.out) == (2, "")
    assert run.err == "saga: 'caf??' is no text in this locale's encoding (ascii): set LC_ALL=C.UTF-8\n"


@pytest.mark.skipif(
    shutil.which("localedef") is None or not Path("/usr/share/i18n/charmaps").is_dir(), reason="no localedef here"
)
def test_a_real_japanese_locale_starts(filled: Path) -> None:
    made = ["localedef", "-i", "ja_JP", "-f", "EUC-JP", str(filled / "ja_JP.eucJP")]
    subprocess.run(made, check=False, capture_output=True)
    variables = {"LOCPATH": str(filled), "LC_ALL": "ja_JP.eucJP"}
    asked = [sys.executable, "-c", "import locale; print(locale.getencoding())"]
    told = subprocess.run(asked, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "EUC-JP", "the locale was made, and is used"
    for arguments in PRINTING:
        run = in_shell(filled, f"saga {arguments}", **variables)
        assert (arguments, run.exit_code, "Traceback" in run.err) == (arguments, 0, False)


@pytest.mark.parametrize(
    "variables",
    [
        {"SAGA_HOME": "/opt/saga"},
        {"SAGA_SERVICE_HOST": "10.0.0.1", "SAGA_SERVICE_PORT": "80", "SAGA_PORT": "tcp://10.0.0.1:80"},
        {"SAGA_PORT_80_TCP": "tcp://10.0.0.1:80", "SAGA_STORE_SERVICE_HOST": "10.0.0.2", "SAGA_APP_PORT": "tcp://x:1"},
        {"COLUMNS": "abc"},
        {"COLUMNS": "-5", "LINES": "x"},
        {"NO_COLOR": "1"},
        {"FORCE_COLOR": "1"},
        {"PYTHONWARNINGS": "error"},
        {"KAFKA_BOOTSTRAP_SERVERS": "", "SAGA_STORE": "", "SAGA_PARTITIONS": "", "SAGA_CONFIG": ""},
    ],
    ids=" ".join,
)
def test_variables_of_others_never_stop_a_command(filled: Path, variables: dict[str, str]) -> None:
    for arguments in ("--help", "list", "config show -o json"):
        run = in_shell(filled, f"saga {arguments}", **variables)
        assert (arguments, run.exit_code, run.err) == (arguments, 0, "")


def test_a_variable_one_slip_away_from_ours_is_ignored_with_a_remark(filled: Path) -> None:
    run = in_shell(filled, "saga list -o jsonl", SAGA_DATADIR="elsewhere", SAGA_KAFKA_BOOTSTRAP_SERVERS="kafka:9092")
    assert (run.exit_code, len(run.rows)) == (0, 2)
    ignored = "is no setting and is ignored: did you mean"
    assert sorted(run.err.splitlines()) == [
        f"saga: the variable SAGA_DATADIR {ignored} SAGA_DATA_DIR?",
        f"saga: the variable SAGA_KAFKA_BOOTSTRAP_SERVERS {ignored} SAGA_KAFKA__BOOTSTRAP_SERVERS?",
    ]


@pytest.mark.parametrize(
    ("line", "exit_code", "said"),
    [
        ("saga list >&-", 0, ""),
        ("saga list <&- >&- 2>&-", 0, ""),
        ("saga nonesuch 2>&-", 2, ""),
        ("saga list >/dev/full", 1, "saga: cannot go on: No space left on device\n"),
        ("saga --help >/dev/full", 1, "saga: cannot go on: No space left on device\n"),
        ("saga cancel --all <&-", 2, "saga: there is no terminal to ask on: add --yes, or look first with --dry-run\n"),
        ("unset HOME TERM; saga list", 0, ""),
    ],
)
def test_streams_that_are_closed_or_full(filled: Path, line: str, exit_code: int, said: str) -> None:
    run = in_shell(filled, line)
    assert run.exit_code == exit_code
    assert run.err.endswith(said)
    assert "Traceback" not in run.err


def test_a_working_directory_that_was_deleted_stops_nobody(filled: Path) -> None:
    for arguments in ("list", "show order-2", "config show"):
        run = in_shell(filled, f"mkdir -p gone; cd gone; rmdir ../gone; saga {arguments}", PYTHONSAFEPATH="1")
        assert (arguments, run.exit_code, "Traceback" in run.err) == (arguments, 0, False)
