"""The list of commands. Each is imported when it is called, so that `saga --help` is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version

import cyclopts

from kafka_saga.orchestrator.cli import edge

HELP = """A durable saga orchestrator over Kafka.

A saga is a business act across services: each step is a command to one service, and when a step fails, what was
done is undone in reverse. Settings: `saga.toml` < `SAGA_…` variables < flags.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 store or broker unreachable, 6 partly failed,
124 wait timed out, 130 interrupted.
"""


def _version() -> str:
    """The installed distribution's; its name is not that of any package in it."""
    return version("kafka-saga")


app = cyclopts.App(name="saga", help=HELP, help_format="markdown", version=_version, version_flags=["--version"])

# Command, where it lives, and its one line in `saga --help` (the module is not imported for that).
_COMMANDS = {
    "Try it": (
        ("demo", "demo:demo", "Watch real orders go through real processes, and what happens when things break."),
        ("up", "up:up", "Run broker, orchestrator and participants together until Ctrl-C."),
        ("new", "new:new", "Write a project of your own: a saga, a participant, a test."),
        ("check", "check:check", "Compare sagas and participants before they run: does everything fit?"),
    ),
    "Run": (
        ("orchestrator", "processes:orchestrator", "Run the orchestrator."),
        ("participant", "participant:participant", "Run the participant of one service."),
        ("dashboard", "dashboard:dashboard", "Serve the dashboard and the HTTP API beside the orchestrator."),
        ("outbox", "outbox:app", "Start sagas in a service's own transaction: the table, and its relay."),
        ("broker", "broker:broker", "Run the embedded broker: for demos and quick tests."),
    ),
    "Use": (
        ("submit", "submit:app", "Publish requests: one, from a file, or many."),
        ("list", "sagas:list_sagas", "List sagas by state, type, age or error."),
        ("show", "sagas:show", "Show one saga and where it stands."),
        ("log", "sagas:log", "Show what happened to each step of one saga."),
        ("explain", "explain:explain", "Say in one sentence what a saga waits for."),
        ("trace", "trace:trace", "Draw when each attempt of one saga ran."),
        ("open", "opening:open_saga", "Open the page of one saga on the dashboard that runs."),
        ("watch", "watch:watch", "Watch sagas live."),
        ("tail", "tail:tail", "Read the messages of a saga or a topic, decoded."),
    ),
    "Put right": (
        ("retry", "verbs:retry", "Send a step's command again, now: after a repair, or to skip the backoff."),
        ("skip", "verbs:skip", "Mark a step as done, or undone, by hand."),
        ("cancel", "verbs:cancel", "Undo a running saga."),
        ("resolve", "verbs:resolve", "End a parked saga that was settled outside."),
        ("pause", "pausing:pause", "Stop one saga, a saga type, or all commands to a service; nothing is lost."),
        ("resume", "pausing:resume", "Let go on what was paused."),
        ("pauses", "pausing:pauses", "List what is paused, by whom, and how many sagas it holds."),
        ("acts", "acts:acts", "List what operators did, why, and what came of it."),
    ),
    "Look after": (
        ("doctor", "doctor:doctor", "Check broker, store, topics and settings."),
        ("lag", "lag:lag", "Show how far behind every group is, by topic and partition."),
        ("health", "health:health", "Say whether the processes here are alive and ready: for probes."),
        ("purge", "purge:purge", "Delete finished sagas that are older than a while."),
        ("backup", "backup:backup", "Copy a database while it is in use; say how to put it back."),
        ("adopt", "adopt:adopt", "Make a consumer group a database's own, and say where it reads on."),
        ("restore", "restore:restore", "Put a backup back, and go on from it."),
        ("store", "store:app", "Move the orchestrator's store from a file to PostgreSQL."),
        ("topics", "topics:app", "Create and list the topics that sagas need."),
        ("dlq", "dlq:app", "Look at dead letters, send them again, put them away."),
        ("config", "config:app", "Show every setting, its value and its source; or get one."),
        ("schemas", "schemas:app", "Export the contract: JSON Schemas and AsyncAPI."),
    ),
}

# A one-line help would hide the command's own text, so it is given only where all commands are listed.
_listing = len(sys.argv) < 2 or sys.argv[1].startswith("-")

for _order, (_group, _commands) in enumerate(_COMMANDS.items()):
    _panel = cyclopts.Group(_group, sort_key=_order)
    for _name, _path, _line in _commands:
        app.command(f"kafka_saga.orchestrator.cli.{_path}", name=_name, help=_line if _listing else None, group=_panel)

app.register_install_completion_command(help="Set up completion for bash, zsh or fish.")


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    names = [name for commands in _COMMANDS.values() for name, _path, _line in commands]
    return edge.run(app, arguments, names)
