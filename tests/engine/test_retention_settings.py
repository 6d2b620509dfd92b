"""For how long what has ended is kept: what the settings say, and what the topics demand (R29)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import TopicDescription
from kafka_saga.orchestrator import app
from kafka_saga.orchestrator.config import DAY_MS, Settings
from kafka_saga.orchestrator.engine.upkeep import Retention
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga


@pytest.mark.parametrize(
    ("sagas_days", "ids_days", "topic_ms", "expected"),
    [
        (30, 30, 7 * DAY_MS, Retention(30 * DAY_MS, 30 * DAY_MS)),
        (30, 30, 90 * DAY_MS, Retention(30 * DAY_MS, 90 * DAY_MS)),
        (30, 30, -1, Retention(30 * DAY_MS, None)),
        (30, 30, None, Retention(30 * DAY_MS, 30 * DAY_MS)),
        (0, 0, 7 * DAY_MS, Retention(None, None)),
        (1, 0, -1, Retention(DAY_MS, None)),
    ],
)
async def test_identities_are_kept_as_long_as_a_request_may_come_again_R29(
    monkeypatch: pytest.MonkeyPatch, sagas_days: int, ids_days: int, topic_ms: int | None, expected: Retention
) -> None:
    """-1 is a topic that keeps everything; None is a broker that cannot be asked."""

    async def described(_kafka: KafkaSettings, names: Sequence[str]) -> list[TopicDescription]:
        assert list(names) == ["order.requests"]
        config = None if topic_ms is None else {"retention.ms": str(topic_ms)}
        return [TopicDescription(name, 4, config) for name in names]

    monkeypatch.setattr(app, "describe", described)
    settings = Settings(retention_days=sagas_days, purged_retention_days=ids_days)
    assert await app.retention_of(settings, Registry([order_saga])) == expected
