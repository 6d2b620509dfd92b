"""Every command: its help teaches, its mistakes are one sentence, its exit code says what kind of end it was."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from kafka_saga.orchestrator.cli import edge
from kafka_saga.orchestrator.cli.commands import app
from tests.cli.conftest import ROOT, FillStore, Saga, command, environment, running

COMMANDS = [
    "submit",
    "submit order",
    "list",
    "show",
    "log",
    "explain",
    "watch",
    "tail",
    "doctor",
    "topics create",
    "topics list",
    "dlq list",
    "dlq count",
    "dlq show",
    "config show",
    "schemas export",
    "new",
    "check",
    "up",
    "orchestrator",
    "participant",
]
IS_COLD = True
NOWHERE = "127.0.0.1:1"


def test_the_version_is_that_of_the_distribution() -> None:
    told = subprocess.run([*command(), "--version"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == version("kafka-saga")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_examples_that_begin_with_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert edge.run(app, [*name.split(), "--help"], [name.split(maxsplit=1)[0]]) == 0
    _, found, section = capsys.readouterr().out.partition("Examples:\n")
    assert found
    assert f"saga {name.split(maxsplit=1)[0]}" in section


def test_the_list_of_commands_imports_none_of_them() -> None:
    code = (
        "import sys; sys.argv = ['saga', '--help']; import kafka_saga.orchestrator.cli.commands; "
        "heavy = ('aiokafka', 'kafka_saga.messaging.consumer', 'kafka_saga.orchestrator.app'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_import_nothing_that_serves_them() -> None:
    code = (
        "import sys; import kafka_saga.orchestrator.config; heavy = ('fastapi', 'starlette', 'jinja2', 'uvicorn'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("shwo order-1", "did you mean `saga show`?"),
        ("nonesuch", "there is no command 'nonesuch'"),
        ("-b localhost:9092 list", "the command comes first"),
        ("show", "SAGA_ID requires an argument"),
        ("list --nope", "Unknown option: --nope"),
        ("list --state flying", "flying"),
        ("list --older-than 5x", "write 90s, 15m, 2h or 7d"),
        ("dlq nonesuch", "nonesuch"),
        ("submit order --count 0", "Must be >= 1"),
    ],
)
def test_a_wrong_word_is_one_line_on_stderr_and_exit_code_2(saga: Saga, arguments: str, said: str) -> None:
    run = saga(*arguments.split())
    assert (run.exit_code, run.out) == (2, "")
    assert said in run.err
    assert len(run.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        "submit order",
        "tail --topic order.events",
        "dlq list",
        "dlq count",
        "topics list",
        "topics create",
        "orchestrator --broker-wait 0",
        "participant inventory --broker-wait 0",
        "up --broker-wait 0",
    ],
)
def test_a_broker_that_is_away_is_said_with_its_address_and_the_way_out(saga: Saga, arguments: str) -> None:
    run = saga(*arguments.split(), "--bootstrap-servers", NOWHERE)
    assert run.exit_code == 5
    last = run.err.splitlines()[-1]
    assert last.startswith(f"saga: cannot reach Kafka at {NOWHERE}: is it running?")
    assert "`saga up`" in last
    assert "KAFKA_BOOTSTRAP_SERVERS" in last


@pytest.mark.parametrize(
    ("arguments", "servers", "said"),
    [
        (
            "orchestrator",
            "PLAINTEXT://localhost:9092",
            "write host:port without PLAINTEXT://, and set security_protocol",
        ),
        ("participant inventory", "localhost:kafka", "the port of 'localhost:kafka' is not a number"),
        ("up", "PLAINTEXT://localhost:9092", "write host:port without PLAINTEXT://, and set security_protocol"),
        ("submit order", "localhost", "'localhost' has no port: write e.g. localhost:9092"),
        ("topics list", "::1:9092", "an IPv6 address stands in brackets"),
    ],
)
def test_a_wrong_address_is_a_wrong_setting(saga: Saga, arguments: str, servers: str, said: str) -> None:
    run = saga(*arguments.split(), KAFKA_BOOTSTRAP_SERVERS=servers)
    [line] = run.err.splitlines()
    assert run.exit_code == 2
    assert line.startswith("saga: KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap_servers: ")
    assert said in line


@pytest.mark.parametrize("arguments", ["list", "show order-1", "log order-1", "explain order-1", "watch"])
def test_a_store_that_is_not_there_is_exit_code_5(saga: Saga, arguments: str) -> None:
    run = saga(*arguments.split())
    assert run.exit_code == 5
    assert "there is no store at" in run.err
    assert "saga orchestrator" in run.err


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    saga = " ".join(command("config", "show", "-o", "jsonl"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {saga} | head -n 1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.processes
def test_ctrl_c_ends_a_live_command_with_exit_code_130(tmp_path: Path, fill_store: FillStore) -> None:
    fill_store(running("order-1"))
    with subprocess.Popen(
        command("watch", "--interval", "100ms"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(tmp_path),
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"")


def test_examples_are_aligned_where_they_have_a_remark() -> None:
    docstring = (
        "What it does.\n\nExamples:\n    saga list  # all\n    saga list -n 5  # five\n    saga list -o json | jq .\n"
    )
    assert edge.examples(docstring) == ["saga list       # all", "saga list -n 5  # five", "saga list -o json | jq ."]


@pytest.mark.parametrize(("database", "word"), [("postgresql", "COLLATE"), ("sqlite", "WITHOUT ROWID")])
def test_the_guards_tables_can_be_printed(saga: Saga, database: str, word: str) -> None:
    run = saga("participant", "ddl", "--database", database)
    assert (run.exit_code, run.err) == (0, "")
    assert run.out.startswith("CREATE TABLE saga_migrations")
    assert word in run.out


def test_the_password_of_a_services_database_is_never_told(saga: Saga) -> None:
    url = "postgresql://shop:hush-hush@127.0.0.1:1/shop"
    run = saga("participant", "inventory", "--database", url)
    assert (run.exit_code, "hush-hush" in run.err + run.out, run.err.count("\n")) == (5, False, 1)
    run = saga("config", "show", SAGA_SERVICE_DATABASE=url)
    assert (run.exit_code, "hush-hush" in run.out) == (0, False)
