"""What no linter checks: sizes, names, and that every limit says why it is what it is (docs/style)."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
# Put together, so that this file does not hold what it looks for.
LATER = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")))
TEXT = {".py", ".md", ".sql", ".toml", ".yaml", ".yml", ".sh", ".html", ".css", ".js", ".json", ""}


@cache
def ours() -> tuple[Path, ...]:
    """Every file that is in git or would be, without what is generated."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = [ROOT / name for name in listed.stdout.splitlines()]
    return tuple(path for path in paths if path.is_file() and "generated" not in path.parts)


def python_files() -> list[Path]:
    return [path for path in ours() if path.suffix == ".py"]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_tidy_test_sees_the_code() -> None:
    seen = {shown(path) for path in python_files()}

    assert {"orchestrator/machine/transitions.py", "runtime/limits.py", "tests/tidy/test_tidy.py"} <= seen
    assert not any(".venv" in name for name in seen)


def test_no_file_of_code_is_longer_than_400_lines() -> None:
    lengths = {shown(path): len(path.read_text().splitlines()) for path in python_files()}

    assert {name: length for name, length in lengths.items() if length > FILE_LINES_MAX} == {}


def test_no_function_is_longer_than_70_lines() -> None:
    lengths = {
        f"{shown(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in python_files()
        for node in functions(path)
    }

    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES_MAX} == {}


def test_no_module_folder_or_class_has_a_name_that_says_nothing() -> None:
    named = {shown(path): set(re.split(r"[/._]", shown(path).lower())) for path in ours()}
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                named[f"{shown(path)}:{node.lineno}"] = {word.lower() for word in re.findall("[A-Z][a-z]+", node.name)}

    assert {place: words & VAGUE_NAMES for place, words in named.items() if words & VAGUE_NAMES} == {}


def test_nothing_is_put_off_in_a_comment() -> None:
    found = [
        f"{shown(path)}:{number}"
        for path in ours()
        if path.suffix in TEXT
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if re.search(rf"\b({LATER.pattern})\b", line)
    ]

    assert found == []


def test_every_limit_has_its_reason_or_stands_in_a_group_that_has_one() -> None:
    body = ast.parse((ROOT / "runtime" / "limits.py").read_text()).body
    limits = [index for index, node in enumerate(body) if isinstance(node, ast.AnnAssign)]
    assert len(limits) > 20

    unexplained = [ast.unparse(body[index]) for index in limits if not explained(body, index)]

    assert unexplained == []


def explained(body: list[ast.stmt], index: int) -> bool:
    """Whether a docstring follows: at once, or after limits on the very next lines, which it covers too."""
    here = body[index]
    for following in body[index + 1 :]:
        if following.lineno != (here.end_lineno or 0) + 1:
            return False
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            return isinstance(following.value.value, str)
        if not isinstance(following, ast.AnnAssign):
            return False
        here = following
    return False


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('A: int = 1\n"""Why."""\n', True),
        ('A: int = 1\nB: int = 2\n"""Why."""\n', True),
        ("A: int = 1\n", False),
        ('A: int = 1\n\n"""Why?"""\n', False),
        ('A: int = 1\n\nB: int = 2\n"""Why."""\n', False),
        ("A: int = 1\nassert A\n", False),
    ],
)
def test_a_reason_stands_right_below_what_it_explains(source: str, expected: bool) -> None:
    assert explained(ast.parse(source).body, 0) is expected


RULE_NUMBER = re.compile(r"\([RI]\d{1,2}(, [RI]\d{1,2})*\)")


def test_messages_to_users_cite_no_rule_whose_text_they_do_not_have() -> None:
    citing = {
        f"{shown(path)}: {text}"
        for path in python_files()
        if shown(path).split("/")[0] not in {"tests", "bench"}
        for text in texts(path)
        if RULE_NUMBER.search(text)
    }

    assert citing == set()


def texts(path: Path) -> Iterator[str]:
    """The strings of a file that are no docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


PRODUCT = ("runtime", "schemas", "messaging", "orchestrator", "participants", "client", "src", "examples")
TEXT_CALLS = {"read_text", "write_text"}
"""Without an encoding they take the locale's, and the program starts in some countries only. Ruff does not see them
on what `importlib.resources` gives."""


def without_encoding(source: str) -> list[int]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if {keyword.arg for keyword in call.keywords}.isdisjoint({"encoding", "mode"})
        and (
            (isinstance(call.func, ast.Attribute) and call.func.attr in TEXT_CALLS and not _positional(call.func, call))
            or (isinstance(call.func, ast.Name) and call.func.id == "open")
            or any(keyword.arg in {"text", "universal_newlines"} for keyword in call.keywords)
        )
    ]


def _positional(function: ast.Attribute, call: ast.Call) -> bool:
    """Whether the encoding comes first; or a name, of what is UTF-8 by its definition (`importlib.metadata`)."""
    return function.attr == "read_text" and bool(call.args)


def test_files_of_ours_are_read_and_written_in_utf_8_whatever_the_locale() -> None:
    assert without_encoding("path.read_text()\nopen(path)\nrun(command, text=True)") == [1, 2, 3]
    assert without_encoding("path.read_text(encoding='utf-8')\nopen(path, mode='rb')\nrun(command)") == []

    found = [
        f"{shown(path)}:{line}"
        for path in python_files()
        if path.relative_to(ROOT).parts[0] in PRODUCT
        for line in without_encoding(path.read_text(encoding="utf-8"))
    ]

    assert found == []
