"""`saga store`: what it says, and what every command says of a file that was moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_saga.runtime.postgres import PostgresUrl
from tests.cli.conftest import FillStore, Saga, completed, running


@pytest.fixture
def path(fill_store: FillStore) -> Path:
    found: Path = fill_store(running("order-1"), completed("order-2"))
    return found


@pytest.mark.processes
def test_a_store_is_moved_and_every_command_finds_it_there(saga: Saga, path: Path, postgres_url: PostgresUrl) -> None:
    url = postgres_url.secret_text
    run = saga("store", "copy", "--from", f"sqlite:{path}", "--to", url, "--json")
    assert (run.exit_code, run.json["rows"]["sagas"], run.json["alreadyDone"]) == (0, 2, False), run.err
    assert "is used no more: set SAGA_STORE to" in run.err
    assert {row["sagaId"] for row in saga("list", "-o", "jsonl", SAGA_STORE=url).rows} == {"order-1", "order-2"}
    for words in ("list", "show order-1", "retry order-1 --no-wait"):
        refused = saga(*words.split())
        assert (refused.exit_code, len(refused.err.splitlines())) == (4, 1)
        assert "was moved to postgresql://" in refused.err
    again = saga("store", "copy", SAGA_STORE=url)
    assert (again.exit_code, "there is nothing left to do" in again.out) == (0, True), again.err


@pytest.mark.processes
@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        ("copy", 2, "say where to: --to postgresql://USER@HOST/DATABASE, or SAGA_STORE"),
        ("copy --to other.db", 2, "say where to: --to postgresql://USER@HOST/DATABASE, or SAGA_STORE"),
        ("copy --from postgresql://db/x --to postgresql://db/y", 2, "--from takes a file, as PATH or sqlite:PATH"),
        ("copy --from none.db --to postgresql://127.0.0.1:1/x", 5, "there is no store at none.db"),
        ("copy --to postgresql://u:secret@127.0.0.1:1/x", 5, "is PostgreSQL running there?"),
        ("recovered", 2, "orchestrator.db is a file: put a backup of it back with `saga restore`"),
        ("recovered --store postgresql://u:secret@127.0.0.1:1/x", 5, "is PostgreSQL running there?"),
    ],
)
def test_what_cannot_be_copied_is_one_line(saga: Saga, words: str, exit_code: int, said: str) -> None:
    run = saga("store", *words.split())
    assert (run.exit_code, len(run.err.splitlines()), said in run.err) == (exit_code, 1, True), run.err
    assert "secret" not in run.err


@pytest.mark.processes
@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        ("up", 2, "outlives the embedded broker: name a Kafka with --bootstrap-servers"),
        ("purge --older-than 1d --compact --yes", 4, "VACUUM FULL or pg_repack give it back"),
    ],
)
def test_what_a_database_cannot_do_is_one_line(saga: Saga, words: str, exit_code: int, said: str) -> None:
    run = saga(*words.split(), SAGA_STORE="postgresql://u:secret@127.0.0.1:1/x")
    assert (run.exit_code, len(run.err.splitlines()), said in run.err) == (exit_code, 1, True), run.err
    assert "secret" not in run.err
