"""What a client raises beside the roots of `kafka_saga.errors`."""

from __future__ import annotations

from kafka_saga.runtime.errors import RefusedError, SagaError
from kafka_saga.schemas.ids import SagaRef


class OutcomeTimeoutError(SagaError, TimeoutError):
    """The saga had not ended in time. It goes on: ask again, or look it up."""

    code = "timed_out"
    retryable = True
    exit_code = 124

    def __init__(self, ref: SagaRef, message: str, last_event: str | None = None, *, is_stored: bool = False) -> None:
        """Say what is known.

        Args:
            ref: the saga.
            message: the same in words.
            last_event: the last thing the saga was seen to say while it was waited for, such as `step_succeeded`.
            is_stored: whether its request is known to be stored: by `run`, which saw it stored, or because the saga was
                heard of. False where that is not known: it may be or not, and `run` may ask the same again.

        """
        super().__init__(message)
        self.ref = ref
        self.last_event = last_event
        self.is_stored = is_stored


class RequestRefusedError(RefusedError):
    """The orchestrator set the request aside: no saga was started by it."""

    code = "request_refused"

    def __init__(self, ref: SagaRef, cause: str, message: str, position: str | None = None) -> None:
        """`cause` is one word, such as `conflict` or `bad_schema`; `position` is where its dead letter lies."""
        super().__init__(message)
        self.ref = ref
        self.cause = cause
        self.position = position
