"""`make fuzz SECONDS=600`: every target of `tests/fuzz/targets.py`, for as long as there is time.

With atheris where it is installed (`pip install atheris`): it looks for input that reaches new code. Without it
hypothesis draws examples from one seed after the other. Both use the same targets and the same properties.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import random  # noqa: TID251 -- seeded
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.telemetry import configure_logging

NAMES = ("decoding", "heading", "orchestrating", "participating")
EXAMPLES = 500
INPUT_BYTES_MAX = 64 * 1024
CORPUS_INPUTS = 100
CORPUS_BYTES = 8 * 1024
TIMEOUT_S = 60
"""One input may take this long; more is a hang, and a finding."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--target", choices=NAMES, help="only this one")
    parser.add_argument("--engine", choices=("atheris", "hypothesis"), help="default: atheris where it is installed")
    parser.add_argument("--seed", type=int, help="of the first examples; a new one when not given")
    parser.add_argument("--replay", type=Path, help="one input that atheris has kept")
    asked = parser.parse_args()
    has_atheris = importlib.util.find_spec("atheris") is not None
    engine = asked.engine or ("atheris" if has_atheris else "hypothesis")
    if asked.target is not None:
        configure_logging(process="fuzz", level="critical", log_format="text")
        if asked.replay is not None:
            return replay(asked.target, asked.replay)
        return (with_atheris if engine == "atheris" else with_hypothesis)(asked.target, asked.seconds, asked.seed)
    why = "" if has_atheris or asked.engine else " (atheris is not installed: pip install atheris)"
    print(f"fuzzing with {engine}{why}: {len(NAMES)} targets in {asked.seconds} s")
    seed = int.from_bytes(os.urandom(3)) if asked.seed is None else asked.seed
    failed = [name for name in NAMES if not run_target(name, engine, max(1, asked.seconds // len(NAMES)), seed)]
    print(f"found something in: {', '.join(failed)}" if failed else "found nothing")
    return 1 if failed else 0


def run_target(name: str, engine: str, seconds: int, seed: int) -> bool:
    """Run one target in a process of its own, which atheris ends as it likes."""
    print(f"{name}: {seconds} s, seed {seed}", flush=True)
    command = [sys.executable, "-m", "tests.fuzz", "--target", name, "--engine", engine]
    done = subprocess.run([*command, "--seconds", str(seconds), "--seed", str(seed)], check=False)
    return done.returncode == 0


def with_atheris(name: str, seconds: int, seed: int | None) -> int:
    import atheris  # noqa: PLC0415 -- optional

    with (
        redirect_stderr(io.StringIO()),
        atheris.instrument_imports(include=["kafka_saga"], enable_loader_override=False),
    ):
        target = one_input(name)
    folder = tempfile.mkdtemp(prefix="saga-fuzz-")
    corpus = Path(folder, "corpus")
    corpus.mkdir()
    chance = random.Random(seed or 0)
    for number in range(CORPUS_INPUTS):  # hypothesis draws from the bytes, and makes nothing of a few of them
        Path(corpus, f"{number}").write_bytes(chance.randbytes(CORPUS_BYTES))
    flags = [f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}", f"-timeout={TIMEOUT_S}", "-verbosity=0"]
    print(f"an input that fails is kept in {folder}; see it again with --target {name} --replay FILE", flush=True)
    flags += [f"-seed={seed or 0}", "-print_final_stats=1", f"-artifact_prefix={folder}/", "-len_control=0"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], target)
    atheris.Fuzz()
    return 0


def with_hypothesis(name: str, seconds: int, seed: int | None) -> int:
    from tests.fuzz.targets import run_examples  # noqa: PLC0415 -- after logging is set up

    clock = SystemClock()
    ends_at, number = clock.monotonic_ms() + seconds * 1_000, 0
    first = int.from_bytes(os.urandom(3)) if seed is None else seed
    while clock.monotonic_ms() < ends_at:
        try:
            run_examples(name, first + number, EXAMPLES, until=lambda: clock.monotonic_ms() < ends_at)
        except Exception:
            print(f"to repeat this: python -m tests.fuzz --target {name} --engine hypothesis --seed {first + number}")
            raise
        number += 1
    print(f"{name}: {number} rounds of up to {EXAMPLES} examples")
    return 0


def replay(name: str, file: Path) -> int:
    one_input(name)(file.read_bytes())
    print("no harm was done")
    return 0


def one_input(name: str):  # noqa: ANN201 -- hypothesis's own type
    from hypothesis import given, settings  # noqa: PLC0415 -- imported under atheris's eyes

    from tests.fuzz.targets import TARGETS  # noqa: PLC0415

    strategy, target, _examples = TARGETS[name]
    return settings(deadline=None, database=None)(given(strategy)(target)).hypothesis.fuzz_one_input


if __name__ == "__main__":
    sys.exit(main())
