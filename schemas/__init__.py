"""The contract: what stands on the wire between the orchestrator, the participants and everyone else.

Read `envelope` first (headers), then `orders` (the bodies of the shipped saga). JSON Schemas and an AsyncAPI
document are generated from here and from the definition into `schemas/generated/`.
"""
