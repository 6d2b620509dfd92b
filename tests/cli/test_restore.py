"""`saga restore`: what is refused, with nothing replaced. What it does: tests/integration/test_restore.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kafka_saga.runtime.store_lock import StoreLock
from tests.cli.conftest import FillStore, Saga, completed, running

pytestmark = pytest.mark.processes


@pytest.fixture
def path(fill_store: FillStore) -> Path:
    return fill_store(completed("order-1"), running("order-2"))


@pytest.fixture
def folder(saga: Saga, path: Path, tmp_path: Path) -> Path:
    assert path.exists()
    folder = tmp_path / "monday"
    assert saga("backup", str(folder), "--all").exit_code == 0
    return folder


def test_what_was_chosen_must_be_said_and_must_be_there(saga: Saga, folder: Path) -> None:
    assert saga("restore", str(folder)).exit_code == 2
    assert saga("restore", str(folder), "--all", "--orchestrator").exit_code == 2
    assert saga("restore", str(folder), "--service", "shipping").exit_code == 2
    absent = saga("restore", str(folder), "--service", "payment")
    assert (absent.exit_code, "has no copy of payment" in absent.err) == (4, True)
    assert saga("restore", str(folder / "absent"), "--all").exit_code == 2


def test_a_copy_that_is_damaged_or_missing_is_refused(saga: Saga, folder: Path, path: Path) -> None:
    before = path.read_bytes()
    copy = folder / path.name
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    damaged = saga("restore", str(folder), "--all", "--yes")
    assert (damaged.exit_code, "damaged" in damaged.err) == (5, True)
    copy.unlink()
    missing = saga("restore", str(folder), "--all", "--yes")
    assert (missing.exit_code, "is missing" in missing.err) == (4, True)
    assert path.read_bytes() == before


def test_copies_that_are_not_of_one_moment_are_refused_together(saga: Saga, folder: Path, path: Path) -> None:
    manifest = folder / "backup.json"
    found = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**found, "one_cut": False, "version": 2}))
    newer = saga("restore", str(folder), "--all")
    assert (newer.exit_code, "version" in newer.err) == (4, True)
    manifest.unlink()
    (folder / "payment.db").write_bytes((folder / path.name).read_bytes())
    mixed = saga("restore", str(folder), "--all")
    assert (mixed.exit_code, "not of one moment" in mixed.err) == (4, True)


def test_without_a_broker_nothing_is_replaced(saga: Saga, folder: Path, path: Path) -> None:
    before = path.read_bytes()
    away = saga("restore", str(folder), "--orchestrator", "--yes", "--bootstrap-servers", "127.0.0.1:1")
    assert away.exit_code == 5
    assert path.read_bytes() == before


def test_a_running_owner_is_named_before_anything_else_happens(saga: Saga, folder: Path, path: Path) -> None:
    lock = StoreLock(path)
    lock.acquire("saga orchestrator")
    try:
        refused = saga("restore", str(folder), "--orchestrator", "--yes")
    finally:
        lock.release()
    assert (refused.exit_code, "in use by saga orchestrator" in refused.err) == (4, True)
