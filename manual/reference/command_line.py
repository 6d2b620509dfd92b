"""Every command of `saga`, from its help, with its examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from cyclopts import App

from kafka_saga.orchestrator.cli.commands import app
from kafka_saga.orchestrator.cli.edge import examples

CONTENTS = re.compile(r"## Table of Contents\n.*?(?=\*\*Commands\*\*)", re.DOTALL)
SETTINGS = re.compile(r"\*\*Settings\*\*:\n\n(?:\* .*\n)+\n?")

SHARED = """Every command takes the settings that it needs as flags, too (`--data-dir`, `--bootstrap-servers`, …):
`saga COMMAND --help` lists them, [settings](settings.md) says what they mean.

"""


def page() -> str:
    """The page."""
    text = CONTENTS.sub(SHARED, app.generate_docs(output_format="markdown"), count=1)
    text = text.replace("# saga\n", "# Command line\n", 1)
    for title, lines in every_example(app, "saga"):
        text = _below(text, title, lines)
    return SETTINGS.sub("", text).rstrip() + "\n"


def every_example(command: App, name: str) -> Iterator[tuple[str, list[str]]]:
    """Each command's name with the examples of its docstring."""
    for word in sorted(command):
        if word.startswith("-"):
            continue
        inner = command[word]
        function = inner.default_command
        found = examples(inspect.getdoc(function) or "") if function else []
        if found:
            yield f"{name} {word}", found
        yield from every_example(inner, f"{name} {word}")


def _below(text: str, title: str, lines: list[str]) -> str:
    """The text with the examples at the end of the command's section."""
    heading = re.search(rf"^#+ {re.escape(title)}\n", text, re.MULTILINE)
    assert heading is not None, title
    following = re.search(r"^#+ ", text[heading.end() :], re.MULTILINE)
    end = heading.end() + following.start() if following else len(text)
    block = "\n".join(["**Examples**:", "", "```console", *(f"$ {line}" for line in lines), "```", "", ""])
    return f"{text[:end].rstrip()}\n\n{block}{text[end:]}"
