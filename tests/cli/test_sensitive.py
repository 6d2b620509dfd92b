"""Sensitive fields on the command line: masked in every command, and shown to who says why, which is kept."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from html import unescape

import httpx
import pytest

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.dashboard import add_to
from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.desk import open_desk
from kafka_saga.orchestrator.http.security.local import LocalSecurity
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store import looking
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.testing import Story, given
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.schemas.sensitive import MASK
from kafka_saga.schemas.topics import TopicNames
from tests.cli.card_shop import Charge, Charged, Refund, Ship, card_shop
from tests.cli.conftest import FillStore, Run, Saga

CARD, TOKEN = "4111111111111111", "tok-83f1"
APP = {"SAGA_APP": "tests.cli.card_shop"}


@pytest.fixture
def shop(saga: Saga, fill_store: FillStore) -> Saga:
    """A saga that was paid, and whose parcel the post refused with the card's number in its words."""
    story = given(card_shop, {"order_id": "order-1", "card": CARD, "amount": 2500})
    story.expect_command("bank", Charge).succeed(Charged(charge_id="c-1", token=TOKEN))
    story.expect_command("post", Ship).fail(f"no parcel for card {CARD}")
    fill_store(story)
    return partial(saga, **APP)


@pytest.mark.parametrize("command", ["show order-1", "log order-1 --all", "list"])
@pytest.mark.parametrize("output", ["table", "json"])
def test_no_command_shows_what_is_sensitive(shop: Saga, command: str, output: str) -> None:
    run = shop(*command.split(), "-o", output)

    assert run.exit_code == 0, run.err
    assert MASK in run.out
    assert CARD not in run.out
    assert TOKEN not in run.out


def test_nobody_finds_it_out_by_looking_for_it(shop: Saga) -> None:
    assert [row["sagaId"] for row in shop("list", "--error", "no parcel", "-o", "json").json] == ["order-1"]
    assert shop("list", "--error", "4111", "-o", "json").json == []


def test_what_is_not_sensitive_is_shown_beside_it(shop: Saga) -> None:
    shown = shop("show", "order-1", "-o", "json").json

    assert shown["data"]["request"] == {"order_id": "order-1", "card": MASK, "amount": 2500}
    assert shown["data"]["replies"]["pay"] == {"charge_id": "c-1", "token": MASK}
    assert shown["error"] == f"no parcel for card {MASK}"


def test_without_the_definitions_nobody_knows_what_is_sensitive(shop: Saga) -> None:
    shown = shop("show", "order-1", "-o", "json", SAGA_APP="kafka_saga.orchestrator.sagas.order").json

    assert shown["data"]["request"] == {"order_id": MASK, "card": MASK, "amount": MASK}


def test_failures_are_told_without_it_and_their_links_find_their_sagas(fill_store: FillStore) -> None:
    """Each saga's error quotes another card: they are one line, whose link asks for what is shown."""
    at = fill_store(*(undone(f"order-{number}", f"411111111111111{number}") for number in (1, 2)))
    page, listed = asyncio.run(looked_at(at, "/failures"))

    assert "411111111111111" not in page + listed
    assert f"no parcel for card {MASK}" in page
    assert "order-1" in listed
    assert "order-2" in listed


def test_a_thousand_errors_that_differ_in_what_is_hidden_are_one_line_and_one_question(
    fill_store: FillStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "FAILURE_LINES_MAX", 1)
    at = fill_store(*(undone(f"order-{number}", f"411111111111111{number}") for number in range(9)))
    page, _listed = asyncio.run(looked_at(at, "/failures"))

    assert re.findall(r'data-l="Undone"><a[^>]*>(\d+)</a>', page) == ["9"]
    assert "failed in other words" not in page


def test_what_a_step_that_is_tried_again_failed_with_is_masked_on_the_overview_too(fill_store: FillStore) -> None:
    story = given(card_shop, {"order_id": "order-1", "card": CARD, "amount": 2500})
    story.expect_command("bank", Charge).retry(f"no answer for card {CARD}")
    page, listed = asyncio.run(looked_at(fill_store(story, undone("order-2", CARD)), "/failures"))
    overview, _ = asyncio.run(looked_at(fill_store(), "/", "/failures"))

    assert CARD not in page + listed + overview
    assert f"no answer for card {MASK}" in overview


def undone(order_id: str, card: str) -> Story:
    story = given(card_shop, {"order_id": order_id, "card": card, "amount": 2500})
    story.expect_command("bank", Charge).succeed(Charged(charge_id="c-1", token=TOKEN))
    story.expect_command("post", Ship).fail(f"no parcel for card {card}")
    story.expect_command("bank", Refund).succeed()
    return story


async def looked_at(at: StoreLocation, path: str, links: str = "") -> tuple[str, str]:
    """A page of the dashboard, and the list that its first link with an error in it opens; or one of `links`'."""
    async with open_desk(
        store_at=at,
        registry=Registry([card_shop]),
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        topics=TopicNames(),
        group="orchestrator",
        clock=SystemClock(),
        new_id=new_id,
        may_write=False,
    ) as desk:
        app = create_app(desk, security=LocalSecurity("ann@desk"), pages=add_to)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            page = (await client.get(path, headers={"accept": "text/html"})).text
            listing = (await client.get(links, headers={"accept": "text/html"})).text if links else page
            [link, *_] = re.findall(r'href="(/sagas[?][^"]*error=[^"]*)"', listing)
            return page, (await client.get(unescape(link), headers={"accept": "text/html"})).text


@pytest.mark.parametrize(("command", "what"), [("show", "record"), ("log", "log")])
def test_who_says_why_is_shown_it_and_that_is_kept(shop: Saga, command: str, what: str) -> None:
    shown = shop(command, "order-1", "--reveal", "which card was it?", "-o", "json")

    assert CARD in shown.out
    [act] = shop("acts", "order-1", "-o", "json").json
    assert (act["verb"], act["arguments"], act["reason"]) == ("reveal", {"what": what}, "which card was it?")
    assert (act["outcome"], act["message"]) == ("done", f"{what} was shown whole")
    assert act["actor"].partition("@")[2]
    assert MASK in shop("show", "order-1").out, "it is asked for each time"


def test_a_reveal_without_a_reason_shows_nothing(shop: Saga) -> None:
    run: Run = shop("show", "order-1", "--reveal", " ")

    assert (run.exit_code, run.out) == (2, "")
    assert "the reason must have 1 to 500 characters" in run.err
