"""What is paused while a batch is decided: services, whose commands wait, and saga types, of which none begin.

A pause is an entry in the store and is set or lifted by an act (R25); what it holds is decided by the machine, saga by
saga, when a command would go out (docs/decisions/0009).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from kafka_saga.orchestrator.machine.draft import Pauses
from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Hold
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.schemas.topics import TopicNames


@dataclass(frozen=True)
class Paused:
    """The pauses of one moment, by scope."""

    all: Mapping[str, Pause]
    choked: frozenset[str] = frozenset()
    """Saga types that nobody paused, and whose commands a topic does not take."""

    @cached_property
    def holding(self) -> Pauses:
        """Those that withhold commands, as the machine asks for them."""
        return {scope: pause.hold for scope, pause in self.all.items() if pause.under_way}

    @cached_property
    def types(self) -> frozenset[str]:
        """The saga types of which none begin."""
        names = frozenset(name for kind, _, name in (scope.partition(":") for scope in self.all) if kind == "type")
        return names | self.choked

    def with_change(self, scope: str, pause: Pause | None) -> Paused:
        """The pauses after one was set, or lifted."""
        rest = {name: known for name, known in self.all.items() if name != scope}
        return Paused(rest if pause is None else {**rest, scope: pause}, self.choked)

    def request_topics(self, topics: TopicNames, registry: Registry) -> frozenset[str]:
        """The topics whose requests wait where they are."""
        return frozenset(topics.requests(saga_type) for saga_type in registry.saga_types if saga_type in self.types)


NOTHING = Paused({})


def is_about_scope(act: Act) -> bool:
    """Whether the act is about a service or a type, and not about one saga."""
    return act.verb in (EventKind.PAUSE, EventKind.RESUME) and "scope" in act.arguments


def decide(paused: Paused, registry: Registry, act: Act, now: int) -> tuple[str, str, Paused]:
    """What becomes of an act on a service or a type: its outcome, a sentence, and the pauses after it."""
    scope = str(act.arguments["scope"])
    what = _describe(scope)
    known = paused.all.get(scope)
    if act.verb is EventKind.RESUME:
        if known is None:
            return "unchanged", f"{what} is not paused", paused
        return "done", f"{what} is resumed: what was held goes on as there is room", paused.with_change(scope, None)
    complaint = _complaint(scope, registry)
    if complaint is not None:
        return "refused", complaint, paused
    under_way = scope.startswith("service:") or bool(act.arguments.get("underWay"))
    if known is not None and known.under_way == under_way:
        return "unchanged", f"{what} is paused already, by {known.hold.actor}: {known.hold.reason}", paused
    pause = Pause(Hold(scope, act.actor, act.reason, now), under_way)
    consequence = "its commands wait" if scope.startswith("service:") else "none of its sagas begin"
    if scope.startswith("type:") and under_way:
        consequence = "none of its sagas begin, and those under way stop before their next command"
    return "done", f"{what} is paused: {consequence}", paused.with_change(scope, pause)


def _complaint(scope: str, registry: Registry) -> str | None:
    kind, _, name = scope.partition(":")
    known = {"service": registry.services, "type": registry.saga_types}.get(kind)
    if known is None:
        return f"'{scope}' cannot be paused: name a service or a saga type"
    if name not in known:
        return f"no definition has the {_describe(scope)}: there are {', '.join(known)}"
    return None


def _describe(scope: str) -> str:
    kind, _, name = scope.partition(":")
    return f"{'saga type' if kind == 'type' else kind} '{name}'"
