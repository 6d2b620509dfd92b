"""The page of workers: which services show, and what turns its headline."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from kafka_saga.messaging.inspection import Member
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.dashboard.services import ailing, services_seen, standing_still
from kafka_saga.orchestrator.http.lag_gauge import LagReading
from kafka_saga.orchestrator.operations.kafka.lag import Groups, PartitionLag
from kafka_saga.orchestrator.store.owners import BeatingReplicas, FileOwner
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.probe import Seen
from kafka_saga.schemas.topics import TopicNames
from tests.operations.conftest import Desk

Note = Callable[..., None]


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Note:
    """Writes what a process says of itself into the dashboard's data directory."""
    monkeypatch.chdir(tmp_path)  # a desk without a site has the working directory as its data directory

    def write(process: str, *, age_ms: int = 0, trouble: str = "") -> None:
        findings = {"store": {"ok": not trouble, "seen": trouble}}
        beat = {"beat_at_ms": SystemClock().monotonic_ms() - age_ms, "findings": findings}
        Path(f"{process}.health").write_text(json.dumps({"process": process, "admin": None, **beat}), "utf-8")

    return write


async def test_a_service_whose_note_stands_still_turns_the_headline(
    desk: Desk, pages: httpx.AsyncClient, note: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def somebody(_owners: object, _clock: object) -> str:
        return "process 1"

    for owners in (FileOwner, BeatingReplicas):
        monkeypatch.setattr(owners, "now", somebody)
    note("payment")
    calm = (await pages.get("/workers")).text
    assert "payment has said nothing" not in calm
    assert calm.count("does not show") == 2, "inventory and shipping leave no notes here"
    note("payment", age_ms=14_000)
    note("inventory", trouble="no answer within 1000 ms")
    text = (await pages.get("/workers")).text
    assert "<h1>payment has said nothing for 14." in text
    overview = (await pages.get("/")).text
    assert "<h1>payment has said nothing for 14." in overview
    assert "All is done" not in overview
    assert "inventory: not ready: store: no answer within 1000 ms" in text
    await desk.park("order-1")
    overview = (await pages.get("/")).text
    assert "<h1>1 saga needs a person" in overview, "that comes first, and the other is said"
    assert re.search(r'<b>payment has said nothing for 14.+?</b> See <a class="ul" href="/workers">', overview)
    note("payment")
    assert "<h1>inventory: not ready" in (await pages.get("/workers")).text
    note("inventory")
    assert "<b>" not in (await pages.get("/")).text.partition('id="figures"')[0].partition('id="say"')[2]


def reading(*, position: int, since: int | None = None, members: tuple[Member, ...] = ()) -> LagReading:
    lag = PartitionLag("payment", TopicPartition("payment.commands", 0), position, 0, 12)
    still = {} if since is None else {("payment.commands", "payment"): since}
    return LagReading(50_000, Groups([lag], {"payment": members}), still=still)


@pytest.mark.parametrize(("since", "says"), [(50_000, False), (40_001, False), (40_000, True), (1, True)])
def test_commands_that_nobody_reads_are_told_after_a_while(since: int, says: bool) -> None:
    found = reading(position=5, since=since)
    [payment] = services_seen(["payment"], TopicNames(), [], found, 50_000)
    assert (payment.waiting, payment.still is not None) == (7, says)
    still = standing_still(found, 50_000)
    assert [one.group for one in still] == ["payment"] * says
    sentence = ailing([payment], still, 50_000)
    assert (sentence or "").startswith("payment has read nothing of payment.commands for" if says else "")
    assert (sentence is None) is not says


def test_a_service_has_the_notes_and_the_members_that_are_its_own() -> None:
    notes = [Seen(name, 5, {}, None) for name in ("payment", "orchestrator", "payment")]
    member = Member("payment-1", "10.0.0.7", frozenset())
    found = reading(position=12, members=(member,))
    payment, shipping = services_seen(["payment", "shipping"], TopicNames(), notes, found, 50_000)
    assert (len(payment.notes), payment.members, payment.silent, payment.waiting) == (2, (member,), None, 0)
    assert (shipping.notes, shipping.members, shipping.waiting) == ((), (), None)
