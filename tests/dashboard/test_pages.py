"""What the pages say of a store, and that no state of a saga is one that they cannot show."""

from __future__ import annotations

import httpx
import pytest
from structlog.testing import capture_logs

from kafka_saga.orchestrator.dashboard import visit
from kafka_saga.orchestrator.dashboard.charts import sparkline
from kafka_saga.orchestrator.machine.states import VERBS, EventKind
from kafka_saga.orchestrator.operations.sagas.trend import TREND_MS, Curve
from kafka_saga.orchestrator.store.act_rows import NOTED, START
from kafka_saga.orchestrator.store.port import NO_SAGA, NotedAct, QueuedAct
from kafka_saga.schemas.ids import SagaRef
from tests.operations.conftest import Desk

PATHS = (
    "/",
    "/sagas",
    "/sagas?state=parked",
    "/failures",
    "/timers",
    "/definitions",
    "/audit",
    "/start",
    "/start/order",
)
ORDER = SagaRef("order", "order-1")
FOUND_BY = ("", "?q=order-", "?q=SHELF", "?q=customer_id=c-1", "?step=reserve_inventory", "?age=over-1m&type=order")


async def test_every_page_shows_an_empty_store_and_a_parked_saga(desk: Desk, pages: httpx.AsyncClient) -> None:
    for path in PATHS:
        answer = await pages.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text[-1500:]}"
    await desk.park()
    await desk.by_hand(
        f"""UPDATE {desk.schema}sagas SET parked = replace(parked, '"detail":"', '"detail":"the shelf, ')"""
    )
    for query in FOUND_BY:
        answer = await pages.get(f"/sagas{query}")
        assert "order-1" in answer.text, query
        assert "the shelf, " in answer.text, query
    assert "order-1" not in (await pages.get("/sagas?q=customer_id=c-2")).text


async def test_the_overview_does_not_wait_for_kafka(pages: httpx.AsyncClient) -> None:
    assert '<dd class="sub">Kafka is being asked</dd>' in (await pages.get("/")).text


async def test_where_kafka_does_not_answer_the_pages_say_so(pages: httpx.AsyncClient) -> None:
    workers = (await pages.get("/workers")).text  # it is about lag, and waits for the first answer
    assert "Kafka does not answer." in workers
    page = (await pages.get("/")).text
    assert '<dd class="sub">Kafka does not answer</dd>' in page
    assert 'aria-label="Ended each second in the last 15 minutes: not known yet"' in page


async def test_a_curve_is_drawn_of_what_was_noted_and_says_it_in_words() -> None:
    drawn = sparkline(Curve([(TREND_MS // 2, 4.0), (0, 1.0)]), "Started")
    assert 'points="60.0,2.0 120.0,17.0"' in drawn
    assert 'aria-label="Started each second in the last 15 minutes: 1.0 now, 4.0 at most"' in drawn
    assert "nan" not in sparkline(Curve([(0, 0.0)]), "Ended")
    assert "style=" not in drawn


async def test_failures_are_one_line_for_the_same_words(desk: Desk, pages: httpx.AsyncClient) -> None:
    await desk.park("order-1")
    await desk.park("order-2")
    answer = await pages.get("/failures")
    assert "1 failure holds 2 sagas" in answer.text
    assert "1 reserve_inventory" in answer.text
    assert "1 saga needs" not in (await pages.get("/")).text


async def test_an_unknown_address_is_a_page_and_a_wrong_filter_says_what_there_is(pages: httpx.AsyncClient) -> None:
    assert (await pages.get("/nowhere")).status_code == 404
    wrong = await pages.get("/sagas?state=lost")
    assert wrong.status_code == 422
    assert "There is no state" in wrong.text
    assert "compensated" in wrong.text
    for answer in (await pages.get("/nowhere"), await pages.get("/sagas?state=lost")):
        assert (answer.status_code >= 400, 'href="/sagas"' in answer.text) == (True, True), "it leads on"


async def test_a_bulk_act_is_shown_before_it_is_sent_and_followed_afterwards(
    desk: Desk, pages: httpx.AsyncClient
) -> None:
    await desk.park("order-1")
    await desk.park("order-2")
    frozen = await pages.post("/bulk", data={"verb": "retry", "listed": "?state=parked", "every": "1"})
    assert frozen.status_code == 303
    where = frozen.headers["location"]
    assert "Retry 2 sagas? Nothing is sent yet." in (await pages.get(where)).text
    assert await desk.reader.acts(10) == []
    sent = await pages.post(where, data={"reason": "the shelf is open"})
    assert sent.status_code == 303
    assert "Retry of 2" in (await pages.get(where)).text


async def test_words_of_a_later_version_stand_on_every_page_as_what_they_are(
    desk: Desk, pages: httpx.AsyncClient
) -> None:
    """Replicas of two versions work on one store while they are replaced; one odd word must not blank a page."""
    await desk.park("order-1")
    await desk.park("order-2")
    await desk.by_hand(f"UPDATE {desk.schema}step_log SET status = 'TELE<b>PORTED' WHERE seq = 3")
    await desk.by_hand(
        f"UPDATE {desk.schema}sagas SET parked = replace(parked, 'compensation_failed', 'gravity') "
        "WHERE saga_id = 'order-2'"
    )
    for path in (*PATHS, "/sagas/order/order-1", "/sagas/order/order-2", "/sagas/order/order-2/raw"):
        answer = await pages.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text[-500:]}"
        assert "TELE<b>PORTED" not in answer.text or path.endswith("/raw"), path
    for path in ("", "/log?all=true", "/explain?kafka=false", "/messages", "/acts"):
        answer = await pages.get(f"/api/v1/sagas/order/order-2{path}")
        assert answer.status_code == 200 or path == "/messages", f"{path}: {answer.text[-500:]}"
    assert "TELE<b>PORTED" in (await pages.get("/api/v1/sagas/order/order-1/log?all=true")).text
    assert "gravity" in (await pages.get("/api/v1/sagas/order/order-2")).text
    assert "TELE&lt;b&gt;PORTED" in (await pages.get("/sagas/order/order-1")).text


async def test_the_audit_shows_every_kind_of_act(desk: Desk, pages: httpx.AsyncClient) -> None:
    await desk.world.begin()
    for verb in VERBS.values():
        await desk.queue.send([QueuedAct(desk.act(verb), ORDER)], 1)
    given = {"step": "reserve_inventory", "as": "COMPLETED", "data": {}}
    await desk.queue.send([QueuedAct(desk.act(EventKind.SKIP, **given), ORDER)], 1)
    for word in NOTED:
        about = ORDER if word == START else NO_SAGA
        await desk.queue.note(NotedAct(f"n-{word}", about, word, "ann", "", "it is done", {"scope": "letters"}), 2)
    await desk.queue.note(NotedAct("n-odd", NO_SAGA, "<b>newer</b>", "eve", "", "of a newer program"), 3)
    every = await pages.get("/audit")
    assert every.status_code == 200
    assert every.text.count("<tr>") == 1 + len(VERBS) + 1 + len(NOTED) + 1
    assert "&lt;b&gt;newer&lt;/b&gt;" in every.text
    for word in (*VERBS, *NOTED):
        of_one = await pages.get("/audit", params={"verb": word})
        assert (of_one.status_code, of_one.text.count("<tr>")) == (200, 3 if word == "skip" else 2), word
    saga = await pages.get("/sagas/order/order-1")
    assert saga.status_code == 200
    assert "it is done" in saga.text
    assert (await pages.get("/audit", params={"actor": "nobody"})).text.count("Nobody did anything of that kind") == 1


async def test_a_bug_is_a_page_for_a_browser_and_a_problem_for_a_program_and_logged_once(
    pages: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_reader: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(visit, "_counts", fail)
    with capture_logs() as logs:
        page = await pages.get("/audit")
        plain = await pages.get("/audit", headers={"accept": "application/json"})
    assert (page.status_code, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "This is a bug of ours" in page.text
    assert (plain.status_code, plain.json()["code"]) == (500, "internal")
    assert [(line["event"], line["exc_info"]) for line in logs] == [("http.failed", True)] * 2


async def test_nothing_is_frozen_of_what_has_ended(desk: Desk, pages: httpx.AsyncClient) -> None:
    await desk.park()
    answer = await pages.post("/bulk", data={"verb": "retry", "listed": "?state=completed", "every": "1"})
    assert answer.status_code == 422
    assert "have ended" in answer.text
    assert (await pages.post("/bulk", data={"verb": "retry"})).status_code == 422
