"""Each role installs what it needs; what another role needs is named in one line, with the extra that brings it."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.extras import EXTRAS, require
from tests.packaging.conftest import ROOT, Built
from tests.packaging.environments import Environment, requirements_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOR_DEVELOPERS = {"dev", "bench", "docs"}


@pytest.fixture(scope="module")
def operators(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with the command line alone."""
    environment = Environment(tmp_path_factory.mktemp("cli") / "venv", requirements_of("cli"))
    environment.install(f"{built.wheel}[cli]", cwd=built.wheel.parent)
    return environment


def asked_by(extra: str) -> list[Requirement]:
    return [Requirement(text) for text in PROJECT["optional-dependencies"][extra]]


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_modules_of_an_extra_are_those_of_its_distributions(extra: str) -> None:
    of_module = metadata.packages_distributions()
    named = {canonicalize_name(requirement.name) for requirement in asked_by(extra)} - {"kafka-saga"}
    for module in EXTRAS[extra]:
        if module == "greenlet":  # by `sqlalchemy[asyncio]`
            continue
        owners = {canonicalize_name(name) for name in of_module[module.partition(".")[0]] if _has(name, module)}
        assert owners & named, module
        named -= owners
    assert named == set()


def _has(distribution: str, module: str) -> bool:
    path = module.replace(".", "/")
    return any(str(file).startswith((f"{path}/", f"{path}.")) for file in metadata.files(distribution) or ())


def test_all_has_every_extra_that_a_user_may_want_and_the_readme_s_table_too() -> None:
    extras = set(PROJECT["optional-dependencies"])
    assert extras - {"all"} - FOR_DEVELOPERS == set(EXTRAS)
    [everything] = asked_by("all")
    reached, waiting = set(), set(everything.extras)
    while waiting:
        extra = waiting.pop()
        reached.add(extra)
        included = {more for needed in asked_by(extra) if needed.name == "kafka-saga" for more in needed.extras}
        waiting |= included - reached
    assert reached == set(EXTRAS)
    rows = re.findall(r"^\| `kafka-saga(?:\[(\w+)\])?` ", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(["", "all", *EXTRAS])


def test_what_is_not_there_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "otel", ("json", "nobody.has.this", "json.nor_this"))
    with pytest.raises(ConfigError) as raised:
        require("otel", "sending traces")
    assert str(raised.value) == ("sending traces needs nobody.has.this, json.nor_this: pip install 'kafka-saga[otel]'")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("up",), "dashboard"),
        (("demo",), "dashboard"),
        (("dashboard",), "dashboard"),
        (("orchestrator", "--http", "127.0.0.1:0"), "dashboard"),
        (("broker",), "demo"),
        (("list", "--store", "postgresql://saga@127.0.0.1:1/shop"), "postgres"),
        (("orchestrator", "--store", "postgresql://saga@127.0.0.1:1/shop"), "postgres"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_command_that_needs_more_names_the_extra(
    operators: Environment, tmp_path: Path, arguments: tuple[str, ...], extra: str
) -> None:
    done = operators.run(operators.bin / "saga", *arguments, cwd=tmp_path, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(rf"saga: .* pip install 'kafka-saga\[{extra}\]'", last)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("config", "show"), ("topics", "list", "--help"), ("new", "shop")])
def test_the_command_line_alone_does_the_rest(
    operators: Environment, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = operators.run(operators.bin / "saga", *arguments, cwd=tmp_path)
    assert (done.returncode, "pip install" in done.stderr) == (0, False)
