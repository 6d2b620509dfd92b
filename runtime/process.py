"""How a process of ours lives: it stops cleanly when asked, and dies loudly when a part of it dies."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from kafka_saga.runtime.errors import SagaError, causes, in_words
from kafka_saga.runtime.failpoints import arm_from_environment
from kafka_saga.runtime.keyboard import handled, is_pressed
from kafka_saga.runtime.stacks import frames_of, words_of
from kafka_saga.runtime.telemetry import log

EXIT_INTERRUPTED = 130

YOUNG_OBJECTS_MAX = 50_000
"""Objects made between two searches for garbage cycles. A batch of messages makes that many, all freed by their
counts; searching them every 700, as Python does, took a fifth of the time."""


class Lifecycle:
    """The stop signal and the background tasks of one process.

    A background task that ends with an error stops the process: work that nobody does any more must not look
    like work that is going on.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = log("process")

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` in the background under this process's supervision."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def stop(self) -> None:
        """Ask everything to finish what it has in hand."""
        self.stopping.set()

    async def join(self) -> None:
        """Wait for the background tasks.

        Raises:
            BaseException: what the first of them died of.

        """
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self.failure is not None:
            raise self.failure

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self.failure is None:
            self.failure = error
            self._log.error("process.task_died", task=task.get_name())  # what of, `run_process` says
            self.stop()


async def beside(work: Coroutine[Any, Any, None], *watches: Coroutine[Any, Any, None]) -> None:
    """Do `work` while `watches`, which never return, look on; what one of them raises ends the work where it stands.

    For what forbids even to finish what is in hand: a transaction that is open is rolled back, and nothing more is
    published. It is as if the process were killed, which is safe at any moment, and it can say why.
    """
    doing = asyncio.create_task(work, name="work")
    tasks = {doing, *(asyncio.create_task(watch, name="watch") for watch in watches)}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks - {doing}:
            if task.done():
                task.result()
        await doing
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run_process(main: Callable[[Lifecycle], Awaitable[None]]) -> int:
    """Run `main` until it returns; its exit code (see `kafka_saga.runtime.errors`).

    SIGTERM and SIGINT set `Lifecycle.stopping`; a second one ends the process at once, which is safe at any
    moment. An error of ours is one line on stderr. Any other is somebody's bug: its traceback comes first, then the
    same line; where errors came as a group, that line names them.
    """
    gc.freeze()  # what the imports made stays: never search it again
    gc.set_threshold(YOUNG_OBJECTS_MAX, 20, 50)
    try:
        arm_from_environment(os.environ)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            _run_on(runner.get_loop(), main)
    except Exception as error:  # noqa: BLE001 -- whatever ends a process is said, once
        return _last_words(error)
    return 0


def _run_on(loop: asyncio.AbstractEventLoop, main: Callable[[Lifecycle], Awaitable[None]]) -> None:
    """Run `main` to its end, whatever a task or a callback that user code left behind does to the loop (R57)."""
    running = loop.create_task(_run(main), name="main")
    while True:
        try:
            loop.run_until_complete(running)
        except (SystemExit, KeyboardInterrupt, RuntimeError) as error:  # the last: somebody stopped the loop
            if running.done() or loop.is_closed() or is_pressed(error):
                raise
            words = f"{type(error).__name__}: {words_of(error)}"
            log("process").error(
                "process.exit_ignored", error=words, why="a task or a callback may not end this process"
            )
        else:
            return


def _last_words(error: Exception) -> int:
    """Say what ended the process; its exit code."""
    found = causes(error)
    with suppress(OSError):  # where the log's disk is full too, the exit code still says it
        for cause in found:
            if not isinstance(cause, SagaError):
                sys.stderr.write(f"{frames_of(cause)}\n")  # the message follows in our own line
        sys.stderr.write(f"saga: {in_words(error)}\n")
    codes = [cause.exit_code for cause in found if isinstance(cause, SagaError)]
    return codes[0] if codes else SagaError.exit_code


def new_loop() -> asyncio.AbstractEventLoop:
    """The loop of uvloop, where it can be installed (not on Windows): a tenth less time on each hop."""
    try:
        import uvloop  # noqa: PLC0415 -- optional
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _run(main: Callable[[Lifecycle], Awaitable[None]]) -> None:
    lifecycle = Lifecycle()
    loop = asyncio.get_running_loop()

    def asked_to_stop() -> None:
        if lifecycle.stopping.is_set():
            os._exit(EXIT_INTERRUPTED)
        lifecycle.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop)
    with handled():
        await main(lifecycle)
        await lifecycle.join()
