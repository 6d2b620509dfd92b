"""What a process of ours says when it ends by an error: what went wrong, once, on its last line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from kafka_saga.runtime.errors import BrokenStoreError, ConfigError, causes, in_words
from kafka_saga.runtime.process import Lifecycle, run_process


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("unhandled errors in a TaskGroup", list(errors))


def ended_by(error: Exception, capfd: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    async def main(_lifecycle: Lifecycle) -> None:
        raise error

    code = run_process(main)
    return code, capfd.readouterr().err.splitlines()


def test_an_error_of_ours_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended_by(ConfigError("no such thing"), capfd) == (2, ["saga: no such thing"])


def test_one_of_ours_in_a_group_is_the_same_line_and_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended_by(group(group(BrokenStoreError("the disk is full"))), capfd) == (5, ["saga: the disk is full"])


def test_any_other_keeps_its_traceback_and_is_named_once(capfd: pytest.CaptureFixture[str]) -> None:
    for error in (ValueError("the real\none"), group(group(ValueError("the real\none")))):
        code, lines = ended_by(error, capfd)
        assert (code, lines[-1]) == (1, "saga: ValueError: the real one")
        assert lines[0] == "Traceback (most recent call last):" or isinstance(error, ExceptionGroup)
        assert sum("the real" in line for line in lines) == 1
        assert not any("TaskGroup" in line for line in lines)


def test_all_that_is_in_a_group_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    _, lines = ended_by(group(KeyError("sku"), ConfigError("no such thing")), capfd)
    assert lines[-1] == "saga: KeyError: 'sku'; no such thing"


def test_a_background_task_that_dies_of_a_group_is_named_by_what_is_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        raise group(TypeError("not this"))

    async def main(lifecycle: Lifecycle) -> None:
        lifecycle.spawn(work(), "work")
        await lifecycle.stopping.wait()

    assert run_process(main) == 1
    assert capfd.readouterr().err.splitlines()[-1] == "saga: TypeError: not this"


def leave() -> None:
    sys.exit("from a callback")


def interrupt() -> None:
    raise KeyboardInterrupt("from a callback")


async def leave_in_a_task() -> None:
    leave()


@pytest.mark.parametrize("begin", [
    lambda loop: loop.call_soon(leave),
    lambda loop: loop.call_soon(interrupt),
    lambda loop: loop.create_task(leave_in_a_task()),
    lambda loop: loop.stop(),
])  # fmt: skip
def test_what_user_code_left_behind_does_not_end_a_process_and_is_said(
    begin: Callable[[asyncio.AbstractEventLoop], object], capfd: pytest.CaptureFixture[str]
) -> None:
    went_on = []

    async def main(_lifecycle: Lifecycle) -> None:
        loop = asyncio.get_running_loop()
        kept = begin(loop)
        for _ in range(5):
            turn = loop.create_future()
            loop.call_soon(turn.set_result, None)
            await turn
        went_on.append(kept)

    assert run_process(main) == 0
    assert len(went_on) == 1
    assert "process.exit_ignored" in "".join(capfd.readouterr())


def test_an_error_that_cannot_be_said_ends_no_saying() -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "HostileError" in in_words(HostileError())
    plain = ValueError("x")
    assert causes(plain) == [plain]
