"""What the engine counts, once a batch, after it is committed: what was rolled back never shows.

Every replica counts what it committed itself, so sums over replicas are right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric

from kafka_saga.messaging.meters import BATCH_SIZE, DEAD_LETTERED, DUPLICATES, dead_letter_places
from kafka_saga.orchestrator.engine.decide import Decided
from kafka_saga.orchestrator.engine.inputs import Inputs
from kafka_saga.orchestrator.machine.states import LogStatus, SagaState
from kafka_saga.runtime.errors import UNWRITTEN, ConflictError
from kafka_saga.runtime.metrics import LONG_SECONDS, SECONDS, SIZES, Histogram, Meter

if TYPE_CHECKING:
    from kafka_saga.orchestrator.engine.spans import EngineSpans

STARTED: Final = Meter("saga_started_total", "Sagas that were accepted", ("saga",))
FINISHED: Final = Meter("saga_finished_total", "Sagas that ended: completed or compensated", ("saga", "outcome"))
DURATION: Final = Meter("saga_duration_seconds", "From the acceptance of a saga to its end", ("saga", "outcome"))
STEP_DURATION: Final = Meter(
    "saga_step_duration_seconds",
    "From the decision to send a command's latest attempt to the decision on its reply",
    ("saga", "step", "phase", "outcome"),
)
RETRIES: Final = Meter("saga_step_retries_total", "Attempts that a participant answered with retry", ("saga", "step"))
TIMEOUTS: Final = Meter("saga_step_timeouts_total", "Attempts that nobody answered in time", ("saga", "step"))
COMPENSATIONS: Final = Meter(
    "saga_compensations_total", "Steps that were undone, or had nothing to undo", ("saga", "step", "outcome")
)
PARKINGS: Final = Meter("saga_parkings_total", "Sagas that began to wait for a person", ("saga", "reason"))
CONFLICTS: Final = Meter("saga_commit_conflicts_total", "Batches that another writer made void, and that were redone")

_UNDONE = {LogStatus.COMPENSATED: "compensated", LogStatus.NOTHING_TO_UNDO: "nothing_to_undo"}


class EngineMeters:
    """Counts of one engine's life."""

    def __init__(self, spans: EngineSpans | None = None) -> None:
        """`spans` makes traces, where somebody collects them."""
        self.spans = spans
        self._conflicts = 0
        self._started: Counter[str] = Counter()
        self._finished: Counter[tuple[str, str]] = Counter()
        self._steps: Counter[tuple[str, str, LogStatus]] = Counter()
        self._parked: Counter[tuple[str, str]] = Counter()
        self._duplicates: Counter[str] = Counter()
        self._dead_lettered: Counter[tuple[str, str]] = Counter()
        self._durations = Histogram(DURATION, LONG_SECONDS)
        self._step_durations = Histogram(STEP_DURATION, SECONDS)
        self._batch_sizes = Histogram(BATCH_SIZE, SIZES)

    def decided(self, decided: Decided) -> None:
        """A batch is about to be written."""
        if self.spans is not None:
            self.spans.decided(decided)

    def undone(self, error: ConflictError) -> None:
        """It was not."""
        self._conflicts += error.what != UNWRITTEN
        if self.spans is not None:
            self.spans.undone()

    def committed(self, decided: Decided, inputs: Inputs) -> None:
        """A batch was written."""
        if self.spans is not None:
            self.spans.committed(decided)
        batch = decided.batch
        taken = len(inputs.requests) + len(inputs.replies) + len(inputs.set_aside)
        if taken:
            self._batch_sizes.observe((), taken)
        if batch.started:
            self._started.update([new.saga.ref.saga_type for new in batch.started])
        self._count_endings(decided)
        observe = self._step_durations.observe
        for saga_type, step, phase, outcome, took_ms in decided.answered:
            observe((saga_type, step, phase, outcome), took_ms / 1000)
        # Nearly every row says one of the first two, of which others tell.
        rare = [
            (ref.saga_type, entry.step, entry.status)
            for ref, entry in batch.log
            if entry.status is not LogStatus.IN_PROGRESS and entry.status is not LogStatus.SUCCESS
        ]
        if rare:
            self._steps.update(rare)
        if decided.duplicates:
            self._duplicates.update(decided.duplicates)
        if decided.counts["dead_lettered"]:
            self._dead_lettered.update(dead_letter_places(batch.messages))

    def _count_endings(self, decided: Decided) -> None:
        for before, saga in decided.moved:
            state = saga.state
            if state is SagaState.COMPLETED or state is SagaState.COMPENSATED:
                ended = saga.ref.saga_type, "completed" if state is SagaState.COMPLETED else "compensated"
                self._finished[ended] += 1
                self._durations.observe(ended, (saga.updated_at - saga.created_at) / 1000)
            elif state is SagaState.PARKED and (before is None or before.state is not SagaState.PARKED):
                assert saga.parked is not None
                self._parked[saga.ref.saga_type, saga.parked.reason.value] += 1

    def families(self) -> Iterator[Metric]:
        """What a scrape shows."""
        yield STARTED.counted(self._started)
        yield FINISHED.counted(self._finished)
        yield self._durations.family()
        yield self._step_durations.family()
        yield RETRIES.counted(self._of(LogStatus.RETRY))
        yield TIMEOUTS.counted(self._of(LogStatus.TIMEOUT))
        undone = {
            (saga_type, step, _UNDONE[status]): count
            for (saga_type, step, status), count in self._steps.items()
            if status in _UNDONE
        }
        yield COMPENSATIONS.counted(undone)
        yield PARKINGS.counted(self._parked)
        yield DUPLICATES.counted(self._duplicates)
        yield DEAD_LETTERED.counted(self._dead_lettered)
        yield self._batch_sizes.family()
        yield CONFLICTS.counted({(): self._conflicts})

    def _of(self, wanted: LogStatus) -> dict[tuple[str, str], int]:
        return {
            (saga_type, step): count for (saga_type, step, status), count in self._steps.items() if status is wanted
        }
