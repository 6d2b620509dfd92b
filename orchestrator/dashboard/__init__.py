"""The dashboard: server-rendered pages over what `operations` knows. It holds no rule, and nothing of it is built."""

from kafka_saga.orchestrator.dashboard.application import add_to
from kafka_saga.orchestrator.dashboard.attending import attend

__all__ = ["add_to", "attend"]
