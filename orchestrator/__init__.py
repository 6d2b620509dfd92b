"""The saga orchestrator.

Read it along a message's path: `definition` (what users write), `machine.transitions` (what is decided),
`engine.worker` and its stages (how a decision is carried out), `store` (what is remembered).

Users import from here: `from orchestrator import Saga, Step, Retry, from_request, from_reply`. The names are
imported when they are used, so that `saga --help` does not wait for pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.definition import Retry, Saga, SagaData, Step, from_reply, from_request

__all__ = ["Retry", "Saga", "SagaData", "Step", "from_reply", "from_request"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("orchestrator.definition"), name)
    raise AttributeError(f"module 'orchestrator' has no attribute '{name}'")
