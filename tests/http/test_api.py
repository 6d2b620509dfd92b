"""The API by what it does: the same rooms as the command line's, with the answers that HTTP has for them."""

from __future__ import annotations

from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.schemas.envelope import Outcome
from tests.http.shop import Shop

ONE = "/sagas/order/order-1"


async def test_sagas_are_listed_newest_first_and_read_on_page_by_page(shop: Shop) -> None:
    for number in range(1, 6):
        await shop.world.begin(f"order-{number}")

    first = (await shop.get("/sagas", limit=2)).json()
    second = (await shop.get("/sagas", limit=2, cursor=first["next"])).json()
    third = (await shop.get("/sagas", limit=2, cursor=second["next"])).json()

    assert [one["sagaId"] for one in first["items"]] == ["order-5", "order-4"]
    assert [one["sagaId"] for one in second["items"]] == ["order-3", "order-2"]
    assert [one["sagaId"] for one in third["items"]] == ["order-1"]
    assert third["next"] is None
    assert first["items"][0]["status"] == "STEP_1 IN_PROGRESS"


FILTERED: list[tuple[dict[str, object], list[str]]] = [
    ({"state": "PARKED"}, ["order-2"]),
    ({"state": ["PARKED", "COMPLETED"]}, ["order-2", "order-1"]),
    ({"state": "COMPLETED"}, ["order-1"]),
    ({"type": "order"}, ["order-3", "order-2", "order-1"]),
    ({"type": "parcel"}, []),
    ({"cause": "compensation_failed"}, ["order-2"]),
    ({"error": "NO"}, ["order-2"]),
    ({"step": "reserve_inventory"}, ["order-3", "order-2"]),
    ({"data": "customer_id=bob"}, ["order-3"]),
    ({"data": "amount=1234"}, ["order-3"]),
    ({"data": "customer_id=nobody"}, []),
    ({"id": "order-"}, ["order-3", "order-2", "order-1"]),
    ({"id": "order-2", "state": "PARKED"}, ["order-2"]),
    ({"id": "order-", "data": "customer_id=bob"}, ["order-3"]),
    ({"id": "order-2", "state": "COMPLETED"}, []),
    ({"held": "true"}, []),
    ({"newerThanMs": 60_000}, ["order-3", "order-2", "order-1"]),
    ({"olderThanMs": 60_000}, []),
]


async def test_a_list_is_filtered(shop: Shop) -> None:
    await shop.complete("order-1")
    await shop.park("order-2")
    await shop.world.begin("order-3", customer_id="bob", amount=1234)

    for query, found in FILTERED:
        listed = (await shop.get("/sagas", **query)).json()
        assert ([one["sagaId"] for one in listed["items"]], listed["complete"]) == (found, True), query


async def test_acts_on_many_take_the_filters_of_the_list(shop: Shop) -> None:
    await shop.complete("order-1")
    await shop.park("order-2")
    await shop.world.begin("order-3", customer_id="bob", amount=1234)
    every = [state for state in SagaState if state not in TERMINAL]

    for query, found in FILTERED:
        asked = {**query, "held": query.get("held") == "true", "verb": "pause"}
        state = query.get("state", every)
        frozen = await shop.post("/bulk", {**asked, "state": state if isinstance(state, list) else [state]})
        wanted = sorted(set(found) if "state" in query else set(found) - {"order-1"})
        if wanted:
            assert [one["sagaId"] for one in frozen.json()["sagas"]] == wanted, query
        else:
            assert (frozen.status_code, frozen.json()["code"]) == (422, "usage"), query


async def test_held_sagas_are_listed_and_chosen_by_that(shop: Shop) -> None:
    await shop.world.begin("order-1")
    await shop.world.begin("order-2")
    assert (await shop.post(f"{ONE}/pause")).json()["result"] == "succeeded"

    listed = (await shop.get("/sagas", held=True)).json()["items"]
    frozen = (await shop.post("/bulk", {"verb": "cancel", "held": True})).json()
    both = await shop.post("/bulk", {"verb": "cancel", "sagas": ["order-1"], "held": True})

    assert [one["sagaId"] for one in listed] == ["order-1"]
    assert [one["sagaId"] for one in frozen["sagas"]] == ["order-1"]
    assert both.status_code == 422


async def test_a_saga_tells_where_it_stands_and_what_happened(shop: Shop) -> None:
    await shop.park("order-1")

    shown = (await shop.get(ONE)).json()
    log = (await shop.get(f"{ONE}/log")).json()
    every = (await shop.get(f"{ONE}/log", all=True)).json()
    why = (await shop.get(f"{ONE}/explain", kafka=False)).json()

    assert (shown["state"], shown["parked"]["reason"]) == ("PARKED", "compensation_failed")
    assert [step["name"] for step in shown["steps"]] == ["reserve_inventory", "process_payment", "create_order"]
    assert "saga skip order-1 --step reserve_inventory" in shown["sentence"]
    assert [row["status"] for row in log] == ["SUCCESS", "FAILED"]
    assert len(every) > len(log)
    assert (why["sentence"], why["orchestratorRuns"]) == (shown["sentence"], False)


async def test_what_is_not_there_is_404_and_says_so(shop: Shop) -> None:
    for path in (
        ONE,
        f"{ONE}/log",
        f"{ONE}/explain",
        f"{ONE}/acts",
        f"{ONE}/events",
        "/acts/a",
        "/definitions/order/9",
    ):
        answer = await shop.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await shop.get("/nothing")).json()["status"] == 404
    assert (await shop.client.delete(f"/api/v1{ONE}")).status_code == 405


async def test_a_start_is_published_once_and_repeats_are_known(shop: Shop) -> None:
    accepted = await shop.post("/sagas/order", shop.order("order-1"))
    assert (accepted.status_code, accepted.json()["result"]) == (202, "accepted")
    assert accepted.headers["location"] == "/api/v1/sagas/order/order-1"
    await shop.world.turn(2)

    again = await shop.post("/sagas/order", shop.order("order-1"))
    other = await shop.post("/sagas/order", shop.order("order-1", amount=1))

    assert (again.status_code, again.json()["result"], again.json()["state"]) == (200, "exists", "RUNNING")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert len(shop.world.kafka.logs["order.requests"]) == 1
    [act] = (await shop.get("/acts")).json()
    assert (act["verb"], act["sagaId"], act["actor"], act["outcome"]) == ("start", "order-1", "ann@desk", "done")
    assert (await shop.get("/sagas/order/order-1/acts")).json() == [act]


async def test_a_start_that_does_not_fit_is_refused_before_anything_is_sent(shop: Shop) -> None:
    unfit = await shop.post("/sagas/order", shop.order("order-1", amount="much"))
    bad_id = await shop.post("/sagas/order", shop.order("order 1"))
    unknown = await shop.post("/sagas/parcel", {})
    no_json = await shop.client.post("/api/v1/sagas/order", content=b"{")

    assert [one.status_code for one in (unfit, bad_id, unknown, no_json)] == [422, 422, 404, 422]
    assert "amount" in unfit.json()["detail"]
    assert "order.requests" not in shop.world.kafka.logs


async def test_an_idempotency_key_is_for_one_request(shop: Shop) -> None:
    first = await shop.post("/sagas/order", shop.order("order-1"), Idempotency_Key="k-1")
    again = await shop.post("/sagas/order", shop.order("order-1"), Idempotency_Key="k-1")
    other = await shop.post("/sagas/order", shop.order("order-2"), Idempotency_Key="k-1")

    assert (first.status_code, again.status_code) == (202, 202)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_retry_has_succeeded_when_its_reply_is_in(shop: Shop) -> None:
    await shop.park("order-1")
    shop.clock.turns = [lambda: None, lambda: None, lambda: None, shop.answers("releaseItems")]

    done = await shop.post(f"{ONE}/retry", {"reason": "the shelf is free again"})

    assert (done.status_code, done.json()["result"], done.json()["state"]) == (200, "succeeded", "COMPENSATED")
    [act] = (await shop.get(f"{ONE}/acts")).json()
    assert (act["actor"], act["reason"], act["outcome"]) == ("ann@desk", "the shelf is free again", "done")
    assert (await shop.get(f"/acts/{act['actId']}")).json() == act


async def test_a_retry_that_fails_again_says_so(shop: Shop) -> None:
    await shop.park("order-1")
    shop.clock.turns = [lambda: None, lambda: None, lambda: None, shop.answers("releaseItems", Outcome.FAILURE)]

    done = await shop.post(f"{ONE}/retry", {})

    assert (done.status_code, done.json()["result"]) == (200, "failed")
    assert "failed again" in done.json()["message"]


async def test_what_is_not_waited_for_is_202_and_found_again_by_its_act(shop: Shop) -> None:
    await shop.park("order-1")

    anything = await shop.post(f"{ONE}/retry?waitMs=0", {"actId": "ärger/№ 1"})
    assert (await shop.client.get(anything.headers["location"])).json()["actId"] == "ärger/№ 1"
    sent = await shop.post(f"{ONE}/retry?waitMs=0", {"actId": "mine"})
    again = await shop.post(f"{ONE}/retry?waitMs=0", {"actId": "mine"})
    other = await shop.post(f"{ONE}/cancel?waitMs=0", {"actId": "mine"})

    assert (sent.status_code, again.status_code, sent.headers["location"]) == (202, 202, "/api/v1/acts/mine")
    assert (other.status_code, other.json()["code"]) == (409, "refused")
    assert len((await shop.get("/acts", waiting=True)).json()) == 2


async def test_an_act_that_is_refused_is_409_with_what_the_saga_said(shop: Shop) -> None:
    await shop.complete("order-1")

    refused = await shop.post(f"{ONE}/cancel", {})

    assert (refused.status_code, refused.json()["code"]) == (409, "refused")
    assert refused.json()["act"]["result"] == "refused"


async def test_an_act_for_another_state_than_the_saga_is_in_is_refused(shop: Shop) -> None:
    await shop.park("order-1")
    refused = await shop.post(f"{ONE}/retry", {"ifState": "RUNNING"})
    assert (refused.status_code, "look again" in refused.json()["detail"]) == (409, True)


async def test_skip_and_resolve_need_what_the_command_line_needs(shop: Shop) -> None:
    await shop.park("order-1")

    no_step = await shop.post(f"{ONE}/skip", {})
    no_reason = await shop.post(f"{ONE}/resolve", {"as": "compensated"})
    unknown = await shop.post(f"{ONE}/retry", {"reson": "typo"})
    skipped = await shop.post(f"{ONE}/skip", {"step": "reserve_inventory"})

    assert [one.status_code for one in (no_step, no_reason, unknown, skipped)] == [422, 422, 422, 200]
    assert unknown.json()["errors"][0]["at"] == "body.reson"
    assert skipped.json()["state"] == "COMPENSATED"


async def test_a_saga_a_service_and_a_type_are_paused_and_resumed(shop: Shop) -> None:
    await shop.world.begin("order-1")

    assert (await shop.post(f"{ONE}/pause", {"reason": "look"})).json()["result"] == "succeeded"
    assert (await shop.get("/sagas", held=True)).json()["items"][0]["held"]["reason"] == "look"
    assert (await shop.post(f"{ONE}/resume")).json()["result"] == "succeeded"
    assert (await shop.post("/pauses", {"service": "payment", "reason": "maintenance"})).json()["result"] == "succeeded"
    assert (await shop.post("/pauses", {"type": "order", "running": True})).json()["result"] == "succeeded"
    assert [row["scope"] for row in (await shop.get("/pauses")).json()][:2] == ["service:payment", "type:order"]
    assert (await shop.post("/pauses/resume", {"service": "payment"})).json()["result"] == "succeeded"
    assert (await shop.post("/pauses", {})).status_code == 422
    assert (await shop.post("/pauses", {"service": "payment", "type": "order"})).status_code == 422


async def test_timers_are_listed_the_soonest_first(shop: Shop) -> None:
    for number in (1, 2, 3):
        await shop.world.begin(f"order-{number}")
        shop.world.clock.advance(100)

    first = (await shop.get("/timers", limit=2)).json()
    rest = (await shop.get("/timers", limit=2, cursor=first["next"])).json()

    assert [one["sagaId"] for one in first["items"] + rest["items"]] == ["order-1", "order-2", "order-3"]
    assert {one["kind"] for one in first["items"]} == {"deadline"}
    assert first["items"][0]["step"] == "reserve_inventory"
    assert (await shop.get("/timers", cursor="nonsense")).status_code == 422


async def test_definitions_tell_their_request_their_steps_and_their_graph(shop: Shop) -> None:
    [definition] = (await shop.get("/definitions")).json()

    assert definition == (await shop.get("/definitions/order/1")).json()
    assert definition["request"]["required"][:2] == ["order_id", "customer_id"]
    assert [step["compensation"] for step in definition["steps"]] == ["releaseItems", "refundPayment", "cancelOrder"]
    forward = [(edge["from"], edge["to"]) for edge in definition["graph"]["edges"] if edge["kind"] == "forward"]
    assert forward[0] == ("start", "reserve_inventory")
    assert forward[-1] == ("create_order", "end")


async def test_finished_sagas_are_purged_by_the_orchestrator(shop: Shop) -> None:
    await shop.complete("order-1")
    shop.world.clock.advance(10_000)

    dry = await shop.post("/purges", {"olderThanMs": 1_000, "dryRun": True})
    asked = await shop.post("/purges", {"olderThanMs": 1_000, "reason": "ticket 4711"})
    for _ in range(5):
        await shop.world.pass_time(1_000)
    done = (await shop.get(asked.headers["location"].removeprefix("/api/v1"))).json()

    assert (dry.status_code, dry.json()["purgeable"]) == (200, 1)
    assert (asked.status_code, done["purged"], done["done"]) == (202, 1, True)
    assert (await shop.get(ONE)).json()["purged"] is True
    [act] = (await shop.get("/acts")).json()
    assert (act["verb"], act["actor"], act["reason"], act["sagaId"]) == ("purge", "ann@desk", "ticket 4711", "")
    assert act["message"].startswith("1 saga purged: ")


async def test_figures_count_sagas_by_state(shop: Shop) -> None:
    await shop.complete("order-1")
    await shop.park("order-2")
    figures = (await shop.get("/figures")).json()
    assert (figures["counts"]["COMPLETED"], figures["counts"]["PARKED"], figures["finished"]) == (1, 1, 1)


async def test_kafka_being_away_is_503_and_says_when_to_come_back(shop: Shop) -> None:
    shop.world.kafka.away = True
    answer = await shop.post("/sagas/order", shop.order("order-1"))
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
        503,
        "broker_unavailable",
        "1",
    )


async def test_a_verb_for_many_is_done_to_exactly_the_frozen_list(shop: Shop) -> None:
    for number in (1, 2, 3):
        await shop.park(f"order-{number}")

    frozen = (await shop.post("/bulk", {"verb": "resolve", "cause": "compensation_failed", "limit": 2})).json()
    assert [one["sagaId"] for one in frozen["sagas"]] == ["order-1", "order-2"]
    assert (await shop.get("/acts")).json() == []
    here = f"/bulk/{frozen['bulkId']}"
    assert (await shop.post(f"{here}/send", {"as": "compensated"})).status_code == 422

    sent = await shop.post(f"{here}/send", {"as": "compensated", "reason": "refunded"})
    assert sent.status_code == 202
    job = shop.desk.jobs.get(frozen["bulkId"])
    assert job is not None
    assert job.task is not None
    await job.task

    done = (await shop.get(here)).json()
    assert (done["running"], done["total"], done["succeeded"], done["notDone"]) == (False, 2, 2, [])
    assert [one["sagaId"] for one in (await shop.get("/sagas", state="PARKED")).json()["items"]] == ["order-3"]
    shop.desk.jobs._jobs.clear()  # a server that was started again knows what is on record
    assert (await shop.get(here)).json()["succeeded"] == 2
    assert (await shop.get("/bulk/abc")).status_code == 404
    assert (await shop.post("/bulk", {"verb": "retry", "sagas": ["order-3"], "state": ["PARKED"]})).status_code == 422
    assert (await shop.post("/bulk", {"verb": "retry", "sagas": ["order-3"], "data": "order_id=x"})).status_code == 422
    await shop.park("order-4")
    chosen = (await shop.post("/bulk", {"verb": "resolve", "data": "order_id=order-4"})).json()
    assert [one["sagaId"] for one in chosen["sagas"]] == ["order-4"]


async def test_a_path_and_a_method_that_are_not_served_say_what_is(shop: Shop) -> None:
    nowhere, deleted = await shop.get("/nope"), await shop.client.delete("/api/v1/sagas")

    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert "/api/v1/openapi.json lists what is" in nowhere.json()["detail"]
    assert (deleted.status_code, deleted.json()["code"]) == (405, "method_not_allowed")
    assert deleted.json()["detail"] == "this path does not take that method, but GET"


async def test_a_body_that_is_no_json_says_where(shop: Shop) -> None:
    headers = {"content-type": "application/json"}
    answered = await shop.client.post("/api/v1/bulk", content=b'{"verb": retry}', headers=headers)

    assert (answered.status_code, answered.json()["code"]) == (422, "invalid")
    assert answered.json()["detail"] == "body: it is not JSON: Expecting value at character 9"
