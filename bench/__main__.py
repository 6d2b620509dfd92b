"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.broker import open_kafka
from bench.report import HEADLINE_RATE, last_line, report, stores_line
from bench.results import RESULTS, Results
from bench.run import FULL, SHORT, Bench
from bench.sections import SECTIONS, SHORT_SECTIONS
from bench.system import say
from deploy.kafka.kafka import KafkaError
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.telemetry import configure_logging

_EXIT_PARTLY = 6
_EXIT_INTERRUPTED = 130

_DESCRIPTION = """\
Measures the order saga end to end on a real Kafka: one of its own (needs Java and Maven), or the one that
KAFKA_BOOTSTRAP_SERVERS names. Tables on standard output, progress on standard error, everything in bench/results."""

_EPILOG = f"""\
The last line of the output is for programs:

  bench: sagas_per_s=… limit_per_s=… ratio=… p50_ms=… p99_ms=…

sagas_per_s is that of 20,000 orders that all succeed, limit_per_s that of 8 messages a saga passed from topic to
topic by aiokafka's batch calls (medians where they were repeated), p50 and p99 are latencies at {HEADLINE_RATE}.
What was not measured is `-`.

  make bench-short                                    about a minute
  make bench                                          everything
  make bench SECTIONS=latency,limit                   some of it
  make bench RESUME=1                                 go on where the last run was stopped
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        results, failed = asyncio.run(_run(arguments))
    except (KafkaError, SagaError) as error:
        sys.stderr.write(f"bench: error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("bench: interrupted; all processes have ended, RESUME=1 goes on from here\n")
        return _EXIT_INTERRUPTED
    text = report(results.sections, results.machine)
    (results.directory / "report.txt").write_text(text + "\n")
    _draw(results)
    lines = [line for line in (stores_line(results.sections), last_line(results.sections)) if line is not None]
    sys.stdout.write(text + "\n\n" + "\n".join(lines) + "\n")
    return _EXIT_PARTLY if failed else 0


def _draw(results: Results) -> None:
    try:
        from bench.plots import draw  # noqa: PLC0415 -- measuring needs no matplotlib
    except ImportError as error:
        say(f"no plots: {error.name} is not installed (pip install '.[bench]')")
        return
    for path in draw(results.sections, results.directory):
        say(f"drawn: {path}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="throughput, limit and latency only, and little of each")
    parser.add_argument("--sections", help=f"some of: {', '.join(SECTIONS)}")
    parser.add_argument("--resume", action="store_true", help="keep what the newest run of this kind has measured")
    parser.add_argument("--directory", type=Path, help="where databases and Kafka's logs go [default: the system's]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where results go [default: bench/results]")
    arguments = parser.parse_args(argv)
    everything = SHORT_SECTIONS if arguments.short else tuple(SECTIONS)
    arguments.sections = tuple(arguments.sections.split(",")) if arguments.sections else everything
    unknown = [name for name in arguments.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"there is no section '{unknown[0]}': it is one of {', '.join(SECTIONS)}")
    return arguments


async def _run(arguments: argparse.Namespace) -> tuple[Results, list[str]]:
    kind = "short" if arguments.short else "full"
    results = (Results.resume(kind, arguments.results) if arguments.resume else None) or Results.begin(
        kind, arguments.results
    )
    say(f"results go to {results.directory}")
    temporary = tempfile.TemporaryDirectory(prefix="saga-bench-", dir=arguments.directory, ignore_cleanup_errors=True)
    with temporary as name, open_kafka(Path(name)) as kafka:
        bench = Bench(kafka, Path(name), SHORT if arguments.short else FULL, results)
        return results, await carry_out(bench, arguments.sections)


async def carry_out(bench: Bench, names: Sequence[str]) -> list[str]:
    """Measure these sections; the names of those that did not come about. One does not keep the others from it."""
    failed = []
    for name in names:
        try:
            await SECTIONS[name](bench)
        except SagaError as error:
            say(f"{name} FAILED: {error}")
            failed.append(name)
    if failed:
        say(f"failed: {', '.join(failed)}; RESUME=1 SECTIONS={','.join(failed)} measures what is missing")
    return failed


if __name__ == "__main__":
    configure_logging(process="bench", level="error", log_format="text")
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(main())
