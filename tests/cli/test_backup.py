"""`saga backup`: what is copied, what is refused, and that copies of everything are of one moment."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import FillStore, Saga, completed, running

pytestmark = pytest.mark.processes


@pytest.fixture
def path(fill_store: FillStore) -> Path:
    return fill_store(completed("order-1"), running("order-2"))


def service_database(path: Path, service: str) -> None:
    connection = sqlite3.connect(path.with_name(f"{service}.db"))
    connection.executescript(f"PRAGMA journal_mode=WAL; CREATE TABLE of (service); INSERT INTO of VALUES ('{service}')")
    connection.close()


def sagas(path: Path) -> list[tuple[str]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT saga_id FROM sagas ORDER BY saga_id").fetchall()
    connection.close()
    return found


def test_a_copy_knows_nothing_of_what_comes_after_it_and_the_way_back_is_printed(
    saga: Saga, path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "backup.db"
    run = saga("backup", str(copy), "--json")
    assert (run.exit_code, run.json["owner"], run.json["bytes"]) == (0, "orchestrator", copy.stat().st_size)
    assert f"saga restore {copy} --orchestrator --dry-run" in run.err
    assert sagas(copy) == sagas(path)


def test_all_makes_one_file_for_each_database_the_orchestrators_first(saga: Saga, path: Path, tmp_path: Path) -> None:
    for service in ("inventory", "payment"):
        service_database(path, service)
    folder = tmp_path / "monday"
    run = saga("backup", str(folder), "--all", "--json")
    assert run.exit_code == 0, run.err
    assert [row["owner"] for row in run.rows] == ["orchestrator", "inventory", "payment"]
    assert {file.name for file in folder.iterdir()} == {"orchestrator.db", "inventory.db", "payment.db", "backup.json"}
    assert "orders has no database" in run.err
    assert sagas(folder / "orchestrator.db") == sagas(path)
    manifest = json.loads((folder / "backup.json").read_text())
    assert (manifest["one_cut"], len(manifest["copies"])) == (True, 3)
    again = saga("backup", str(folder), "--all")
    assert (again.exit_code, "--force" in again.err) == (4, True)
    assert saga("backup", str(folder), "--all", "--force").exit_code == 0


def test_one_service_can_be_copied_alone_into_a_folder(saga: Saga, path: Path, tmp_path: Path) -> None:
    service_database(path, "payment")
    run = saga("backup", str(tmp_path), "--service", "payment")
    assert run.exit_code == 0, run.err
    connection = sqlite3.connect(tmp_path / "payment.db")
    assert connection.execute("SELECT service FROM of").fetchall() == [("payment",)]
    connection.close()
    assert "--service payment --dry-run" in run.err


@pytest.mark.usefixtures("path")
def test_what_cannot_be_done_says_so_with_its_exit_code(saga: Saga, tmp_path: Path) -> None:
    copy = tmp_path / "backup.db"
    copy.write_text("last week's")
    refused = saga("backup", str(copy))
    assert (refused.exit_code, copy.read_text()) == (4, "last week's")
    assert "--force" in refused.err
    assert saga("backup", str(copy), "--force").exit_code == 0
    assert saga("backup", str(copy), "--service", "shipping").exit_code == 3
    assert saga("backup", str(copy), "--service", "payment", "--all").exit_code == 2
    assert saga("backup", str(tmp_path / "other.db"), "--store", str(tmp_path / "absent.db")).exit_code == 5


def test_a_folder_that_cannot_be_made_is_one_line(saga: Saga, path: Path, tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("")
    run = saga("backup", str(tmp_path / "a-file" / "monday"), "--all")
    assert path.exists()
    assert (run.exit_code, run.out) == (2, "")
    assert run.err.splitlines()[-1] == f"saga: cannot make the folder {tmp_path}/a-file/monday: Not a directory"


@pytest.mark.parametrize(
    "words", ["backup copies", "backup copies --all", "restore copies --dry-run", "restore copies --orchestrator"]
)
def test_a_store_on_postgresql_is_left_to_its_own_tools(saga: Saga, tmp_path: Path, words: str) -> None:
    (tmp_path / "copies").mkdir()
    run = saga(*words.split(), SAGA_STORE="postgresql://saga:secret@127.0.0.1:1/none")
    assert (run.exit_code, len(run.err.splitlines()), "secret" in run.err) == (4, 1, False)
    assert "the store is postgresql://saga:***@127.0.0.1:1/none: " in run.err
    assert "docs/operating.md" in run.err


def test_a_services_file_is_copied_from_where_the_settings_say(saga: Saga, path: Path, tmp_path: Path) -> None:
    service_database(path, "payment")  # left over from before it was moved
    (tmp_path / "elsewhere").mkdir()
    theirs = tmp_path / "elsewhere" / "money.db"
    service_database(theirs.with_name("orchestrator.db"), "money")
    where = {"SAGA_SERVICE_DATABASES__PAYMENT": f"sqlite:{theirs}"}
    folder = tmp_path / "monday"
    run = saga("backup", str(folder), "--all", "--json", **where)
    assert run.exit_code == 0, run.err
    assert [row["source"] for row in run.rows if row["owner"] == "payment"] == [str(theirs)]
    copy = sqlite3.connect(folder / "payment.db")
    assert copy.execute("SELECT service FROM of").fetchall() == [("money",)]
    copy.close()


@pytest.mark.parametrize("choice", [("--service", "payment"), ("--all",)])
def test_a_service_on_postgresql_is_backed_up_by_its_server(
    saga: Saga, path: Path, tmp_path: Path, choice: tuple[str, ...]
) -> None:
    for service in ("inventory", "payment"):  # payment's is from before it was moved
        service_database(path, service)
    where = {"SAGA_SERVICE_DATABASES__PAYMENT": "postgresql://payment:secret@127.0.0.1:1/shop"}
    run = saga("backup", str(tmp_path / "copy"), *choice, **where)
    assert (run.exit_code, "pg_dump" in run.err, "secret" in run.err) == (4, True, False)
    assert run.err.count("\n") == 1
    assert not (tmp_path / "copy").exists()
    assert saga("backup", str(tmp_path / "copy.db"), "--service", "inventory", **where).exit_code == 0
    assert saga("backup", str(tmp_path / "theirs.db"), **where).exit_code == 0
    put_back = saga("restore", str(tmp_path / "theirs.db"), "--service", "payment", **where)
    assert (put_back.exit_code, "pg_dump" in put_back.err) == (4, True)
