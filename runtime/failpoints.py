"""The moments at which a process may die, by name: the simulator and the tests with real kills share this list.

`failpoint("orchestrator.commit.after")` in the code says: here something is done that another process can see, and
what follows from it is not. Nothing happens there unless a hook is armed: by the simulator for one simulated
process, or in a real process by the environment, for tests:

    SAGA_ALLOW_FAULTS=1
    SAGA_TEST_FAILPOINT=orchestrator.commit.after:3        SIGKILL to itself at the third time it comes there
    SAGA_TEST_FAILPOINT=participant.poll.after:1:stop      SIGSTOP to itself; it goes on after SIGCONT
    SAGA_TEST_FAILPOINT=orchestrator.acts.before:1:raise   an exception that no code of ours expects
    SAGA_TEST_FAILPOINT_LOG=/tmp/reached                   before that, one line `<name> <pid>` is appended here
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Final

from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.telemetry import log

ALLOW: Final = "SAGA_ALLOW_FAULTS"
VARIABLE: Final = "SAGA_TEST_FAILPOINT"
LOG_VARIABLE: Final = "SAGA_TEST_FAILPOINT_LOG"

FAILPOINTS: Final[Mapping[str, str]] = {
    "orchestrator.start.migrated": "the store's schema is up to date; nothing else of the start is done",
    "orchestrator.start.republished": "what was left in the outbox is queued again, and none of it is published yet",
    "orchestrator.start.reading": "everything is read from the store; the consumer has not taken its positions",
    "orchestrator.poll.after": "records are read and nothing is decided",
    "orchestrator.timers.before": "timers may fire, and their sagas are not decided",
    "orchestrator.timers.after": "what the timers' sagas do is committed, and not published",
    "orchestrator.acts.before": "operator acts are read and not decided",
    "orchestrator.acts.after": "acts are committed with their outcome; what follows from them is not published",
    "orchestrator.commit.before": "everything of a batch is written, and the transaction is open",
    "orchestrator.commit.after": "the batch is committed; the process has noted nothing of it",
    "orchestrator.hint.before": "the batch is committed and noted; Kafka has not been told the offsets",
    "orchestrator.publish.before": "committed messages are about to be published",
    "orchestrator.publish.after": "the broker has them all, and the process has not noted it",
    "orchestrator.outbox.before": "messages are published, and their outbox rows are about to be deleted",
    "orchestrator.outbox.after": "the outbox rows are deleted; the offsets may be behind",
    "participant.start.migrated": "the guard's schema is up to date; the service's own tables may be missing",
    "participant.poll.after": "commands are read and none is handled",
    "participant.commit.before": "handlers have run and the fence is written; the transaction is open",
    "participant.commit.after": "handlers' effects are committed, and no reply is published",
    "participant.publish.before": "replies are about to be published",
    "participant.publish.after": "the broker has the replies, and the process has not noted it",
    "participant.offsets.before": "replies are known to be published; the offsets are not stored",
    "participant.offsets.after": "the offsets are stored; Kafka has not been told",
    "participant.call.before": "an external call is noted as started, and not made",
    "participant.call.after": "an external call was made, and its outcome is not stored",
    "publish.half": "messages are handed to Kafka and not acknowledged: all, some or none of them are stored",
}
"""Every failpoint, with what is done and what is not when the process is there."""

Hook = Callable[[str], None]

_log = log("failpoints")
# Of a context and not of the module: in the simulator several processes live in one event loop.
_hook: ContextVar[Hook | None] = ContextVar("failpoint", default=None)


class FailpointError(Exception):
    """What `raise` raises: a mistake of ours, which nobody handles."""


def failpoint(name: str) -> None:
    """The process is at `name`. Costs less than 0.1 us while nothing is armed."""
    hook = _hook.get()
    if hook is not None:
        hook(name)


def arm(hook: Hook) -> None:
    """Call `hook` at every failpoint that this task, or a task begun by it, comes to."""
    _hook.set(hook)


def arm_from_environment(environment: Mapping[str, str]) -> None:
    """Arm what `environment` asks for, in this context.

    Raises:
        ConfigError: it cannot be read, names no failpoint, or SAGA_ALLOW_FAULTS is not 1.

    """
    asked = environment.get(VARIABLE)
    if asked is None:
        return
    if environment.get(ALLOW) != "1":
        raise ConfigError(f"{VARIABLE}: faults are for tests; set {ALLOW}=1 to allow them, or unset it")
    name, _, rest = asked.partition(":")
    hit, _, action = rest.partition(":")
    if name not in FAILPOINTS:
        raise ConfigError(f"{VARIABLE}={asked}: there is no failpoint '{name}'; there are {', '.join(FAILPOINTS)}")
    if not (hit.isascii() and hit.isdigit() and int(hit) > 0):
        raise ConfigError(f"{VARIABLE}={asked}: after the name comes which time to act, from 1: {name}:1")
    if action and action not in _ACTIONS:
        raise ConfigError(f"{VARIABLE}={asked}: '{action}' is not known; there are {', '.join(_ACTIONS)}")
    _log.warning("failpoint.armed", name=name, hit=int(hit), action=action or "kill")
    arm(_Armed(name, int(hit), _ACTIONS[action or "kill"], environment.get(LOG_VARIABLE)))


class _Armed:
    """Counts how often one failpoint is reached, and acts once."""

    def __init__(self, name: str, hit: int, action: Hook, log_path: str | None) -> None:
        self._name = name
        self._left = hit
        self._action = action
        self._log_path = log_path

    def __call__(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            self._note()
            self._action(name)

    def _note(self) -> None:
        if self._log_path is not None:
            descriptor = os.open(self._log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(descriptor, f"{self._name} {os.getpid()}\n".encode())
            os.close(descriptor)


def _kill(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # never reached by the dead, and nothing may follow where the signal takes its time


def _stop(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _raise(name: str) -> None:
    raise FailpointError(f"at {name}")


_ACTIONS: Final[Mapping[str, Hook]] = {"kill": _kill, "stop": _stop, "raise": _raise}
