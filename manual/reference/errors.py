"""Every error with its code, whether trying again may help, and what does; causes of dead letters; reasons to park."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import kafka_saga
from kafka_saga.orchestrator.http.problems import status_of
from kafka_saga.orchestrator.machine.states import ParkReason
from kafka_saga.runtime.errors import SagaError
from kafka_saga.schemas.causes import Cause
from manual.reference.remedies import CAUSES, ERRORS, PARKED, remedy
from manual.reference.tables import code, table

HEAD = """# Errors

Every error of ours is a `kafka_saga.errors.SagaError`. On a terminal it is one line that begins with `saga:` and says
what to do, and the exit code; over HTTP a problem with `status` and `code`; in a program an exception with `code`,
`retryable` and `exit_code`.

*Again?* says whether the same call may succeed later without a change (`retryable`); the last column has the exit code
of a command and the status over HTTP.

"""

EXIT_CODES = """
## Exit codes

| code | meaning |
|---|---|
| 0 | it worked |
| 1 | it did not work |
| 2 | the command line or a setting cannot be understood |
| 3 | there is no such thing |
| 4 | refused: the state of the thing does not allow it |
| 5 | the store or Kafka does not answer, or the store is broken |
| 6 | of many, some did not work; `saga doctor`: a warning |
| 124 | it had not ended within `--timeout` |
| 130 | interrupted |
"""

NOT_FOR_USERS = ("kafka_saga.orchestrator.demo",)


LETTERS = """
## Causes of dead letters

What could not be read lies on `dlq.<topic>`: `saga dlq list`, `saga dlq show`. Once it is mended, `saga dlq redrive`
sends it again ([operating](../operating.md#dead-letters)).

"""

PARKING = """
## Reasons to park

A saga that needs a person is PARKED; `saga explain ID` says which of these it is
([operating](../operating.md#a-saga-is-parked)).

"""


def page() -> str:
    """The page."""
    errors = table(["error, code", "what it says", "what helps", "again?", "exit, HTTP"], map(_row, every_error()))
    causes = table(
        ["cause", "what was wrong", "what helps"], [(code(one.value), *remedy(CAUSES, one.value)) for one in Cause]
    )
    reasons = [(code(str(reason)), *remedy(PARKED, str(reason))) for reason in ParkReason]
    parked = table(["reason", "what happened", "what helps"], reasons)
    return f"{HEAD}{errors}{EXIT_CODES}{LETTERS}{causes}{PARKING}{parked}"


def _row(error: type[SagaError]) -> tuple[str, ...]:
    told = (error.__doc__ or "").strip().split("\n\n", 1)[0]
    status = status_of(error.__new__(error))
    names = f"{code(error.__name__)} {code(error.code)}"
    again = "yes" if error.retryable else "no"
    return names, told, remedy(ERRORS, error.code), again, f"{error.exit_code}, {int(status)}"


def every_error() -> list[type[SagaError]]:
    """Every error of the package, in the order of the tree: each below the one that it is a kind of."""
    for module in pkgutil.walk_packages(kafka_saga.__path__, "kafka_saga."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    return list(_tree(SagaError))


def _tree(error: type[SagaError]) -> Iterator[type[SagaError]]:
    if not error.__module__.startswith(NOT_FOR_USERS) and not error.__name__.startswith("_"):
        yield error
    for kind in sorted(error.__subclasses__(), key=lambda one: (one.__module__, one.__name__)):
        if kind.__module__.startswith("kafka_saga."):
            yield from _tree(kind)
