"""`<data dir>/up.toml`: what `saga up` was last told, so that it is typed once in a folder and known ever after.

It is read like `saga.toml`, and counts least: a file, a variable or a flag that says otherwise wins. It says which
system this is, never where its Kafka is: nobody shall reach a real cluster because somebody did so weeks ago.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kafka_saga.runtime.errors import ConfigError, StoreUnavailableError

NAME = "up.toml"
REMEMBERED = ("app", "participants", "topics.prefix", "store")
_HEAD = """\
# What `saga up` was last told here. Later commands with this data directory use it where saga.toml, a variable or a
# flag says nothing else; lines that you move into saga.toml stay. Remove this file to forget it.
"""


def remember(data_dir: Path, told: Mapping[str, Any]) -> bool:
    """Keep `told` for later commands, settings by their dotted names; whether it said something else before.

    Raises:
        StoreUnavailableError: the file cannot be written.

    """
    assert set(told) <= set(REMEMBERED), "what is remembered is a closed list"
    path = data_dir / NAME
    text = _HEAD + "".join(f"{name} = {_toml(value)}\n" for name, value in told.items())
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        encoded = text.encode()
        data_dir.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{NAME}.{os.getpid()}")
        draft.write_bytes(encoded)
        draft.replace(path)  # a reader sees the old lines or the new ones
    except (OSError, UnicodeEncodeError) as error:  # a path need not be text
        raise StoreUnavailableError(f"cannot write {path}: {error}") from error
    return True


def recall(data_dir: Path) -> tuple[Path, dict[str, Any]]:
    """The file, and what stands in it; nothing where there is none.

    Raises:
        ConfigError: it is not as we wrote it.

    """
    path = data_dir / NAME
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return path, {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}; remove it, `saga up` writes it anew") from error


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # A string of JSON is one of TOML, but for the escapes of what lies beyond 16 bits, and for DEL.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
