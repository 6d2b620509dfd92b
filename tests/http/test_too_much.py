"""Too much, too often, too many at once: each has a bound, and nobody else feels it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.http.security import bodies, rates
from kafka_saga.orchestrator.http.security.gate import Gate
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.limits import (
    HTTP_BODY_BYTES_MAX,
    HTTP_STREAMS_MAX,
    HTTP_STREAMS_OF_ONE_MAX,
)
from tests.engine.world import StillClock
from tests.http.asking import HOST, Answer, ask
from tests.http.guarded import (
    AS_OPERATOR,
    AS_READER,
    FORM,
    GUARDED,
    OPERATOR,
    PROXY,
    application,
    guard_for,
)

# --- too much, too often, too slow -------------------------------------------------------------------------

TOO_MUCH = [b"x" * 65_536] * (HTTP_BODY_BYTES_MAX // 65_536 + 1)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ([("content-length", str(HTTP_BODY_BYTES_MAX + 1))], [b""], 413),
        ([("content-length", "9" * 400)], [b""], 413),
        ([("content-length", "-1")], [b""], 413),
        ([("content-length", "5")], TOO_MUCH, 413),
        ([("transfer-encoding", "chunked")], TOO_MUCH, 413),
        ([], [b"x" * 1000] * 10, 404),
    ],
)
async def test_a_body_is_read_so_far_whatever_it_says_of_itself(
    desk: Desk, headers: list[tuple[str, str]], body: list[bytes], status: int
) -> None:
    gate, _app = application(desk, guard_for(GUARDED))

    assert (await ask(gate, "POST", "/nowhere", [*AS_OPERATOR, *headers], body=body)).status == status


async def test_of_strangers_no_body_is_read_but_a_small_one_at_the_login(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(GUARDED))

    assert (await ask(gate, "POST", "/nowhere", body=TOO_MUCH)).status == 401
    assert (await ask(gate, "POST", "/login", FORM, body=[b"token=" + b"x" * 10_000])).status == 413


async def test_a_body_that_does_not_come_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "HTTP_BODY_TIMEOUT_MS", 20)
    gate, _app = application(desk, guard_for(GUARDED))
    never = asyncio.Event()
    sent: list[Any] = []

    async def receive() -> Any:
        await never.wait()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", HOST.encode()), (b"authorization", f"Bearer {OPERATOR}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": headers, "client": None}
    await gate(scope, receive, send)

    assert sent[0]["status"] == 408


@pytest.mark.parametrize("headers", [[("x-a", "a")] * 65, [("x-a", "a" * 17_000)]])
async def test_heads_are_bounded(desk: Desk, headers: list[tuple[str, str]]) -> None:
    gate, _app = application(desk, guard_for(GUARDED))

    assert (await ask(gate, "GET", "/livez", headers)).status == 431


async def test_a_request_that_says_its_length_in_two_ways_is_refused_and_the_connection_ends(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(GUARDED))
    headers = [*AS_OPERATOR, ("content-length", "4"), ("transfer-encoding", "chunked")]
    answer = await ask(gate, "POST", "/api/v1/bulk", headers, body=[b"0\r\n\r"])
    assert (answer.status, answer.code, answer.header("connection")) == (400, "ambiguous", "close")


@pytest.mark.parametrize("length", ["\xb2", "-1", "1e3", "9" * 400])
async def test_a_length_that_is_no_number_is_too_large(desk: Desk, length: str) -> None:
    gate, _app = application(desk, guard_for(GUARDED))
    answer = await ask(gate, "POST", "/api/v1/bulk", [*AS_OPERATOR, ("content-length", length)])
    assert answer.status == 413


async def test_who_asks_too_often_waits_and_others_do_not(desk: Desk) -> None:
    clock = StillClock()
    settings = GUARDED.model_copy(update={"requests_per_second": 2})
    gate, _app = application(desk, guard_for(settings, clock=clock))

    mine = [(await ask(gate, "GET", "/login", AS_OPERATOR)).status for _ in range(6)]
    others = await ask(gate, "GET", "/login", AS_READER)

    assert mine == [303] * 4 + [429] * 2
    assert others.status == 303
    clock.advance(500)
    assert [(await ask(gate, "GET", "/login", AS_OPERATOR)).status for _ in range(2)] == [303, 429]


def test_what_is_counted_for_whom_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "HTTP_BUCKETS_MAX", 10)
    guard = guard_for(GUARDED, clock=StillClock())

    for number in range(20):
        guard.rates.take(f"nothing:{number}")

    assert len(guard.rates) == 10


async def test_streams_are_bounded_for_each_and_for_all_and_counted_down_again() -> None:
    guard = guard_for(GUARDED)
    ends = asyncio.Event()
    ended: list[str] = []

    async def streaming(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        listening, stopping = asyncio.ensure_future(receive()), asyncio.ensure_future(ends.wait())
        await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        ended.append("gone" if listening.done() else "over")
        listening.cancel()
        stopping.cancel()

    gate = Gate(streaming, guard)

    def opened(name: str) -> list[asyncio.Task[Answer]]:
        headers = [("x-forwarded-user", name), ("x-forwarded-groups", "dev")]
        asked = (ask(gate, "GET", "/live", headers, peer=PROXY) for _ in range(HTTP_STREAMS_OF_ONE_MAX + 3))
        return [asyncio.create_task(one) for one in asked]

    first = opened("eve")
    await settled()
    assert [(await one).status for one in first if one.done()] == [429] * 3
    assert guard.streams == {"proxy:eve": HTTP_STREAMS_OF_ONE_MAX}
    others = [opened(name) for name in ("bob", "cid", "dan", "fay")]
    await settled()
    assert sum(guard.streams.values()) == HTTP_STREAMS_MAX
    assert set(ended) == {"gone"}, "who is refused a stream does not go on with it"

    ends.set()
    statuses = [(await task).status for tasks in (first, *others) for task in tasks]
    assert statuses.count(200) == HTTP_STREAMS_MAX
    assert guard.streams == {}


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(200):
        await SystemClock().sleep(0)
