"""`saga new`: a project that works, is typed, and whose requirement of kafka-saga can be met."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from kafka_saga.orchestrator.cli import scaffold
from kafka_saga.orchestrator.cli.scaffold import write_project
from kafka_saga.runtime.errors import RefusedError, UsageError
from tests.cli.conftest import Saga, environment


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    variables = environment(project)
    return subprocess.run(command, capture_output=True, text=True, cwd=project, env=variables, check=False)


@pytest.mark.processes
def test_a_new_project_passes_its_own_tests_and_knows_its_settings(saga: Saga, tmp_path: Path) -> None:
    assert saga("new", "a folder/seat-booking").err.endswith(
        "next: cd 'a folder/seat-booking' && make test && make run\n"
    )
    project = tmp_path / "a folder" / "seat-booking"
    done = run(project, "make", "test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout
    checked = run(project, "make", "check")
    assert checked.returncode == 0, checked.stderr
    assert checked.stderr == "seat-booking v1 with seats, wallet: everything fits\n"
    shown = run(project, sys.executable, "-m", "kafka_saga.orchestrator.cli", "topics", "list", "-b", "127.0.0.1:1")
    assert shown.returncode == 5, "its definition is found through saga.toml; only Kafka is missing"


@pytest.mark.processes
def test_a_new_project_is_typed_strictly(tmp_path: Path) -> None:
    write_project(tmp_path / "booking")
    done = run(tmp_path / "booking", sys.executable, "-m", "mypy", "--strict", "booking", "tests")
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "booking" / "tests" / "test_wrong.py").write_text(
        "from kafka_saga.testing import Harness\n"
        "from booking import seats\n"
        "async def test_it() -> None:\n"
        "    async with await Harness.open(seats.seats) as harness:\n"
        "        await harness.step(1, saga_id='b-1').send('no command')\n"
    )
    done = run(tmp_path / "booking", sys.executable, "-m", "mypy", "--strict", "booking", "tests")
    assert done.stdout.count("[arg-type]") == 2, done.stdout


def requirement(project: Path) -> tuple[list[str], bool]:
    document = tomllib.loads((project / "pyproject.toml").read_text())
    direct = document["tool"]["hatch"].get("metadata", {}).get("allow-direct-references", False)
    return document["project"]["dependencies"], direct


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        ({"url": "file:///home/me/my%20code", "dir_info": {"editable": True}}, "file:///home/me/my%20code"),
        ({"url": "file:///tmp/a.whl", "archive_info": {}}, "file:///tmp/a.whl"),
        (
            {"url": "https://example.org/saga.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}},
            "git+https://example.org/saga.git@abc123",
        ),
    ],
)
def test_it_needs_the_kafka_saga_that_wrote_it_where_that_came_from_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: dict[str, object], wanted: str
) -> None:
    installed(tmp_path, monkeypatch, json.dumps(origin))
    write_project(tmp_path / "booking")
    assert requirement(tmp_path / "booking") == ([f"kafka-saga[demo] @ {wanted}"], True)
    assert '"kafka-saga[demo]>=9.8.7"' in (tmp_path / "booking" / "pyproject.toml").read_text()


def test_it_needs_a_release_where_that_came_from_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, None)
    write_project(tmp_path / "booking")
    assert requirement(tmp_path / "booking") == (["kafka-saga[demo]>=9.8.7"], False)


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, direct_url: str | None) -> None:
    """Let an installation of ours with this origin be found first."""
    info = folder / "site" / "kafka_saga-9.8.7.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: kafka-saga\nVersion: 9.8.7\n")
    if direct_url is not None:
        (info / "direct_url.json").write_text(direct_url)
    monkeypatch.syspath_prepend(str(folder / "site"))
    assert metadata.version("kafka-saga") == "9.8.7"


def test_an_interpreter_of_any_path_is_written_as_make_and_the_shell_read_it(tmp_path: Path) -> None:
    path = r"""/my $HOME/it's "#1" `x` \y/python"""
    makefile = tmp_path / "Makefile"
    makefile.write_text(f'PYTHON ?= {scaffold._in_make(path)}\nshow:\n\t@printf %s "$(PYTHON)"\n')
    done = subprocess.run(["make", "-s", "show"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == path


@pytest.mark.parametrize("name", ["Shop", "1st", "a b", "kafka-saga", "json", "class", "pytest", "pydantic"])
def test_a_name_that_cannot_be_imported_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        write_project(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_folder_with_files_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mine.txt").write_text("precious")
    with pytest.raises(RefusedError):
        write_project(tmp_path / "shop")
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["mine.txt"]
