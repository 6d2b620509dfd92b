"""Faults on demand, for demonstrations and tests: `SAGA_FAULT_…` variables, refused unless SAGA_ALLOW_FAULTS=1.

    SAGA_FAULT_REJECT=createOrder:every=5:text=Database connection failed     the handler says no (failure)
    SAGA_FAULT_RAISE=createOrder:saga=order-123:text=Database connection failed   it raises (retry)
    SAGA_FAULT_RAISE=chargePayment:first=2                   … on the first two attempts of each command
    SAGA_FAULT_LATE=chargePayment:every=10:ms=6000           the reply comes 6 s late; others do not wait
    SAGA_FAULT_LOSE=reserveItems:every=7                     the reply is never sent
    SAGA_FAULT_CRASH=reserveItems:every=100                  SIGKILL after the commit, before the replies go out

A rule is a command type (or `*`), then options with `:` between them; several rules have `;` between them. Options:

    every=N    each Nth of the commands that match (default 1: each)
    first=K    only attempts 1 to K of a command, by `ce_sagaattempt`
    saga=ID    only this saga
    ms=N       LATE only: for how long, in milliseconds
    text=…     REJECT and RAISE only: what the handler says; must come last, may hold `:` but not `;`

Rules count, and nothing is random: the same commands in the same order meet the same faults. REJECT, RAISE and CRASH
count commands that really run, so that a crash is not met again by the same commands, which are answered from the
fence then; LATE and LOSE count every reply, stored ones too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

from kafka_saga.participants.outcomes import Rejected
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.failpoints import ALLOW
from kafka_saga.schemas.envelope import CommandHead
from kafka_saga.schemas.ids import is_saga_id

PREFIX = "SAGA_FAULT_"

_OPTION = re.compile(r":(every|first|saga|ms|text)=")
_COMMAND_TYPE = re.compile(r"(\*|[A-Za-z][A-Za-z0-9_]*)\Z")


class InjectedFault(Exception):  # noqa: N818 -- it is what a handler would raise
    """What RAISE raises instead of calling the handler."""


class FaultKind(StrEnum):
    """What goes wrong."""

    REJECT = "REJECT"
    RAISE = "RAISE"
    LATE = "LATE"
    LOSE = "LOSE"
    CRASH = "CRASH"


class FaultRule(BaseModel):
    """One thing that goes wrong for some commands."""

    model_config = ConfigDict(frozen=True)

    kind: FaultKind
    command_type: str
    every: int = 1
    first: int | None = None
    saga: str | None = None
    delay_ms: int = 0
    text: str = "injected fault"

    def matches(self, head: CommandHead) -> bool:
        """Whether the rule is about this command; its count decides the rest."""
        return (
            self.command_type in {"*", head.command_type}
            and (self.first is None or head.attempt <= self.first)
            and (self.saga is None or head.parsed_id.saga_id == self.saga)
        )


class Faults(BaseModel):
    """The rules of one process."""

    model_config = ConfigDict(frozen=True)

    rules: tuple[FaultRule, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The rules that `environment` asks for.

        Raises:
            ConfigError: a rule cannot be read, or SAGA_ALLOW_FAULTS is not 1.

        """
        asked = {name: text for name, text in sorted(environment.items()) if name.startswith(PREFIX)}
        if asked and environment.get(ALLOW) != "1":
            raise ConfigError(f"{', '.join(asked)}: faults are for tests; set {ALLOW}=1 to allow them, or unset these")
        rules: list[FaultRule] = []
        for name, text in asked.items():
            kind = _kind(name)
            rules += [_parse(name, kind, rule.strip()) for rule in text.split(";") if rule.strip()]
        return cls(rules=tuple(rules))


class FaultInjector:
    """Counts, and says when it is time for a fault. One per process."""

    def __init__(self, faults: Faults) -> None:
        self._rules = faults.rules
        self._counts = [0] * len(faults.rules)

    def before_handler(self, head: CommandHead) -> None:
        """Raise instead of the handler, where a REJECT or RAISE rule says so.

        Raises:
            Rejected: the business says no.
            InjectedFault: a technical failure.

        """
        if not self._rules:
            return
        if (rule := self._due(FaultKind.REJECT, head)) is not None:
            raise Rejected(rule.text)
        if (rule := self._due(FaultKind.RAISE, head)) is not None:
            raise InjectedFault(rule.text)

    def must_crash(self, head: CommandHead) -> bool:
        """Whether the process must die between the commit and the reply of this command, which just ran."""
        return bool(self._rules) and self._due(FaultKind.CRASH, head) is not None

    def must_lose(self, head: CommandHead) -> bool:
        """Whether the reply to this command must not be sent."""
        return bool(self._rules) and self._due(FaultKind.LOSE, head) is not None

    def delay_ms(self, head: CommandHead) -> int:
        """How late the reply to this command must be; 0 for at once."""
        if not self._rules:
            return 0
        rule = self._due(FaultKind.LATE, head)
        return 0 if rule is None else rule.delay_ms

    def _due(self, kind: FaultKind, head: CommandHead) -> FaultRule | None:
        due = None
        for number, rule in enumerate(self._rules):
            if rule.kind is kind and rule.matches(head):
                self._counts[number] += 1
                if due is None and self._counts[number] % rule.every == 0:
                    due = rule
        return due


def _kind(name: str) -> FaultKind:
    try:
        return FaultKind(name.removeprefix(PREFIX))
    except ValueError:
        known = ", ".join(PREFIX + kind.value for kind in FaultKind)
        raise ConfigError(f"{name} is not known; there are {known}") from None


def _parse(name: str, kind: FaultKind, rule: str) -> FaultRule:
    before_text, has_text, text = rule.partition(":text=")
    command_type, *options = _OPTION.split(before_text)
    if not _COMMAND_TYPE.match(command_type):
        example = "createOrder:every=5:text=Database connection failed"
        raise ConfigError(f"{name}={rule}: a rule reads like {example}; {command_type!r} is no command type")
    found = dict(zip(options[::2], options[1::2], strict=True))
    values: dict[str, object] = {
        option: _number(name, rule, found[option]) for option in ("every", "first") if option in found
    }
    if "saga" in found:
        if not is_saga_id(found["saga"]):
            raise ConfigError(f"{name}={rule}: {found['saga']!r} is no saga id")
        values["saga"] = found["saga"]
    if ("ms" in found) != (kind is FaultKind.LATE):
        raise ConfigError(f"{name}={rule}: ms= says how late, so LATE needs it and the others do not take it")
    if "ms" in found:
        values["delay_ms"] = _number(name, rule, found["ms"])
    if has_text:
        if kind not in {FaultKind.REJECT, FaultKind.RAISE}:
            raise ConfigError(f"{name}={rule}: text= is for REJECT and RAISE")
        values["text"] = text
    return FaultRule.model_validate({"kind": kind, "command_type": command_type, **values})


def _number(name: str, rule: str, text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0:
        return int(text)
    raise ConfigError(f"{name}={rule}: {text!r} is no whole number above 0")
