"""A TOML file of settings, as it was saved by whatever editor: one clear line for what cannot be read."""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Any

from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.limits import CONFIG_FILE_BYTES_MAX

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_config_file(path: Path) -> dict[str, Any] | None:
    """The document at `path`; None where there is no such file.

    Raises:
        ConfigError: it cannot be read, or is no TOML in UTF-8 (a byte order mark may stand before it).

    """
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > CONFIG_FILE_BYTES_MAX:
        raise ConfigError(f"{path} is longer than {CONFIG_FILE_BYTES_MAX >> 10} KiB: it is no file of settings")
    if raw.startswith(_UTF_16):
        raise ConfigError(f"{path} is written in UTF-16: save it as UTF-8")
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is not written in UTF-8 (line {line}): save it as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
