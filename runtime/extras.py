"""Which library each extra brings, and the one sentence of what to install where one is missing.

An extra is a role that not every machine has (docs/decisions/0003-libraries.md); what stands here is compared with
`pyproject.toml` by tests/packaging.
"""

from __future__ import annotations

from importlib.util import find_spec

from kafka_saga.runtime.errors import ConfigError

EXTRAS = {
    "cli": ("cyclopts", "ormsgpack", "rich"),
    "dashboard": ("fastapi", "jinja2", "python_multipart"),
    "demo": ("confluent_kafka",),
    "postgres": ("asyncpg",),
    "sqlalchemy": ("sqlalchemy", "greenlet"),
    "otel": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
}
"""The modules of each extra, without those of the extras that it includes."""


def require(extra: str, what: str) -> None:
    """Go on only where the libraries of `extra` are installed.

    Args:
        extra: a key of `EXTRAS`.
        what: the subject of the sentence, e.g. `the dashboard`.

    Raises:
        ConfigError: some are missing.

    """
    missing = [module for module in EXTRAS[extra] if not _is_installed(module)]
    if missing:
        raise ConfigError(f"{what} needs {', '.join(missing)}: pip install 'kafka-saga[{extra}]'")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False
