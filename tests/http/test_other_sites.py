"""What other sites' pages and attackers' payloads try with a browser that is logged in here."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.http.security.guard import CSRF_FIELD
from kafka_saga.orchestrator.http.security.login import local_path
from tests.http.asking import Answer, ask
from tests.http.guarded import (
    AS_OPERATOR,
    FORM,
    FROM_OURS,
    GUARDED,
    OPEN,
    OPERATOR,
    application,
    guard_for,
    login,
)


@contextmanager
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Every line of the log."""
    with structlog.testing.capture_logs() as lines:
        yield lines


# --- what other pages may have it do ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"])
async def test_a_form_without_our_proof_is_refused_even_where_the_browser_says_nothing(desk: Desk, kind: str) -> None:
    gate, _app = application(desk, guard_for(OPEN))

    answer = await ask(gate, "POST", "/logout", [("content-type", kind)], body=[b"a=b"])

    assert (answer.status, answer.code) == (403, "unproven")


@pytest.mark.parametrize(("headers", "told"), [((), (415, "not_json")), (FROM_OURS, (403, "unproven"))])
async def test_a_program_that_sends_the_api_a_form_is_told_to_send_json(
    desk: Desk, headers: Sequence[tuple[str, str]], told: tuple[int, str]
) -> None:
    gate, _app = application(desk, guard_for(OPEN))

    answer = await ask(gate, "POST", "/api/v1/sagas/order", [*FORM, *headers], body=[b"x"])

    assert (answer.status, answer.code) == told


async def test_a_proof_is_for_one_session_only_and_counts_once(desk: Desk) -> None:
    guard = guard_for(GUARDED)
    gate, _app = application(desk, guard)
    mine, theirs = (await login(gate, OPERATOR)).cookie, (await login(gate, OPERATOR)).cookie
    session = guard.sessions.find(theirs.partition("=")[2])
    assert session is not None
    proof = guard.sessions.proof(session)

    for body in (f"{CSRF_FIELD}={proof}", f"{CSRF_FIELD}={proof}&{CSRF_FIELD}={proof}", f"{CSRF_FIELD}=", "a=b"):
        answer = await ask(gate, "POST", "/logout", [("cookie", mine), *FORM, *FROM_OURS], body=[body.encode()])
        assert (answer.status, answer.code) == (403, "unproven")


async def test_a_link_on_another_site_opens_a_page_and_nothing_else_of_it_gets_in(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(OPEN))
    from_there = ("sec-fetch-site", "cross-site")
    opened = (from_there, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
    framed = (from_there, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"))
    drawn = (from_there, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"))

    statuses = [(await ask(gate, "GET", "/", headers)).status for headers in (opened, framed, drawn)]
    assert statuses == [200, 403, 403]
    assert (await ask(gate, "POST", "/logout", opened)).status == 403


@pytest.mark.parametrize(
    ("goal", "path"),
    [
        ("/sagas?state=PARKED", "/sagas?state=PARKED"), ("//evil.example", "/"), ("https://evil.example", "/"),
        ("/\\evil.example", "/"), ("\\\\evil.example", "/"), ("/a\\b", "/"), ("javascript:alert(1)", "/"),
        ("", "/"), ("/a\r\nset-cookie: x=y", "/"), ("/\t/evil.example", "/"), ("/" + "a" * 5_000, "/"), ("/ä", "/"),
    ],
)  # fmt: skip
def test_after_the_login_one_stays_here(goal: str, path: str) -> None:
    assert local_path(goal) == path


async def test_who_opens_a_page_without_a_login_is_sent_there_and_back(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(GUARDED))

    sent = await ask(gate, "GET", "/?q=%22%3E%3Cscript%3E", [("accept", "text/html,*/*")])
    assert (sent.status, sent.header("location")) == (303, "/login?next=/%3Fq%3D%2522%253E%253Cscript%253E")
    asked = await ask(gate, "GET", "/login?next=/%22%3E%3Cscript%3E")
    assert b"<script" not in asked.body
    assert (await ask(gate, "GET", "/", [("accept", "application/json")])).code == "unauthenticated"


async def test_every_answer_tells_the_browser_to_run_nothing_that_stands_in_it(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(GUARDED))
    paths = ("/", "/login", "/livez", "/nowhere", "/static/nothing.css", "/api/v1/nowhere")
    kinds: tuple[tuple[tuple[str, str], ...], ...] = (AS_OPERATOR, (), (("origin", "null"),))

    for answer in [await ask(gate, "GET", path, headers) for path in paths for headers in kinds]:
        check_headers(answer)


def check_headers(answer: Answer) -> None:
    policy = dict(part.strip().split(" ", 1) for part in (answer.header("content-security-policy") or "").split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("cross-origin-resource-policy") == answer.header("cross-origin-opener-policy") == "same-origin"
    assert answer.header("referrer-policy") == "same-origin"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("access-control-allow-origin") is None


async def test_files_are_served_from_a_list_and_by_no_path(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(GUARDED))

    for path in ("../application.py", "..%2f..%2fconfig.py", "/etc/passwd", "%2e%2e/x", "", "js/../../application.py"):
        assert (await ask(gate, "GET", f"/static/{path}")).status == 404


# --- what is written down ----------------------------------------------------------------------------------


async def test_the_log_says_who_did_what_and_nothing_of_its_content(desk: Desk) -> None:
    guard = guard_for(GUARDED)
    gate, _app = application(desk, guard)
    secret = "4111111111111111"

    with logged() as lines:
        entered = await login(gate, OPERATOR)
        await login(gate, "wrong-token-0123456789")
        await ask(gate, "POST", f"/nowhere?card={secret}", AS_OPERATOR, body=[secret.encode()])
        await ask(gate, "POST", "/nowhere", (("authorization", f"Bearer {secret}"),), body=[secret.encode()])

    text = str(lines)
    for hidden in (secret, OPERATOR, "wrong-token", entered.cookie.partition("=")[2], "authorization"):
        assert hidden not in text
    assert {(line["event"], line.get("actor")) for line in lines} >= {
        ("http.login", "operator@192.0.2.9"),
        ("http.refused", "operator-token@127.0.0.1"),
        ("http.login_failed", None),
    }
