"""What the pages print is what happens: every command of README and quickstart, on one running system, in order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.demo.upper import PATIENCE_S, Up, clean_environment, saga_up
from tests.examples.console import Shown, commands_of, missing
from tests.examples.readmes import README, SHOP_FLAGS, readmes_shop

ROOT = Path(__file__).resolve().parent.parent.parent
QUICKSTART, OPERATING = ROOT / "docs" / "quickstart.md", ROOT / "docs" / "operating.md"
FRONT_PAGE = ROOT / "docs" / "index.md"

NOT_RUN = {
    r"make \w+": "the Makefile's targets, which run this very test",
    r"pip install": "tests/packaging installs the built wheel",
    r"saga up --app shop\.saga": "a project of one's own: tests/packaging",
    r"saga --help": "tests/cli",
    r"saga new ": "tests of the scaffold",
    r"saga up$": "is what all others run on",
    r"saga watch": "needs a terminal: tests/cli/test_watch.py",
    r"saga store copy": "needs a stopped orchestrator and a database: tests/cli/test_store.py",
    r"export ": "sets a variable for what follows",
    r"(saga orchestrator|saga participant)": "are what `saga up` runs",
    r"(echo .*)?kcat ": "needs kcat",
}
EXIT_CODES = {r"saga submit .*(broke|bob|--declined)": 1}
"""Commands whose exit code says that something did not complete."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`saga up` as the README starts it."""
    with saga_up(tmp_path_factory.mktemp("readme")) as up:
        up.until("everything is ready")
        yield up
        up.stop()


def run(up: Up, command: str) -> subprocess.CompletedProcess[str]:
    """A line of shell, in another terminal in the same directory."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=up.directory,
        env=clean_environment(PATH=path),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_S,
        check=False,
    )


def wrong(up: Up, shown: Shown) -> list[str]:
    """What a reader would stumble over."""
    done = run(up, shown.command)
    expected = next((code for text, code in EXIT_CODES.items() if re.match(text, shown.bare)), 0)
    if done.returncode != expected:
        return [f"exit code {done.returncode}, not {expected}: {done.stderr}"]
    return [f"never said: {line}\n{done.stdout}{done.stderr}" for line in missing(shown, done.stdout + done.stderr)]


def is_run(shown: Shown) -> bool:
    return not any(re.match(text, shown.bare, re.DOTALL) for text in NOT_RUN)


def of_shop(shown: Shown) -> bool:
    return re.search(r"--app shop( |$)", shown.bare) is not None


@pytest.mark.processes
def test_the_commands_of_the_readme_do_what_it_prints(up: Up) -> None:
    shown = [one for one in commands_of(README) if is_run(one) and not of_shop(one)]
    assert len(shown) >= 15
    assert {one.bare: found for one in shown if (found := wrong(up, one))} == {}


@pytest.mark.processes
def test_the_commands_of_the_quickstart_work(up: Up) -> None:
    # Its `saga check` is about a project with a mistake: tests/cli/test_check.py.
    shown = [one for one in commands_of(QUICKSTART) if is_run(one) and one.bare != "saga check"]
    assert len(shown) >= 5
    for one in shown:
        if re.search(r"\bID\b", one.bare):  # an id from the list
            one.command = re.sub(r"\bID\b", run(up, "saga list -n 1").stdout.splitlines()[1].split()[0], one.bare)
        assert wrong(up, one) == [], one.command


@pytest.mark.processes
def test_the_commands_of_the_front_page_work(up: Up) -> None:
    begin, *shown = commands_of(FRONT_PAGE)
    assert (begin.bare, len(shown)) == ("saga up", 2)
    assert {one.bare: found for one in shown if (found := wrong(up, one))} == {}


@pytest.mark.processes
def test_looking_as_operating_says_works(up: Up) -> None:
    assert run(up, "saga submit order --order-id order-2 --customer broke --wait").returncode == 1
    looks = ("list", "explain", "show", "log", "tail", "acts", "dlq count", "dlq list", "purge", "doctor")
    asked = re.compile(rf"saga ({'|'.join(looks)})\b")
    shown = [one for one in commands_of(OPERATING) if asked.match(one.bare) and is_read_only(one)]
    assert len(shown) >= 9
    assert {one.bare: found for one in shown if (found := wrong(up, Shown(one.command)))} == {}


def is_read_only(shown: Shown) -> bool:
    return not re.search(r"\||--yes|acts order-2", shown.bare)


@pytest.mark.processes
def test_the_order_that_kcat_publishes_is_a_request(up: Up) -> None:
    ended(up)


def ended(up: Up) -> None:
    """Wait until the order that kcat publishes has failed, as it must."""
    [echo] = [one for one in commands_of(README) if one.command.startswith("echo")]
    order = echo.command.split("'")[1].replace("\n", "")
    done = run(up, f"saga submit order --json '{order}' --wait -o json")
    assert (done.returncode, '"COMPENSATED"' in done.stdout) == (1, True), done.stderr


@pytest.mark.processes
def test_with_kcat_the_messages_are_those_that_the_readme_prints(up: Up) -> None:
    if shutil.which("kcat") is None:
        pytest.skip("needs kcat")
    set_address = f"B={up.settings.kafka.bootstrap_servers}; "
    order, *looks = [one for one in commands_of(README) if "kcat" in one.bare]
    assert run(up, set_address + order.command).returncode == 0
    ended(up)
    assert run(up, f"{set_address} echo oops | kcat -b $B -P -t order.requests").returncode == 0
    up.until("message.dead_lettered")
    assert len(looks) == 4
    for one in looks:
        assert wrong(up, replace(one, command=set_address + one.command)) == [], one.bare


@pytest.mark.processes
def test_the_readmes_shop_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(readmes_shop())
    begin, completes, declined = [one for one in commands_of(README) if of_shop(one)]
    with saga_up(tmp_path, *SHOP_FLAGS) as up:
        assert begin.bare == f"saga up {' '.join(SHOP_FLAGS)}"
        up.until("everything is ready")
        assert wrong(up, completes) == []
        assert wrong(up, declined) == []
        up.until(r"saga +│ p-1  purchase  COMPLETED")
        up.until(r"saga +│ p-2  purchase  COMPENSATED .*  card declined")
        stock = run(up, "saga show p-2 --app shop -o json").stdout
        assert '"stepsCompensated":[1]' in stock
        assert up.stop() == 0


@pytest.mark.parametrize("page", [README, QUICKSTART], ids=lambda page: page.name)
def test_what_is_not_run_is_known(page: Path) -> None:
    shown = list(commands_of(page))
    assert [one.bare for one in shown if is_run(one) and not one.bare.startswith("saga ")] == []


def test_the_readme_prints_the_foreign_participant_as_it_is() -> None:
    program = (ROOT / "examples" / "foreign_participant.py").read_text()
    assert program.strip() in README.read_text()
