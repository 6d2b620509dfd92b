"""Every command, and every kind of bad input: one line on standard error, the documented exit code, no traceback."""

from __future__ import annotations

from collections.abc import Iterator

import cyclopts
import pytest

from kafka_saga.orchestrator.cli import edge
from kafka_saga.orchestrator.cli.commands import app
from tests.cli.conftest import FillStore, Saga, completed

IS_COLD = True
NOWHERE = ("-b", "127.0.0.1:1")


def every_command(parent: cyclopts.App = app, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Each command as it is typed, those of groups (`dlq list`) included."""
    for name in parent:
        if not name.startswith("-"):
            yield (*path, name)
            yield from every_command(parent[name], (*path, name))


COMMANDS = sorted(" ".join(path) for path in every_command())


def test_the_table_has_every_command() -> None:
    assert {"list", "up", "demo", "participant", "dlq redrive", "config get", "topics create"} <= set(COMMANDS)
    assert len(COMMANDS) > 35


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_option_is_one_line_and_exit_code_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.split()
    assert edge.run(app, [*words, "--nonesuch-option", "1"], [words[0]]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("saga: ")
    assert f"See saga {words[0]}" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_exit_code_0(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert edge.run(app, [*command.split(), "--help"], [command.split(maxsplit=1)[0]]) == 0
    out, err = capsys.readouterr()
    assert (bool(out), err) == (True, "")


BAD_INPUT = [
    # Of the settings, which every command reads.
    *((f"{command} --config none.toml", 2, "none.toml") for command in ("list", "orchestrator", "up", "doctor")),
    ("up --app no.such.module", 2, "no.such.module"),
    ("schemas export out --app no.such.module", 2, "no.such.module"),
    ("participant laundry", 2, "laundry"),
    ("participant no.such:thing", 2, "no.such"),
    # No store at all.
    *(
        (command, 5, "there is no store at")
        for command in (
            "list", "show x", "log x", "explain x", "watch --count 1", "retry x", "skip x --step s", "cancel x",
            "resolve x --as completed --reason why", "pause x", "resume x", "pauses", "acts", "purge --older-than 1d",
            "retry --all --yes", "backup copy.db",
        )
    ),
    # No broker.
    *(
        (f"{command} {' '.join(NOWHERE)}", 5, "cannot reach Kafka at 127.0.0.1:1")
        for command in (
            "submit order", "tail --topic order.events", "tail x", "dlq list", "dlq count", "dlq show dlq.x/0/0",
            "dlq redrive --yes", "dlq discard --yes --reason why", "topics list", "topics create",
            "orchestrator --broker-wait 0",
        )
    ),
    # Words that mean nothing.
    ("list --state flying", 2, "flying"),
    ("list --older-than soon", 2, "write 90s"),
    ("purge --older-than 1d --state RUNNING", 2, "only what ended"),
    ("submit shipment --json {}", 2, "shipment"),
    ("submit order --json [1]", 2, "send one JSON object"),
    ("submit order --file none.jsonl", 2, "none.jsonl"),
    ("config get nonesuch", 3, "nonesuch"),
    ("dlq show nonesuch", 2, "nonesuch"),
    ("new 1nvalid!", 2, "1nvalid!"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "exit_code", "said"), BAD_INPUT, ids=[line for line, _, _ in BAD_INPUT])
def test_bad_input_is_one_line_with_the_documented_exit_code(saga: Saga, line: str, exit_code: int, said: str) -> None:
    run = saga(*line.split())
    if line.startswith("doctor"):
        assert (run.exit_code, said in run.out) == (1, True)  # what is wrong with settings is its finding
        return
    assert (run.exit_code, run.out) == (exit_code, "")
    assert said in run.err
    assert len(run.err.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [
        "show",
        "log",
        "explain",
        "retry",
        "skip --step s",
        "cancel",
        "pause",
        "resume",
        "resolve --as completed --reason why",
    ],
)
def test_an_unknown_id_is_exit_code_3(saga: Saga, fill_store: FillStore, command: str) -> None:
    fill_store(completed("order-1"))
    verb, *options = command.split()
    run = saga(verb, "nonesuch", *options)
    assert (run.exit_code, run.out, run.err) == (3, "", "saga: there is no saga 'nonesuch'\n")
