from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kafka_saga.orchestrator.store.port import Store
from tests.contracts.stores import InSqlite, Subject, open_subject


@pytest.fixture(params=["memory", "sqlite threaded", "sqlite inline"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each store under contract, empty."""
    subject = await open_subject(request.param, tmp_path)
    yield subject
    await subject.store.close()


@pytest.fixture
def store(subject: Subject) -> Store:
    return subject.store


@pytest.fixture(params=["sqlite threaded", "sqlite inline"])
async def durable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[InSqlite]:
    """Each store that outlives its process."""
    subject = await open_subject(request.param, tmp_path)
    assert isinstance(subject, InSqlite)
    yield subject
    await subject.store.close()
