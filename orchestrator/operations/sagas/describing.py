"""Definitions as documents for programs: what a saga asks for, what its steps do, and how they hang together."""

from __future__ import annotations

from typing import Any

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.step import Step
from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.ids import SAGA_ID_PATTERN, Phase
from kafka_saga.schemas.topics import TopicNames


def describe_definition(definition: Definition, registry: Registry, topics: TopicNames) -> dict[str, Any]:
    """One definition: topics, the request's JSON Schema, steps, and the graph they make."""
    active = registry.active(definition.saga_type)
    return {
        "sagaType": definition.saga_type,
        "version": definition.version,
        "active": active is definition,
        "fingerprint": definition.fingerprint,
        "idFrom": definition.id_from,
        "topics": {
            "requests": topics.requests(definition.saga_type),
            "events": topics.events(definition.saga_type),
        },
        "steps": [_step(definition, step, number, topics) for number, step in enumerate(definition.steps, 1)],
        "graph": _graph(definition),
        "request": request_schema(definition),
    }


def request_schema(definition: Definition) -> dict[str, Any]:
    """The JSON Schema of the request; its id is held to what ids may be."""
    schema: dict[str, Any] = definition.request.model_json_schema(mode="validation")
    field = schema.get("properties", {}).get(definition.id_from)
    if isinstance(field, dict) and field.get("type") == "string" and "pattern" not in field:
        field["pattern"] = SAGA_ID_PATTERN
    return schema


def _step(definition: Definition, step: Step, number: int, topics: TopicNames) -> dict[str, Any]:
    described = decode_trusted(definition.description)["steps"][number - 1]
    return {
        "step": number,
        "name": step.name,
        "service": step.service,
        "pivot": described["pivot"],
        "nothingToUndo": described["nothing_to_undo"],
        "action": definition.command_type(step.name, Phase.FORWARD),
        "compensation": None if step.compensation is None else definition.command_type(step.name, Phase.COMPENSATE),
        "commands": topics.commands(step.service),
        "replies": topics.replies_of(step.service),
        "timeoutMs": {phase.value: step.policy(phase).timeout_ms for phase in step.phases},
    }


def _graph(definition: Definition) -> dict[str, Any]:
    """Nodes and edges: forward from step to step, and back along the compensations."""
    names = list(definition.step_names)
    nodes = [{"id": "start", "kind": "start"}, {"id": "end", "kind": "end"}]
    nodes[1:1] = [{"id": name, "kind": "step"} for name in names]
    forward = [{"from": a, "to": b, "kind": "forward"} for a, b in zip(["start", *names], [*names, "end"], strict=True)]
    undone = [step.name for step in definition.steps if step.compensation is not None]
    back = [{"from": b, "to": a, "kind": "compensate"} for a, b in zip(["start", *undone], undone, strict=False)]
    return {"nodes": nodes, "edges": [*forward, *reversed(back)]}
