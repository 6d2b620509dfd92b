"""What `saga new` writes: templates of a small project, filled with its name."""

from __future__ import annotations

import json
import keyword
import re
import sys
from importlib import metadata, resources
from pathlib import Path
from string import Template

from kafka_saga.runtime.errors import RefusedError, UsageError
from kafka_saga.schemas.ids import NAME_PATTERN, is_name

_FILES = {
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    "saga.toml": "saga.toml",
    "Makefile": "Makefile",
    ".gitignore": "gitignore",
    "{package}/messages.py": "messages.py",
    "{package}/saga.py": "saga.py",
    "{package}/seats.py": "seats.py",
    "{package}/wallet.py": "wallet.py",
    "tests/test_saga.py": "test_saga.py",
    "tests/test_services.py": "test_services.py",
}
_TAKEN = frozenset({"kafka_saga", "tests"})


def write_project(folder: Path) -> list[Path]:
    """Write a project into `folder`, which is named after its saga; the files that were written.

    Raises:
        UsageError: the name cannot be a saga's and a package's.
        RefusedError: the folder exists and is not empty.

    """
    name = folder.resolve().name
    package = name.replace("-", "_")
    if not is_name(name):
        raise UsageError(f"'{name}' cannot name a saga: it must match {NAME_PATTERN}")
    if package in _TAKEN or package in sys.stdlib_module_names or keyword.iskeyword(package):
        raise UsageError(f"'{name}' cannot name a package: Python, or kafka-saga, has one of that name")
    if installed := metadata.packages_distributions().get(package):
        raise UsageError(f"'{name}' cannot name a package: {installed[0]} has one of that name, and is installed here")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RefusedError(f"{folder} exists and is not empty: choose another name")
    words = {"name": name, "package": package, "python": _in_make(sys.executable), **_dependency()}
    written = [folder / path.format(package=package) for path in _FILES]
    try:
        for path, template in zip(written, _FILES.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_template(template).substitute(words), encoding="utf-8")
        about = f'"""The saga `{name}` and its services."""\n'
        (folder / package / "__init__.py").write_text(about, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from error
    return written


def _dependency() -> dict[str, str]:
    """What the project needs of us: a release; or, where we came from no index, just what is installed here."""
    release = f'"kafka-saga[demo]>={metadata.version("kafka-saga")}"'
    direct = _direct_reference()
    if direct is None:
        return {"dependency": f"dependencies = [{release}]", "direct": ""}
    why = f"# The kafka-saga that wrote this came from no package index. From one it is: {release}"
    return {
        "dependency": f'{why}\ndependencies = ["kafka-saga[demo] @ {direct}"]',
        "direct": "\n[tool.hatch.metadata]\nallow-direct-references = true\n",
    }


def _direct_reference() -> str | None:
    """Where our installation came from, if not from an index: a folder, an archive, a commit (PEP 610)."""
    text = metadata.distribution("kafka-saga").read_text("direct_url.json")
    if text is None:
        return None
    origin = json.loads(text)
    vcs = origin.get("vcs_info")
    return str(origin["url"]) if vcs is None else f"{vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"


def _in_make(path: str) -> str:
    """A path as a variable of a Makefile, to be used in double quotes."""
    return re.sub(r'([\\"`$])', r"\\\1", path).replace("$", "$$").replace("#", r"\#")


def _template(name: str) -> Template:
    return Template(resources.files(__package__).joinpath(f"{name}.tmpl").read_text(encoding="utf-8"))
