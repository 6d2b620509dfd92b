"""The store on PostgreSQL: many orchestrators share it (docs/decisions/0019). Its driver is an extra."""

from __future__ import annotations

from kafka_saga.runtime.extras import require

require("postgres", "PostgreSQL")  # whoever imports a module in here wants it
