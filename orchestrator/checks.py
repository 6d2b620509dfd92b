"""A step's arguments, checked one by one when its saga is built."""

from __future__ import annotations

from typing import Any

from kafka_saga.orchestrator.arguments import check_fields, check_flag, check_name, check_whole, model_name
from kafka_saga.orchestrator.sources import check_message
from kafka_saga.orchestrator.step import Retry, Step
from kafka_saga.runtime.errors import DefinitionError
from kafka_saga.runtime.limits import ATTEMPTS_MAX, BACKOFF_MS_MAX, TIMEOUT_MS_MAX
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX


def checked_steps(where: str, steps: object) -> tuple[Step, ...]:
    """A saga's steps.

    Raises:
        DefinitionError: they are something else.

    """
    remedy = "give a list of steps: steps=[Step('name', service=…, action=…), …]"
    if isinstance(steps, str | Step | dict):
        raise DefinitionError(f"{where}: steps is {_a(steps)}; {remedy}")
    try:
        listed: tuple[Any, ...] = tuple(steps)  # type: ignore[arg-type]  # whatever can be gone through will do
    except TypeError:
        raise DefinitionError(f"{where}: steps is {steps!r}; {remedy}") from None
    for index, step in enumerate(listed):
        if not isinstance(step, Step):
            raise DefinitionError(f"{where}: steps[{index}] is {_a(step)}; {remedy}")
    return listed


def check_step(where: str, step: Step, seen: set[str]) -> None:
    """Refuse a step with an argument that cannot be.

    Args:
        where: how errors name it.
        step: the step.
        seen: the names of those before it.

    Raises:
        DefinitionError: which argument, and what it must be.

    """
    check_name(where, "the name", step.name)
    if step.name in seen:
        raise DefinitionError(f"{where}: two steps have this name; names identify steps for ever: rename one")
    check_name(where, f"service={step.service!r}", step.service)
    check_not_dead_letters(where, "service", step.service)
    for name in ("nothing_to_undo", "pivot"):
        check_flag(where, name, getattr(step, name))
    for name in ("action_fields", "compensation_fields"):
        check_fields(where, name, getattr(step, name))
    for kind, model in (("action", step.action), ("compensation", step.compensation), ("reply", step.reply)):
        if model is not None or kind == "action":
            check_message(f"{where}, {kind} {model_name(model)}", model)
    if step.pivot and (step.compensation is not None or step.nothing_to_undo):
        raise DefinitionError(f"{where}: a pivot is never undone: drop its compensation, or pivot=True")
    if step.nothing_to_undo and step.compensation is not None:
        raise DefinitionError(f"{where}: it has a compensation and says nothing_to_undo: keep one of the two")
    if step.compensation_fields and step.compensation is None:
        raise DefinitionError(f"{where}: compensation_fields without a compensation")
    check_whole(where, "timeout_ms", step.timeout_ms, range(1, TIMEOUT_MS_MAX + 1))
    check_whole(where, "compensation_timeout_ms", step.compensation_timeout_ms, range(1, TIMEOUT_MS_MAX + 1))
    for name in ("retry", "compensation_retry"):
        _check_retry(where, name, getattr(step, name))


def check_not_dead_letters(where: str, what: str, name: str) -> None:
    """Refuse a name whose topics would be taken for dead letters' ones.

    Raises:
        DefinitionError: it is.

    """
    if f"{name}." == DEAD_LETTER_PREFIX:
        raise DefinitionError(
            f"{where}: {what} is '{name}', which begins the topics of dead letters: choose another name"
        )


def _check_retry(where: str, name: str, retry: object) -> None:
    if not isinstance(retry, Retry):
        number = retry if type(retry) is int else 5
        raise DefinitionError(
            f"{where}: {name} is {retry!r}; it must be a Retry: {name}=Retry(retries_max={number}), or left out"
        )
    place = f"{where}: {name}"
    if retry.retries_max is not None:
        check_whole(place, "retries_max", retry.retries_max, range(ATTEMPTS_MAX))
    check_whole(place, "backoff_ms_max", retry.backoff_ms_max, range(BACKOFF_MS_MAX + 1))
    if type(retry.backoff_ms) is not int or not 0 <= retry.backoff_ms <= retry.backoff_ms_max:
        raise DefinitionError(
            f"{place}: backoff_ms is {retry.backoff_ms!r}; it must be a whole number of milliseconds, "
            f"0 to backoff_ms_max ({retry.backoff_ms_max})"
        )
    if type(retry.factor) not in (int, float) or not 1 <= retry.factor <= 100:
        raise DefinitionError(f"{place}: factor is {retry.factor!r}; it must be a number, 1 to 100")


def _a(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
