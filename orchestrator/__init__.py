"""The saga orchestrator.

Read it along a message's path: `definition` (what users write), `machine.transitions` (what is decided),
`engine.worker` and its stages (how a decision is carried out), `store` (what is remembered).
"""
