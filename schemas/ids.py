"""Names that travel: saga ids, step names, and the readable id of a command (R1, R2)."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.limits import ID_LENGTH_MAX
from kafka_saga.schemas.causes import Cause

SAGA_ID_PATTERN = rf"^[A-Za-z0-9._:\-]{{1,{ID_LENGTH_MAX}}}$"
NAME_PATTERN = r"^[a-z][a-z0-9_\-]{0,63}$"
"""Saga types, services and steps: lower case, so that topics read alike."""

_SAGA_ID = re.compile(SAGA_ID_PATTERN[:-1] + r"\Z")
_NAME = re.compile(NAME_PATTERN[:-1] + r"\Z")


class Phase(StrEnum):
    """Which way a step is being taken."""

    FORWARD = "forward"
    COMPENSATE = "compensate"


class SagaRef(NamedTuple):
    """A saga's identity (R1)."""

    saga_type: str
    saga_id: str

    def __str__(self) -> str:
        return f"{self.saga_type}/{self.saga_id}"


class CommandId(NamedTuple):
    """What a command is for. Its text is `order/order-123/process_payment/forward/1` (R2).

    It is a pure function of saga, step, phase and epoch: a re-send, and a re-send after a lost commit, keep it.
    """

    saga_type: str
    saga_id: str
    step: str
    phase: Phase
    epoch: int

    @property
    def ref(self) -> SagaRef:
        return SagaRef(self.saga_type, self.saga_id)

    def __str__(self) -> str:
        return f"{self.saga_type}/{self.saga_id}/{self.step}/{self.phase}/{self.epoch}"

    def reply_id(self, attempt: int) -> str:
        """The id of the reply to this command's `attempt` (R2)."""
        return f"{self}/r{attempt}"


@lru_cache(maxsize=4096)
def is_name(text: str) -> bool:
    """Whether `text` may name a saga type, a service or a step."""
    return _NAME.match(text) is not None


def is_saga_id(text: str) -> bool:
    """Whether `text` may be a saga's id (R1)."""
    return _SAGA_ID.match(text) is not None


def check_saga_id(text: object) -> str:
    """`text` as a saga id.

    Raises:
        ContractError: it is not text, or does not match R1's pattern.

    """
    if isinstance(text, str) and is_saga_id(text):
        return text
    raise ContractError(
        Cause.BAD_ID, f"the saga id must be text of 1 to {ID_LENGTH_MAX} characters from A-Z a-z 0-9 . _ : -"
    )


_PHASES = {phase.value: phase for phase in Phase}
_COMMAND_ID = re.compile(
    "/".join(
        (
            f"({NAME_PATTERN[1:-1]})",
            f"({SAGA_ID_PATTERN[1:-1]})",
            f"({NAME_PATTERN[1:-1]})",
            f"({'|'.join(_PHASES)})",
            r"([1-9][0-9]{0,4})\Z",
        )
    )
)


def parse_command_id(text: str) -> CommandId:
    """The parts of a command's id.

    Raises:
        ContractError: it is not of the form `type/id/step/phase/epoch`.

    """
    found = _COMMAND_ID.match(text)
    if found is not None:
        saga_type, saga_id, step, phase, epoch = found.groups()
        return CommandId(saga_type, saga_id, step, _PHASES[phase], int(epoch))
    raise ContractError(
        Cause.BAD_ID, "a command's id reads type/saga id/step/forward or compensate/epoch; echo it unchanged"
    )
