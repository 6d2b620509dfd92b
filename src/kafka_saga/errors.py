"""Every error that kafka-saga raises, sorted by what can be done about it; see `kafka_saga.runtime.errors`."""

from kafka_saga.runtime.errors import (
    BrokenStoreError,
    BrokerUnavailableError,
    ConfigError,
    ConflictError,
    ContractError,
    DefinitionError,
    NotFoundError,
    RefusedError,
    SagaError,
    StoreFullError,
    StoreRefusedError,
    StoreUnavailableError,
    UnavailableError,
    UsageError,
)

__all__ = [
    "BrokenStoreError",
    "BrokerUnavailableError",
    "ConfigError",
    "ConflictError",
    "ContractError",
    "DefinitionError",
    "NotFoundError",
    "RefusedError",
    "SagaError",
    "StoreFullError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "UnavailableError",
    "UsageError",
]
