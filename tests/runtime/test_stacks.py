from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import BaseModel, ValidationError

from kafka_saga.runtime.limits import STACK_DEPTH_MAX, STACK_FRAMES_MAX
from kafka_saga.runtime.stacks import LoggedStacks, stack_of, words_of

CARD = "4111111111111111"


class Card(BaseModel):
    number: int
    month: int


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        Card.model_validate({"number": f"{CARD}x", "month": f"{CARD}y"})
    return raised.value


def raised(error: BaseException) -> BaseException:
    with pytest.raises(BaseException) as caught:
        raise error
    return caught.value


def nested(error: Exception) -> Exception:
    return ExceptionGroup("two of them", [ValueError("first"), error])


def caused(error: Exception) -> Exception:
    outer = RuntimeError("outer")
    outer.__cause__ = error
    return outer


def in_passing(error: Exception) -> Exception:
    outer = RuntimeError("outer")
    outer.__context__ = error
    return outer


@pytest.mark.parametrize("wrapped", [nested, caused, in_passing])
def test_no_input_is_told_wherever_the_complaint_stands(wrapped: Callable[[Exception], Exception]) -> None:
    told = stack_of(raised(wrapped(invalid())))
    assert "Input should be a valid integer" in told
    assert CARD not in told


def test_a_suppressed_context_is_not_told() -> None:
    error = raised(RuntimeError("outer"))
    error.__context__ = ValueError("inner")
    assert "inner" in stack_of(error)
    error.__suppress_context__ = True
    assert "inner" not in stack_of(error)


def test_an_exception_whose_words_cannot_be_read_is_known_by_its_class() -> None:
    assert words_of(MuteError()) == ""
    assert stack_of(MuteError()).endswith("MuteError")


def test_notes_are_told() -> None:
    error = ValueError("odd")
    error.add_note("while packing")
    assert stack_of(error) == "ValueError: odd\nwhile packing"


def test_a_recursion_and_a_long_chain_are_cut() -> None:
    def down() -> None:
        further()

    def further() -> None:
        down()

    with pytest.raises(RecursionError) as recursion:
        down()
    assert stack_of(recursion.value).count("  File ") == STACK_FRAMES_MAX
    error = ValueError("0")
    for number in range(1, 50):
        outer = ValueError(str(number))
        outer.__cause__, error = error, outer
    assert stack_of(error).count("ValueError") == STACK_DEPTH_MAX + 1


def test_the_same_stack_of_a_command_is_known_and_anothers_is_not() -> None:
    logged = LoggedStacks()
    errors = [raised(ValueError(f"at {number}")) for number in range(3)]
    other = raised(KeyError("at 0"))
    assert logged.attempt("a", 1, errors[0]) is None
    assert logged.attempt("a", 2, errors[1]) == 1
    assert logged.attempt("b", 1, errors[2]) is None
    assert logged.attempt("a", 3, other) is None
    assert logged.attempt("a", 4, other) == 3


def test_the_commands_that_failed_longest_ago_are_forgotten() -> None:
    logged = LoggedStacks(remembered_max=2)
    error = ValueError("x")
    for command in ("a", "b", "a", "c"):
        logged.attempt(command, 1, error)
    assert [logged.attempt(command, 2, error) for command in ("a", "c", "b")] == [1, 1, None]
