"""The saga orchestrator.

Read it along a message's path: `definition` (what users write), `machine.transitions` (what is decided),
`engine.worker` and its stages (how a decision is carried out), `store` (what is remembered).

Users import from here: `from orchestrator import Saga, Step, Retry, from_request, from_reply`.
"""

from orchestrator.definition import Retry, Saga, Step, from_reply, from_request

__all__ = ["Retry", "Saga", "Step", "from_reply", "from_request"]
