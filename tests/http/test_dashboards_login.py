"""The dashboard behind the login: what its pages carry, and how one leaves."""

from __future__ import annotations

import re

from kafka_saga.orchestrator.http.desk import Desk
from tests.http.asking import ask
from tests.http.guarded import FORM, FROM_OURS, GUARDED, OPEN, OPERATOR, READER, application, guard_for, login

PROOF = re.compile(rb'name="csrf_token" value="([0-9a-f]{64})"')


async def test_who_logged_in_can_log_out_on_every_page_and_the_page_proves_itself(desk: Desk) -> None:
    guard = guard_for(GUARDED)
    gate, _app = application(desk, guard)
    cookie = ("cookie", (await login(gate, READER)).cookie)

    page = await ask(gate, "GET", "/", [cookie])
    found = PROOF.search(page.body)
    assert b'action="/logout"' in page.body
    assert found is not None
    left = await ask(gate, "POST", "/logout", [cookie, *FORM, *FROM_OURS], body=[b"csrf_token=" + found[1]])

    assert left.status == 303
    assert (await ask(gate, "GET", "/", [cookie])).status == 401


async def test_where_nobody_logged_in_there_is_nothing_to_log_out_of(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(OPEN))
    with_token, _ = application(desk, guard_for(GUARDED))

    assert b'action="/logout"' not in (await ask(gate, "GET", "/")).body
    page = await ask(with_token, "GET", "/", [("authorization", f"Bearer {OPERATOR}")])
    assert b'action="/logout"' not in page.body
