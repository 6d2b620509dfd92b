"""The store on PostgreSQL: many orchestrators share it (docs/decisions/0019). Its driver is an extra."""

from __future__ import annotations

from kafka_saga.runtime.errors import ConfigError

try:
    import asyncpg as _driver  # noqa: F401 -- whoever imports a module in here wants it
except ImportError as error:
    raise ConfigError("PostgreSQL needs the extra: pip install 'kafka-saga[postgres]'") from error
