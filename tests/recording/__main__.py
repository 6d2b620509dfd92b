"""`python -m tests.recording`: write the decisions of simulated worlds down, once and for all.

Run it only where a difference from what is recorded is wanted and its reason stands in a decision record.
"""

from __future__ import annotations

import argparse
import gzip
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.engine import decide, new_life
from kafka_saga.orchestrator.machine.decision import Decision
from kafka_saga.orchestrator.machine.draft import NO_PAUSES
from kafka_saga.orchestrator.machine.events import Event
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.schemas.codec import encode
from tests.recording.stories import Move, Pauses, move, row_of
from tests.simulation.world import simulate

RECORDED = Path(__file__).with_name("decisions.jsonl.gz")
ALIKE_MAX = 1
"""Most lives are alike: so many of those in which the same things happened in the same order are kept."""

_RARER: tuple[dict[str, Any], ...] = ({"shared": True}, {"refusals": 3}, {"restore": "orchestrator"})


class Recorder:
    """Stands in for `advance()` and remembers each saga's story."""

    def __init__(self) -> None:
        self._stories: dict[str, tuple[Saga, list[Any], list[Move]]] = {}
        self._shapes: Counter[bytes] = Counter()
        self.lines: list[bytes] = []

    def advance(self, definition: Definition, saga: Saga, event: Event, now: int, pauses: Pauses = NO_PAUSES) -> Any:
        result = advance(definition, saga, event, now, pauses)
        key = str(saga.ref)
        after, row, moves = self._stories.get(key, (None, [], []))
        if after is not saga and after != saga:  # another life: it was read again, or a backup was put back
            self._keep(row, moves)
            row, moves = row_of(saga), []
        moves.append(move(definition, event, now, pauses, result))
        self._stories[key] = (result.saga if isinstance(result, Decision) else saga, row, moves)
        return result

    def end(self) -> None:
        """Keep the stories of the world that has ended."""
        for _, row, moves in self._stories.values():
            self._keep(row, moves)
        self._stories.clear()

    def _keep(self, row: list[Any], moves: list[Move]) -> None:
        shape = encode([row[4:5], [_shape(one) for one in moves]])
        self._shapes[shape] += 1
        if moves and self._shapes[shape] <= ALIKE_MAX:
            self.lines.append(encode([row, moves]))


def _shape(one: Move) -> list[Any]:
    _, event, holds, came = one
    told = [event.get(name) for name in ("event", "step", "phase", "epoch", "outcome", "effect", "reason", "verb")]
    return [*told, len(holds), came[0], *([came[1][0], came[1][1]] if came[0] == "Decision" else came[1:])]


def _worlds(seeds: int) -> Iterator[str]:
    for seed in range(1, seeds + 1):
        for settings in ({}, *(_RARER if seed % 4 == 0 else ())):
            simulate(seed, **settings)
            yield f"seed {seed} {settings}"


def main() -> None:
    """Record `--seeds` worlds, and a quarter as many of each rarer kind."""
    parser = argparse.ArgumentParser(prog="python -m tests.recording", description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        for module in (decide, new_life):
            patch.setattr(module, "advance", recorder.advance)
        for world in _worlds(options.seeds):
            recorder.end()
            print(f"{world}: {len(recorder.lines)} stories", flush=True)
    head = encode({"saga": order_saga.saga_type, "version": order_saga.version, "fingerprint": order_saga.fingerprint})
    with RECORDED.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(b"\n".join([head, *recorder.lines]))


if __name__ == "__main__":
    main()
