"""The blocks of a page: its console's commands with what it prints of their output, and its programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# What is another one in every run.
_DIFFERS = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{3})?Z?|\d\d:\d\d:\d\d\.\d{3}"), "TIME"),
    (re.compile(r"\d+(\.\d+)? (ms|s|min)\b"), "LONG"),
    (re.compile(r"\[\d+\]@\d+"), "[PLACE]"),
    (re.compile(r"((?:partition|offset|ce_sagastarted)=)\d+"), r"\1NUMBER"),
    (re.compile(r"\w+@[\w.-]+"), "SOMEBODY"),
    (re.compile(r"\s+"), " "),
)


@dataclass
class Shown:
    """A command as a page prints it, and the output below it."""

    command: str
    output: list[str] = field(default_factory=list)

    @property
    def bare(self) -> str:
        """The command without its remark."""
        return re.sub(r"\s+# .*", "", self.command)


def blocks_of(page: Path, language: str) -> list[str]:
    """Every block of the page in that language, in order."""
    return [block for told, block in _FENCE.findall(page.read_text()) if told == language]


def languages_of(page: Path) -> set[str]:
    """What its blocks are in; empty where one does not say."""
    return {told for told, _block in _FENCE.findall(page.read_text())}


def commands_of(page: Path) -> Iterator[Shown]:
    """Every command of the page's console blocks, in order."""
    for block in blocks_of(page, "console"):
        yield from shown_in(block)


def shown_in(block: str) -> list[Shown]:
    """The commands of one console block, in order."""
    shown: list[Shown] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            shown.append(Shown(line[2:]))
        elif shown[-1].command.count("'") % 2:  # a quote is open: the command goes on
            shown[-1].command += f"\n{line}"
        else:
            shown[-1].output.append(line)
    return shown


def essence(line: str) -> str:
    """A line of output without what differs from run to run."""
    for pattern, word in _DIFFERS:
        line = pattern.sub(word, line)
    return line.strip()


def missing(shown: Shown, said: str) -> list[str]:
    """The lines of the page that were not said, in their order; `…` stands for any, or for any part of one."""
    lines = iter([essence(line) for line in said.splitlines()])
    return [
        line
        for line in map(essence, shown.output)
        if line != "…" and not any(map(re.compile(re.escape(line).replace("…", ".*")).fullmatch, lines))
    ]
