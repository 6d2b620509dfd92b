"""The `saga` command. Each sub-command is imported when it is called, so that `saga --help` is quick."""

from __future__ import annotations

import sys

import cyclopts

from runtime.errors import SagaError

HELP = """A durable saga orchestrator over Kafka.

A saga is a business act across services: each step is a command to one service, and when a step fails, what was
done is undone in reverse. Settings: `saga.toml` < `SAGA_…` variables < flags.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 store or broker unreachable, 124 wait timed out.
"""

if not __debug__:
    sys.stderr.write("saga: refuses to run under python -O: its assertions guard your data\n")
    raise SystemExit(2)

app = cyclopts.App(name="saga", help=HELP, help_format="markdown", version_flags=["--version"])
topics = cyclopts.App(name="topics", help="Create and list the topics that sagas need.")
app.command(topics)

app.command("orchestrator.cli.processes:orchestrator", name="orchestrator")
app.command("orchestrator.cli.participant:participant", name="participant")
app.command("orchestrator.cli.sagas:show", name="show")
app.command("orchestrator.cli.sagas:log", name="log")
topics.command("orchestrator.cli.topics:create", name="create")
topics.command("orchestrator.cli.topics:show_list", name="list")


def main() -> None:
    """Run the command line."""
    try:
        result = app(result_action="return_value")
    except SagaError as error:
        sys.stderr.write(f"saga: {error}\n")
        raise SystemExit(error.exit_code) from None
    except cyclopts.CycloptsError:
        raise SystemExit(2) from None
    except BrokenPipeError:
        raise SystemExit(0) from None
    raise SystemExit(result if isinstance(result, int) else 0)
