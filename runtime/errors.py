"""Every error we raise, sorted by what the reader can do about it.

    SagaError
    ├── UsageError            the words given to us are wrong: change them
    │   ├── ConfigError       … in a flag, an environment variable or a file
    │   └── DefinitionError   … in a saga's definition
    ├── ContractError         a message breaks the wire contract: it is dead-lettered with its cause
    ├── NotFoundError         the thing named does not exist
    ├── RefusedError          the thing exists, but its state does not allow this
    │   ├── ConflictError     somebody else changed it first: read again
    │   ├── CommitRefusedError what was written breaks a deferred constraint: nothing was kept
    │   └── StoreRefusedError the store belongs to another process or another version
    ├── UnavailableError      the broker or the store does not answer: try again
    │   ├── BrokerUnavailableError
    │   └── StoreUnavailableError
    │       └── StoreFullError … since its server's disk is full: make room, and it goes on
    └── BrokenStoreError      the store's file is damaged or its disk is full: stop, and mend it first

`code` is stable text for programs, `retryable` says whether the same call may succeed later, and
`exit_code` is what a command exits with. Foreign errors are translated where they enter, with `from`.
"""

from __future__ import annotations

from typing import ClassVar


class SagaError(Exception):
    """Something went wrong in the saga orchestrator."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class UsageError(SagaError):
    """What was asked for cannot be understood."""

    code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """A setting is wrong."""

    code = "config"


class DefinitionError(UsageError):
    """A saga's definition is wrong."""

    code = "definition"


class ContractError(SagaError):
    """A message breaks the wire contract."""

    code = "contract"

    def __init__(self, cause: str, message: str) -> None:
        """`cause` is one word from a closed set, used as a metric label and in dead letters."""
        super().__init__(message)
        self.cause = cause


class NotFoundError(SagaError):
    """There is no such thing."""

    code = "not_found"
    exit_code = 3


class RefusedError(SagaError):
    """The state of the thing does not allow this."""

    code = "refused"
    exit_code = 4


UNWRITTEN = "store"
"""What a `ConflictError` says where there was none."""


class ConflictError(RefusedError):
    """Somebody else changed it first."""

    code = "conflict"
    retryable = True

    def __init__(self, message: str | None = None, *, what: str = "") -> None:
        """`what` was changed: life, offsets, sagas, ids, settings or acts (R65); empty where that is not known.

        `UNWRITTEN`: nobody was first, the store took nothing for a while.
        """
        super().__init__(message)
        self.what = what


class CommitRefusedError(RefusedError):
    """What was written breaks a constraint that is checked last; nothing of it was kept."""

    code = "commit_refused"


class StoreRefusedError(RefusedError):
    """The store belongs to another process or another version."""

    code = "store_refused"


class UnavailableError(SagaError):
    """A server does not answer."""

    code = "unavailable"
    retryable = True
    exit_code = 5


class BrokerUnavailableError(UnavailableError):
    """The Kafka broker does not answer."""

    code = "broker_unavailable"


class StoreUnavailableError(UnavailableError):
    """The store does not answer."""

    code = "store_unavailable"


class StoreFullError(StoreUnavailableError):
    """The disk of the store's server is full."""

    code = "store_full"


class BrokenStoreError(SagaError):
    """The store's file is damaged or its disk is full."""

    code = "broken_store"
    exit_code = 5


def causes(error: BaseException) -> list[BaseException]:
    """What really went wrong: the errors inside error groups, however deep; `error` itself where it is no group."""
    if isinstance(error, BaseExceptionGroup):
        return [inner for member in error.exceptions for inner in causes(member)]
    return [error]


def in_words(error: BaseException) -> str:
    """An error on one line: ours by its sentence, any other with its class before it, a group by what is in it."""
    return "; ".join(" ".join(_worded(cause).split()) for cause in causes(error))


def _worded(error: BaseException) -> str:
    if isinstance(error, SagaError):
        return str(error)
    from kafka_saga.runtime.stacks import words_of  # noqa: PLC0415 -- `saga --help` does not wait for pydantic

    return f"{type(error).__name__}: {words_of(error)}".removesuffix(": ")
