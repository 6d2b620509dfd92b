"""One run of one program: from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kafka_saga.orchestrator.supervisor.lines import Line, read_line

LINE_BYTES_MAX = 1024 * 1024

Tell = Callable[[Line], None]


@dataclass(frozen=True, slots=True)
class Program:
    """What to run.

    Attributes:
        name: what people call it.
        command: the program and its arguments.
        environment: all of its variables.
        ready_event: the log event that says it works; None where its first line on standard output says so.
        descriptors: open files that it inherits, under the same numbers.

    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready_event: str | None = None
    descriptors: tuple[int, ...] = ()


def saga_command(*arguments: str) -> tuple[str, ...]:
    """The `saga` command with these arguments, which ends with the process that started it."""
    return (sys.executable, "-P", "-m", "kafka_saga.orchestrator.cli.leash", *arguments)


class Child:
    """A running program."""

    def __init__(self, program: Program, process: Process, tell: Tell, ready: asyncio.Event) -> None:
        self.program = program
        self.ready = ready
        self.first_line = ""
        """What it first said on standard output."""
        self.last_error = ""
        """The last line that may say why it died."""
        self._process = process
        self._tell = tell
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(process.stdout, is_output=True), name=f"{program.name} stdout"),
            asyncio.create_task(self._read(process.stderr, is_output=False), name=f"{program.name} stderr"),
        ]

    @classmethod
    async def start(cls, program: Program, tell: Tell, ready: asyncio.Event | None = None) -> Child:
        """Start `program`. Its lines go to `tell`, and `ready` is set when it works.

        Ctrl-C does not reach it: only what the supervisor sends.
        """
        process = await asyncio.create_subprocess_exec(
            *program.command,
            stdin=PIPE,  # its end tells the child that we are gone
            stdout=PIPE,
            stderr=PIPE,
            env=dict(program.environment),
            start_new_session=True,
            pass_fds=program.descriptors,
            limit=LINE_BYTES_MAX,
        )
        return cls(program, process, tell, ready or asyncio.Event())

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ended(self) -> int:
        """Wait for its end and its last line; its exit code, negative where a signal ended it."""
        await asyncio.wait(self._readers)
        return await self._process.wait()

    async def until_ready(self, timeout_s: float) -> bool:
        """Wait until it works; whether it does. False where it ended first, or the time is up."""
        ready = asyncio.create_task(self.ready.wait())
        ended = asyncio.create_task(self.ended())
        try:
            await asyncio.wait({ready, ended}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            return self.ready.is_set()
        finally:
            ready.cancel()
            ended.cancel()

    async def stop(self, timeout_s: float) -> bool:
        """Ask it to stop; kill it where it takes longer. Whether it stopped by itself."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(timeout_s):
                await self.ended()
        except TimeoutError:
            self.kill()
            await self.ended()
            return False
        return True

    def kill(self) -> None:
        """End it at once."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended gets none."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _read(self, stream: asyncio.StreamReader, *, is_output: bool) -> None:
        while True:
            try:
                raw = await stream.readline()
            except ValueError:
                continue  # a line beyond LINE_BYTES_MAX: nobody could read it
            if not raw:
                return
            line = read_line(self.program.name, raw)
            if is_output and not self.first_line:
                self.first_line = line.text
            if not is_output and line.is_error and (words := line.last_words()):
                self.last_error = words
            expected = self.program.ready_event
            if (expected is None and is_output) or (expected is not None and line.event == expected):
                self.ready.set()
            self._tell(line)


def how_it_ended(code: int) -> str:
    """An exit code for people: `exit code 5`, `signal SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
