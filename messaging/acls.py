"""Rights on a Kafka with an authorizer: what one is, how `kafka-acls.sh` is told of it, and how it is granted."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from aiokafka import errors as kafka_errors
from aiokafka.protocol.admin import CreateAclsRequest

from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.errors import NotAllowedError
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.errors import RefusedError

Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
Resource = Literal["topic", "group", "cluster"]

CLUSTER_NAME: Final = "kafka-cluster"
"""Kafka's name for the only resource of its kind."""

# Kafka's numbers (org.apache.kafka.common.acl.AclOperation, common.resource.ResourceType and PatternType).
_OPERATIONS: Final[dict[Operation, int]] = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
_RESOURCES: Final[dict[Resource, int]] = {"topic": 2, "group": 3, "cluster": 4}
_LITERAL, _ALLOW, _ANY_HOST = 3, 3, "*"


class Acl(NamedTuple):
    """A right: `principal` (`User:payment`) may do `operation` with the `resource` called `name`, from any host."""

    principal: str
    resource: Resource
    name: str
    operation: Operation


def commands(acls: Iterable[Acl], bootstrap_servers: str, command_config: str | None = None) -> list[str]:
    """Lines of `kafka-acls.sh`: one for what a principal may do alike with some resources.

    Args:
        acls: the rights.
        bootstrap_servers: where.
        command_config: the file of properties by which the tool logs in.

    """
    operations: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for acl in acls:
        operations[acl.principal, acl.resource, acl.name].append(acl.operation)
    alike: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (principal, resource, name), found in operations.items():
        alike[principal, resource, tuple(found)].append(name)
    begin = ["kafka-acls.sh", "--bootstrap-server", bootstrap_servers]
    begin += ["--command-config", command_config] if command_config is not None else []
    lines = []
    for (principal, resource, allowed), names in alike.items():
        line = [*begin, "--add", "--allow-principal", principal]
        line += [word for operation in allowed for word in ("--operation", operation)]
        line += ["--cluster"] if resource == "cluster" else [word for name in names for word in (f"--{resource}", name)]
        lines.append(shlex.join(line))
    return lines


async def grant(settings: KafkaSettings, acls: Sequence[Acl]) -> None:
    """Add `acls`; those that are there already stay as they are.

    Raises:
        NotAllowedError: whom `settings` log in lacks Alter on the cluster.
        RefusedError: the broker has no authorizer, or refuses one of them; those before it were added.
        BrokerUnavailableError: no broker answers.

    """
    cluster = _Granting(settings)
    try:
        for acl in acls:
            await cluster.grant(acl)
    finally:
        await cluster.close()


class _Granting(Cluster):
    async def grant(self, acl: Acl) -> None:
        resource, operation = _RESOURCES[acl.resource], _OPERATIONS[acl.operation]
        request = CreateAclsRequest(resource, acl.name, _LITERAL, acl.principal, _ANY_HOST, operation, _ALLOW)
        try:
            response = await self._send(request)
        except kafka_errors.IncompatibleBrokerVersion as error:
            raise RefusedError("this broker has no rights to grant: the embedded one has no authorizer") from error
        for code, text in response.creation_responses:
            if code:
                self._refuse(acl, kafka_errors.for_code(code), text or "")

    def _refuse(self, acl: Acl, error: type[Exception], text: str) -> None:
        if error is kafka_errors.SecurityDisabled:
            raise RefusedError("this broker has no authorizer: set its authorizer.class.name, then grant rights")
        if error is kafka_errors.ClusterAuthorizationFailedError:
            raise NotAllowedError(self._settings.principal, "Alter", "cluster")
        what = f"{acl.operation} on {acl.resource} {acl.name} to {acl.principal}"
        raise RefusedError(f"the broker does not grant {what}: {text or error.__name__}")
