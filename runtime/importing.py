"""Modules of the user's: imported by name, and where one fails, its own file and line are in the error.

An import that fails is nearly always the user's to mend, and what helps is where in *their* files it failed; the
frames of Python's import system and of libraries between them tell nothing.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

from kafka_saga.runtime.errors import ConfigError, DefinitionError

_FRAMES_MAX = 3
"""The last frames that are told: where it failed, and how it was come there."""

_ROOMS = ("runtime", "schemas", "messaging", "orchestrator", "participants")
_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")
_NOT_THEIRS = [
    *(Path(__file__).resolve().parent.parent / room for room in _ROOMS),
    *(Path(sysconfig.get_path(name)).resolve() for name in _LIBRARIES),
]


def import_users(name: str, what: str) -> ModuleType:
    """Import a module of the user's, found from the current directory too.

    Args:
        name: the module's, dotted.
        what: how errors name what asked for it: `--app shop.sagas`.

    Raises:
        ConfigError: it cannot be imported; the message says in which file and line of the user's, and how it got there.
        DefinitionError: a definition in it is wrong; with file and line, too.

    """
    here = _import_from_here()
    try:
        return importlib.import_module(name)
    except DefinitionError as error:
        raise DefinitionError(f"{error}{_where(error)}") from error
    except (Exception, SystemExit) as error:  # a user's module may fail in any way
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            told = f"there is no module '{error.name}', neither in {here} nor among what is installed"
        else:
            told = f"{type(error).__name__}: {_text(error)}{_where(error)}"
        raise ConfigError(f"{what}: cannot import it: {told}") from error


def _import_from_here() -> str:
    """Let modules in the working directory be imported, where there is one: it may have been deleted under us."""
    try:
        here = str(Path.cwd())
    except FileNotFoundError:
        return "the working directory, which is gone,"
    if here not in sys.path:
        sys.path.insert(0, here)
    return here


def _text(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(text.split()).encode(errors="replace").decode() or "no words"


def _where(error: BaseException) -> str:
    """` (shop/sagas.py, line 12, from shop/app.py, line 3)`: the user's frames, the one that failed first."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    places = [_place(file, line) for file, line in frames if _is_users(file)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append(_place(error.filename, error.lineno))
    return f" ({', from '.join(places[::-1][:_FRAMES_MAX])})" if places else ""


def _place(file: str, line: int | None) -> str:
    path = Path(file).resolve()
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}, line {line}"


def _is_users(file: str) -> bool:
    if file.startswith("<"):
        return False  # the import system itself, and code without a file
    path = Path(file).resolve()
    return not any(path.is_relative_to(place) for place in _NOT_THEIRS)
