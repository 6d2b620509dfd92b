"""A query parameter that a route does not have is refused by every route of the API, and named with those it has."""

from __future__ import annotations

import re

from fastapi.routing import APIRoute

from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.http.security.roles import served
from tests.http.asking import ask
from tests.http.guarded import GUARDED, application, guard_for
from tests.http.shop import Shop

_IN_PATH = {"sagaType": "order", "partition": "0", "offset": "0", "version": "1", "topic": "dlq.order.requests"}


def _places(shop: Shop) -> list[tuple[str, str]]:
    app = shop.app
    found = []
    for path, route in served(app.routes):
        if path.startswith("/api/v1/") and isinstance(route, APIRoute):
            filled = re.sub(r"\{(\w+)(:path)?\}", lambda match: _IN_PATH.get(match[1], "1"), path)
            found += [(method, filled) for method in route.methods]
    return found


async def test_every_route_names_the_parameter_that_it_does_not_have(shop: Shop) -> None:
    places = _places(shop)
    assert {("GET", "/api/v1/events"), ("GET", "/api/v1/sagas/order/1/events")} <= set(places)
    assert len(places) > 30

    for method, path in places:
        answered = await shop.client.request(method, path, params={"sate": "PARKED"}, json={})
        problem = answered.json()

        assert answered.status_code == 422, (method, path, problem)
        assert answered.headers["content-type"] == "application/problem+json"
        assert "query.sate" in {one["at"] for one in problem["errors"]}, (method, path, problem)


async def test_the_parameters_that_there_are_stand_beside_it(shop: Shop) -> None:
    listed, streamed = await shop.get("/sagas", sate="PARKED"), await shop.get("/events", type="order")

    assert listed.json()["detail"].startswith("query.sate: there is no such parameter; there are state, type, step,")
    assert streamed.json()["detail"] == "query.type: there is no such parameter; there are none here"


async def test_a_second_value_is_refused_where_one_would_be_ignored(shop: Shop) -> None:
    several, single = await shop.get("/sagas", state=["PARKED", "RUNNING"]), await shop.get("/sagas", type=["a", "b"])

    assert several.status_code == 200
    assert (single.status_code, single.json()["detail"]) == (422, "query.type: it is given twice, and takes one value")


async def test_who_may_not_ask_is_told_that_and_no_parameters(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(GUARDED))

    answered = await ask(gate, "GET", "/api/v1/sagas?sate=PARKED", peer="192.0.2.9")

    assert (answered.status, answered.code) == (401, "unauthenticated")
