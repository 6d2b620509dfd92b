"""`python -m bench.profile`: where one process's time goes while it carries sagas, in µs per saga.

py-spy looks at the running process from outside, so that what is measured runs as fast as it does otherwise (a
tracing profiler doubles the time, and not evenly: it taxes many small calls). It sees all threads, the store's too;
only those that use the processor count, and their samples are scaled to the CPU time that the system counted.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.broker import open_kafka
from bench.measure import measure
from bench.report import table
from bench.run import WARM_ORDERS
from bench.system import BenchError, System, running, say
from deploy.kafka.kafka import KafkaError
from kafka_saga.orchestrator.supervisor.stack import ORCHESTRATOR, SERVICES
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.telemetry import configure_logging

_SAMPLES_PER_S = 200
"""Of each thread. py-spy does not stop the process for a sample, so that more would not slow it, but blur it."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Samples by function: in it itself, and in it or what it called."""

    total: int
    own: Counter[str]
    cumulative: Counter[str]
    threads: Counter[str]

    @classmethod
    def of(cls, lines: Iterable[str]) -> Profile:
        """From collapsed stacks: `thread;outermost;…;innermost count`, one a line."""
        own: Counter[str] = Counter()
        cumulative: Counter[str] = Counter()
        threads: Counter[str] = Counter()
        total = 0
        for line in lines:
            stack, _, count_text = line.rstrip().rpartition(" ")
            thread, *frames = stack.split(";")
            if not frames:
                continue
            count = int(count_text)
            total += count
            threads[thread] += count
            own[frames[-1]] += count
            cumulative.update(dict.fromkeys(frames, count))
        return cls(total, own, cumulative, threads)

    def rows(self, by: Counter[str], us_per_saga: float, top: int) -> list[list[str]]:
        """The `top` functions, each with its own and cumulative time per saga."""
        scale = us_per_saga / max(1, self.total)
        rows = [["", "own µs", "with calls µs", "own %"]]
        # What is on the stack all the time (main, the event loop) says nothing.
        always = {name for name, count in self.cumulative.items() if count >= max(self.threads.values())}
        for name, _ in [item for item in by.most_common() if item[0] not in always][:top]:
            own = self.own[name]
            share = own / max(1, self.total)
            rows.append([name, f"{own * scale:.1f}", f"{self.cumulative[name] * scale:.1f}", f"{share:.1%}"])
        return rows


async def profile(
    system: System, process: str, orders: int, *, mix: str, stacks: Path, rate: float | None
) -> tuple[Profile, float, float]:
    """Carry `orders` sagas under the profiler; the profile, µs of CPU per saga, and sagas a second."""
    await measure(system, WARM_ORDERS)
    spy = await _spy(system.processes[process], stacks)
    try:
        result = await measure(system, orders, mix=mix, rate=rate)
    finally:
        spy.send_signal(signal.SIGINT)
        _, words = await spy.communicate()
    if not stacks.exists():
        raise BenchError(f"py-spy wrote nothing:\n{words.decode(errors='replace')}")
    return Profile.of(stacks.read_text().splitlines()), result["cpu_ms_per_saga"][process] * 1000, result["per_s"]


async def _spy(pid: int, stacks: Path) -> Process:
    command = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if command is None:
        raise BenchError("py-spy is not installed: pip install '.[bench]'")
    options = ["--format", "raw", "--threads", "--nonblocking", "--function", "--rate", str(_SAMPLES_PER_S)]
    return await asyncio.create_subprocess_exec(
        command, "record", *options, "--duration", "unlimited", "--pid", str(pid), "--output", str(stacks),
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
    )  # fmt: skip


async def _run(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="saga-bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        with open_kafka(directory) as kafka:
            async with running(kafka, directory / "profile") as system:
                say(f"{arguments.orders:,} orders, {arguments.process} under the profiler …")
                stacks = arguments.stacks or directory / "stacks"
                wanted = {"mix": arguments.mix, "stacks": stacks, "rate": arguments.rate}
                found, us, per_s = await profile(system, arguments.process, arguments.orders, **wanted)
    print(f"{arguments.process}: {us:,.0f} µs of CPU per saga, {found.total:,} samples, {per_s:,.0f} sagas/s\n")
    print("threads\n" + table([["", "µs"], *([n, f"{c * us / found.total:.0f}"] for n, c in found.threads.items())]))
    print(f"\nby own time\n{table(found.rows(found.own, us, arguments.top))}")
    print(f"\nby time with what they call\n{table(found.rows(found.cumulative, us, arguments.top))}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--process", choices=(ORCHESTRATOR, *SERVICES), default=ORCHESTRATOR)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--mix", choices=("succeed", "compensated"), default="succeed")
    parser.add_argument("--rate", type=float, help="orders a second [default: all at once]")
    parser.add_argument("--top", type=int, default=45, help="how many functions are shown")
    parser.add_argument("--stacks", type=Path, help="keep the collapsed stacks here, for a flame graph")
    arguments = parser.parse_args(argv)
    try:
        asyncio.run(_run(arguments))
    except (KafkaError, SagaError) as error:
        sys.stderr.write(f"bench: error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    configure_logging(process="bench", level="error", log_format="text")
    sys.exit(main())
