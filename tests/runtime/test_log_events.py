"""docs/logs.md and `runtime/log_events.py` tell of every line that our code logs, and of no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from kafka_saga.runtime.log_events import log_events, page
from tests.tidy.test_tidy import ROOT, python_files

LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
PRODUCT = {"runtime", "messaging", "schemas", "orchestrator", "participants", "client"}


def is_ours(logger: ast.expr) -> bool:
    """Whether it is `_log`, `self._log` or `log("…")`."""
    match logger:
        case ast.Name(id="_log") | ast.Attribute(attr="_log") | ast.Call(func=ast.Name(id="log")):
            return True
    return False


def names(event: ast.expr) -> Iterator[str]:
    match event:
        case ast.Constant(value=str(name)):
            yield name
        case ast.IfExp(body=first, orelse=second):
            yield from names(first)
            yield from names(second)
        case _:
            yield f"no constant: {ast.unparse(event)}"


def lines_of(source: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=logger, attr=level), args=[event, *_]):
                if level in LEVELS and is_ours(logger):
                    yield from ((name, level) for name in names(event))


def test_the_search_finds_lines_in_every_form() -> None:
    source = (
        '_log.info("a.b")\nself._log.error("c.d" if x else "e.f", y=1)\nlog("process").warning("g.h")\nmath.log(2)\n'
    )
    assert list(lines_of(source)) == [
        ("a.b", "info"), ("c.d", "error"), ("e.f", "error"), ("g.h", "warning"),
    ]  # fmt: skip


def test_the_table_has_every_event_of_the_source_at_its_level_and_no_other() -> None:
    logged = {
        line
        for path in python_files()
        if path.relative_to(ROOT).parts[0] in PRODUCT
        for line in lines_of(path.read_text())
    }
    assert len(logged) > 80
    assert {(event.name, event.level) for event in log_events()} == logged
    listed = [event.name for event in log_events()]
    assert len(listed) == len(set(listed))


def test_the_page_is_the_table() -> None:
    assert (ROOT / "docs" / "logs.md").read_text().endswith(page()), "put the output of log_events.page() there"
