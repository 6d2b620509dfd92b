"""The page of a saga, drawn for every life that there can be and for hostile data: whole, escaped, never blank."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import BaseModel

from kafka_saga.orchestrator.dashboard.pages.saga import PARTS, shown
from kafka_saga.orchestrator.dashboard.rendering import render
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.definition import Step
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.states import LogStatus
from kafka_saga.orchestrator.masking import Masks
from kafka_saga.orchestrator.operations.acts.offering import offers
from kafka_saga.orchestrator.operations.sagas.headline import headline
from kafka_saga.orchestrator.operations.sagas.history import history
from kafka_saga.orchestrator.operations.sagas.telling import Told
from kafka_saga.orchestrator.operations.sagas.timeline import timeline
from kafka_saga.orchestrator.testing import Story
from kafka_saga.orchestrator.testing import given as given_saga
from kafka_saga.schemas.orders import ChargePayment, ReleaseItems, ReserveItems
from kafka_saga.schemas.sensitive import Sensitive
from kafka_saga.schemas.topics import TopicNames
from tests.machine.histories import History, histories
from tests.machine.worlds import RESERVED, order_story

TOPICS = TopicNames()
HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b[31m\u202e" + "x" * 3_000
VOID = {"meta", "link", "input", "br", "img", "hr", "use", "circle", "rect", "path"}


def told_of(definition: Any, saga: Any, log: Any, now: int) -> Told:
    """What `tell` reads from a store, without acts."""
    return Told(
        saga=saga,
        definition=definition,
        headline=headline(definition, saga),
        history=history(definition, saga, log, TOPICS),
        line=timeline(saga, log, now),
        log=log,
        offers=offers(definition, saga, now),
        acts=[],
    )


def page_of(told: Told, now: int, *, may_act: bool = True) -> str:
    context = shown(told, TOPICS, actor="ann", true_scale=False, whole=True)
    more = {"may_act": may_act, "csrf_field": lambda: "", "now": now}
    return "\n".join(render(f"saga/{part}.html", **context, **more) for part in PARTS)


class Elements(HTMLParser):
    """The elements of a page; what is left open or closed twice is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert "style" not in given
        assert not any(name.startswith("on") for name in given)
        self.tags.add(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def declined(error: str = "the shelf is locked") -> Story:
    """A saga whose payment is declined, and whose reservation cannot be released."""
    story = order_story()
    story.expect_command("inventory", ReserveItems).succeed(RESERVED)
    story.expect_command("payment", ChargePayment).fail(error)
    story.expect_command("inventory", ReleaseItems).fail(error)
    return story


@settings(max_examples=8, deadline=None)
@given(histories())
def test_every_life_has_a_page_with_its_code_and_without(life: History) -> None:
    for definition in (life.definition, None):
        page = page_of(told_of(definition, life.saga, life.log, life.now), life.now)
        found = Elements(page)
        assert len(found.ids) == len(set(found.ids)), "an id names one part, or live changes go astray"
        assert life.saga.state.value in page
        for name in ("head", "ways", "path", "time", "acts", "talk"):
            assert name in found.ids


def test_hostile_words_are_shown_as_text_and_never_as_markup() -> None:
    story = declined(HOSTILE)
    page = page_of(told_of(story.definition, story.saga, story.log, story.now), story.now)
    assert "script" not in Elements(page).tags
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_rows_of_a_later_version_are_shown_with_their_own_words() -> None:
    story = declined()
    later = LogEntry(99, "levitate", LogStatus.ACT, 1, story.now + 5, {"event": "Levitated", "note": "<i>up</i>"})
    page = page_of(told_of(story.definition, story.saga, [*story.log, later], story.now), story.now)
    Elements(page)
    assert "Levitated" in page
    assert "&lt;i&gt;up&lt;/i&gt;" in page
    assert "what was sent is not known" in page


@pytest.mark.parametrize("may_act", [True, False])
def test_forms_are_for_those_who_may_act_and_only_for_what_is_accepted(may_act: bool) -> None:
    story = declined()
    told = told_of(story.definition, story.saga, story.log, story.now)
    page = page_of(told, story.now, may_act=may_act)
    verbs = re.findall(r'name="verb" value="(\w+)"', page)
    offered = list(dict.fromkeys(offer.verb for offer in told.offers))
    assert verbs == (offered if may_act else [])
    assert re.findall(r'name="target" value="(\w+)"', page) == (["compensated", "completed"] if may_act else [])


def test_the_sentence_says_why_it_stopped_and_what_is_left_behind() -> None:
    story = declined()
    page = page_of(told_of(story.definition, story.saga, story.log, story.now), story.now)
    assert "reserve_inventory could not be undone (the shelf is locked). Repair inventory, then retry." in page
    assert f"1 step is left behind: reserve_inventory (reservation_id {RESERVED.reservation_id})" in page


class Transfer(BaseModel):
    """A request with a secret."""

    id: str
    iban: Sensitive[str]
    cents: Sensitive[int]


class Take(BaseModel):
    id: str
    iban: str
    cents: int


class Taken(BaseModel):
    token: Sensitive[str]


class GiveBack(BaseModel):
    token: str | None = None


TRANSFER = Definition(
    "transfer",
    version=1,
    request=Transfer,
    id_from="id",
    steps=[
        Step("take", service="bank", action=Take, compensation=GiveBack, reply=Taken),
        Step("check", service="police", action=Take, nothing_to_undo=True, reply=None),
    ],
)
SECRETS = ("DE89370400440532013000", "7712345", "tok-secret-1")


def test_what_is_sensitive_is_nowhere_on_the_page_though_everything_was_replayed_with_it() -> None:
    iban, cents, token = SECRETS
    story = given_saga(TRANSFER, Transfer(id="t-1", iban=iban, cents=int(cents)))
    story.expect_command("bank", Take).succeed(Taken(token=token))
    story.expect_command("police", Take).fail(f"account {iban} is frozen")
    masks = Masks([TRANSFER])
    saga, log = masks.saga(story.saga), masks.log(story.saga, story.log)
    told = replace(told_of(TRANSFER, saga, log, story.now), history=history(TRANSFER, story.saga, story.log, TOPICS))
    assert told.history.gap is None
    page = page_of(told, story.now)
    bodies = [sent.body for turn in told.history.turns for sent in turn.sent or ()]
    assert bodies
    assert not [secret for secret in SECRETS if secret in page or secret in str(bodies)]
