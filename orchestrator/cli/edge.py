"""The edge of the command line: examples under every help text, one clear line for every error."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress

import cyclopts

from kafka_saga.orchestrator.cli.streams import settle_streams
from kafka_saga.runtime.errors import SagaError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 5
EXIT_PARTLY_FAILED = 6
EXIT_TIMED_OUT = 124
EXIT_INTERRUPTED = 130

_HELP_FLAGS = {"--help", "-h"}


def run(app: cyclopts.App, arguments: Sequence[str], commands: Collection[str]) -> int:
    """Run one command line; its exit code."""
    try:
        return _run(app, arguments, commands)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        if not _has_seen_enough(error):
            raise
        return 0
    finally:
        settle_streams()


def _run(app: cyclopts.App, arguments: Sequence[str], commands: Collection[str]) -> int:
    unknown = _unknown_command(arguments, commands)
    if unknown is not None:
        return _complain(unknown, EXIT_USAGE)
    try:
        result = app(
            list(arguments),
            result_action="return_value",
            exit_on_error=False,
            print_error=False,
            help_on_error=False,
        )
        _print_examples(app, arguments)
        sys.stdout.flush()
    except SagaError as error:
        return _complain(str(error), error.exit_code)
    except cyclopts.CycloptsError as error:
        return _complain(f"{_sentence(error)} See {_help_command(error)}", EXIT_USAGE)
    except BrokenPipeError:
        raise
    except UnicodeEncodeError:
        garbled = next(filter(_is_garbled, arguments), None)
        if garbled is None:
            raise
        what = f"'{garbled}' is no text in this locale's encoding ({sys.getfilesystemencoding()})"
        return _complain(f"{what}: set LC_ALL=C.UTF-8", EXIT_USAGE)
    except OSError as error:  # a full disk below the output, a folder that is gone: nothing that a traceback explains
        what = f"{error.filename}: " if error.filename is not None else ""
        return _complain(f"cannot go on: {what}{error.strerror or error}", EXIT_FAILED)
    return result if isinstance(result, int) else 0


def _is_garbled(word: str) -> bool:
    """Whether Python could not decode it: such bytes are kept as lone surrogates, which no message can hold."""
    return any("\ud800" <= character <= "\udfff" for character in word)


def _has_seen_enough(error: BaseException) -> bool:
    """Whether the reader of our output has gone, as `head` does: no error. Rich makes an exit of it, with code 1."""
    return isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError)


def _complain(message: str, exit_code: int) -> int:
    with suppress(OSError):  # where nobody can be told, the exit code still says it
        sys.stderr.write(f"saga: {message}\n")
    return exit_code


def _sentence(error: cyclopts.CycloptsError) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _help_command(error: cyclopts.CycloptsError) -> str:
    return " ".join(["saga", *(error.command_chain or ()), "--help"])


def _unknown_command(arguments: Sequence[str], commands: Collection[str]) -> str | None:
    """A complaint about the first word, where it is no command. Nothing is imported to find out."""
    if not arguments or arguments[0] in commands or arguments[0] in {*_HELP_FLAGS, "--version", "--install-completion"}:
        return None
    word = arguments[0]
    if word.startswith("-"):
        return f"the command comes first and its options after it: saga COMMAND {word} …  See saga --help"
    close = difflib.get_close_matches(word, commands, n=1)
    meant = f"did you mean `saga {close[0]}`?" if close else "`saga --help` lists all."
    return f"there is no command '{word}': {meant}"


def _print_examples(app: cyclopts.App, arguments: Sequence[str]) -> None:
    """The examples of a command's docstring, which cyclopts leaves out of its help."""
    if not _HELP_FLAGS.intersection(arguments):
        return
    _chain, apps, _rest = app.parse_commands([word for word in arguments if word not in _HELP_FLAGS])
    text = inspect.getdoc(apps[-1].default_command) if apps[-1].default_command else None
    lines = examples(text or "")
    if not lines:
        return
    from rich.console import Console  # noqa: PLC0415 -- only where help is printed
    from rich.text import Text  # noqa: PLC0415

    out = Console(soft_wrap=True, highlight=False)  # a command that is broken into lines cannot be copied
    out.print(Text("Examples:", "bold"))
    for line in lines:
        command, mark, remark = line.partition("  # ")
        out.print(Text.assemble(f"  {command}", (f"{mark}{remark}", "dim")))


def examples(docstring: str) -> list[str]:
    """The lines of the section `Examples:`, one command each; what follows `  # ` says what it is for."""
    _before, found, section = docstring.partition("Examples:\n")
    lines = [line.strip().partition("  # ") for line in section.splitlines() if line.strip()] if found else []
    room = max((len(command.rstrip()) for command, mark, _remark in lines if mark), default=0)
    return [f"{command.rstrip():<{room}}{mark}{remark}" if mark else command for command, mark, remark in lines]
