"""The least rights on Kafka that each role needs for its work, out of the definitions.

Nobody but a service may write its replies (and an operator, who sends dead letters again): a service cannot answer for
another. Nobody needs to create, alter or delete anything, but an operator, who may create the topics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kafka_saga.messaging.acls import CLUSTER_NAME, Acl, Operation, Resource
from kafka_saga.orchestrator.operations.kafka.needed_topics import topic_specs, topics_read
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic

ORCHESTRATOR: Final = "orchestrator"
CLIENT: Final = "client"
OPERATOR: Final = "operator"
_SERVICE: Final = "service:"
_FORM: Final = "write ROLE=PRINCIPAL, e.g. payment=User:payment"

_Right = tuple[Resource, str, Sequence[Operation]]


def read_principals(given: Sequence[str], registry: Registry) -> dict[str, str]:
    """Whom each role is: `ROLE=PRINCIPAL`, by role. Where nothing is given, every role as a user of its own name.

    Args:
        given: what somebody wrote; `User:` before the principal may be left out.
        registry: the definitions, which name the services and types of saga.

    Raises:
        UsageError: it is not of that form, or there is no such role.

    """
    if not given:
        return {role: f"User:{role}" for role in [ORCHESTRATOR, *map(_of_service, registry.services), CLIENT, OPERATOR]}
    found: dict[str, str] = {}
    for text in given:
        role, equals, principal = text.partition("=")
        if not (role and equals and principal):
            raise UsageError(f"--principal {text}: {_FORM}")
        _check_role(role, registry, text)
        found[role] = principal if principal.partition("=")[0].startswith("User:") else f"User:{principal}"
    return found


def acls_of(principals: Mapping[str, str], registry: Registry, topics: TopicNames, group: str) -> list[Acl]:
    """The rights of each role's principal, the same right once.

    Args:
        principals: by role, as `read_principals` has them.
        registry: the definitions.
        topics: how topics are called.
        group: the orchestrator's consumer group.

    """
    found: dict[Acl, None] = {}
    for role, principal in principals.items():
        for resource, name, operations in _rights(role, registry, topics, group):
            found |= dict.fromkeys(Acl(principal, resource, name, operation) for operation in operations)
    return sorted(found, key=lambda acl: list(principals.values()).index(acl.principal))


def _rights(role: str, registry: Registry, topics: TopicNames, group: str) -> Iterator[_Right]:
    if role == ORCHESTRATOR:
        return _orchestrator(registry, topics, group)
    if role == OPERATOR:
        return _operator(registry, topics, group)
    kind, _, saga_type = role.partition(":")
    if kind == CLIENT:
        return _client([saga_type] if saga_type else registry.saga_types, topics)
    return _participant(role.removeprefix(_SERVICE), topics)


def _orchestrator(registry: Registry, topics: TopicNames, group: str) -> Iterator[_Right]:
    for saga_type in registry.saga_types:
        # How long requests are kept says how long ids must be remembered (R29).
        yield "topic", topics.requests(saga_type), ("Read", "DescribeConfigs")
        yield "topic", topics.events(saga_type), ("Write",)
    for service in registry.services:
        yield "topic", topics.commands(service), ("Write",)
        yield "topic", topics.replies_of(service), ("Read",)
    for topic in topics_read(registry, topics):
        yield "topic", dead_letter_topic(topic), ("Write",)
    # It looks at its start whether all topics are there.
    for service in registry.services:
        yield "topic", dead_letter_topic(topics.commands(service)), ("Describe",)
    yield "topic", topics.handled_dead_letters, ("Describe",)
    yield "group", group, ("Read",)


def _participant(service: str, topics: TopicNames) -> Iterator[_Right]:
    # How long commands are kept says how long the fence must remember (R16).
    yield "topic", topics.commands(service), ("Read", "DescribeConfigs")
    yield "topic", topics.replies_of(service), ("Write",)
    # Beside the commands it cannot read, replies that their topic does not take.
    yield "topic", dead_letter_topic(topics.commands(service)), ("Write",)
    yield "topic", dead_letter_topic(topics.replies_of(service)), ("Write",)
    yield "group", f"{topics.prefix}{service}", ("Read",)


def _client(saga_types: Sequence[str], topics: TopicNames) -> Iterator[_Right]:
    for saga_type in saga_types:
        yield "topic", topics.requests(saga_type), ("Write",)
        yield "topic", topics.events(saga_type), ("Read",)
        # How it learns that its request was set aside.
        yield "topic", dead_letter_topic(topics.requests(saga_type)), ("Read",)


def _operator(registry: Registry, topics: TopicNames, group: str) -> Iterator[_Right]:
    sent_again = {*topics_read(registry, topics), *(topics.commands(service) for service in registry.services)}
    written = sent_again | {topics.handled_dead_letters}
    for spec in topic_specs(registry, topics, 1):
        writes: Sequence[Operation] = ("Write",) if spec.name in written else ()
        yield "topic", spec.name, ("Read", "DescribeConfigs", "Create", *writes)
    for name in (group, *(f"{topics.prefix}{service}" for service in registry.services)):
        yield "group", name, ("Read",)
    yield "cluster", CLUSTER_NAME, ("Describe",)


def _of_service(service: str) -> str:
    """How a service is called among the roles: by its name, where that is no role's."""
    return f"{_SERVICE}{service}" if service in {ORCHESTRATOR, CLIENT, OPERATOR} else service


def _check_role(role: str, registry: Registry, text: str) -> None:
    services = registry.services
    known = [ORCHESTRATOR, *map(_of_service, services), CLIENT, OPERATOR]
    of_one_type = [f"{CLIENT}:{saga_type}" for saga_type in registry.saga_types]
    if role not in {*known, *of_one_type, *(f"{_SERVICE}{service}" for service in services)}:
        raise UsageError(
            f"--principal {text}: there is no role '{role}': {_FORM}; roles are {', '.join(known)}, "
            f"and {', '.join(of_one_type)}"
        )
