"""Who reaches the server and who somebody is: tokens, logins, sessions, and what proxies say."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import Headers

from kafka_saga.orchestrator.cli.config import settings_rows
from kafka_saga.orchestrator.config import load_settings
from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.http.security import sessions as sessions_of
from kafka_saga.orchestrator.http.security.actors import Actor, Role
from kafka_saga.orchestrator.http.security.guard import CSRF_FIELD, How
from kafka_saga.orchestrator.http.security.sessions import Session, Sessions
from kafka_saga.orchestrator.http.security.settings import SecuritySettings
from kafka_saga.orchestrator.http.settings import Address
from kafka_saga.orchestrator.web import take_port
from kafka_saga.runtime.clock import new_id
from kafka_saga.runtime.errors import ConfigError
from kafka_saga.runtime.limits import (
    HTTP_FAILURES_BURST,
)
from tests.engine.world import StillClock
from tests.http.asking import ask
from tests.http.guarded import (
    FORM,
    FROM_OURS,
    GUARDED,
    OPEN,
    OPERATOR,
    PROXY,
    READER,
    application,
    guard_for,
    login,
)

# --- who reaches it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_what_others_reach_is_not_served_to_everybody(host: str) -> None:
    with pytest.raises(
        ConfigError, match=r"set SAGA_HTTP__OPERATOR_TOKEN .* or listen on 127\.0\.0\.1:7242"
    ) as refused:
        take_port(Address(host, 7242), OPEN)

    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"operator_token": "short"}, "must have 16 to 512 characters"),
        ({"operator_token": ""}, "must have 16 to 512 characters"),
        ({"operator_token": "with a blank 0123456789"}, "without blanks"),
        ({"operator_token": OPERATOR, "reader_token": OPERATOR}, "are the same"),
        ({"reader_token_file": "/nowhere/token"}, "cannot be read: No such file"),
    ],
)
def test_a_token_that_is_none_keeps_it_from_starting_and_is_not_repeated(given: dict[str, str], why: str) -> None:
    settings = SecuritySettings.model_validate(given)
    assert settings.is_guarded

    with pytest.raises(ConfigError, match=why) as refused:
        take_port(Address("127.0.0.1", 0), settings)
    assert not any(token and token in str(refused.value) for name, token in given.items() if name.endswith("token"))


def test_a_token_may_be_a_file_and_no_setting_prints_one(tmp_path: Any) -> None:
    file = tmp_path / "token"
    file.write_text(f"{READER}\n", encoding="utf-8")
    environment = {"SAGA_HTTP__OPERATOR_TOKEN": OPERATOR, "SAGA_HTTP__READER_TOKEN_FILE": str(file)}
    loaded = load_settings(flags={}, environment=environment)

    assert loaded.settings.http.tokens().role_of(READER) is Role.READER
    assert loaded.settings.http.tokens().role_of(OPERATOR) is Role.OPERATOR
    printed = f"{settings_rows(loaded)} {loaded!r} {loaded.settings.http.tokens()!r} {vars(loaded.settings.http)}"
    assert OPERATOR not in printed
    assert READER not in printed


def test_two_tokens_for_one_role_are_refused_without_printing_them() -> None:
    environment = {"SAGA_HTTP__OPERATOR_TOKEN": OPERATOR, "SAGA_HTTP__OPERATOR_TOKEN_FILE": "x"}

    with pytest.raises(ConfigError, match="both given; leave one out") as refused:
        load_settings(flags={}, environment=environment)
    assert OPERATOR not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "beyond", "ours"),
    [
        ("localhost:7242", False, True), ("LOCALHOST", False, True), ("127.0.0.1", False, True),
        ("127.9.9.9:1", False, True), ("[::1]:7242", False, True), ("saga.example.com", False, True),
        ("evil.example", False, False), ("192.0.2.1:7242", False, False), ("192.0.2.1:7242", True, True),
        ("saga-1:7242", True, True), ("saga-1:7242", False, False), ("localhost.evil.example", False, False),
        ("127.0.0.1.evil.example", True, False), ("2130706433", True, False), ("0x7f.1", True, False),
        ("localhost:7242@evil.example", False, False), ("localhost/..", False, False), ("", False, False),
        ("localhost:99999999", False, False), ("evil.example\tlocalhost", False, False), ("[::1", False, False),
    ],
)  # fmt: skip
def test_only_names_of_ours_are_answered_to(host: str, beyond: bool, ours: bool) -> None:
    settings = SecuritySettings(allowed_hosts=("Saga.Example.com",))

    assert guard_for(settings, loopback=not beyond).hosts.lets(host) is ours


# --- who somebody is ---------------------------------------------------------------------------------


async def test_what_is_not_exactly_a_token_is_nobody(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(GUARDED))
    shown = [
        ["Bearer wrong-0123456789abcdef"], ["Bearer"], ["Bearer "], [OPERATOR], [f"Basic {OPERATOR}"],
        [f"Bearer {OPERATOR}x"], [f"Bearer {OPERATOR[:-1]}"], [f"Bearer {OPERATOR}", f"Bearer {OPERATOR}"],
        ["Bearer \xff\xfe"],
    ]  # fmt: skip

    for lines in shown:
        answer = await ask(gate, "GET", "/", [("authorization", one) for one in lines])
        assert (answer.status, answer.header("www-authenticate")) == (401, "Bearer"), lines


async def test_guessing_tokens_is_slowed_down_for_the_guesser_alone(desk: Desk) -> None:
    clock = StillClock()
    gate, _app = application(desk, guard_for(GUARDED, clock=clock))
    wrong = (("authorization", "Bearer wrong-0123456789abcdef"),)

    guesses = [(await ask(gate, "GET", "/", wrong, peer="192.0.2.9")).status for _ in range(HTTP_FAILURES_BURST + 2)]
    entered = await login(gate, OPERATOR, peer="192.0.2.9")
    of_another = await login(gate, OPERATOR, peer="192.0.2.10")

    assert guesses == [401] * HTTP_FAILURES_BURST + [429] * 2
    assert (entered.status, of_another.status) == (429, 303)
    clock.advance(5_000)
    assert (await login(gate, OPERATOR, peer="192.0.2.9")).status == 303


async def test_wrong_logins_count_as_guesses(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(GUARDED, clock=StillClock()))

    guesses = [(await login(gate, "wrong")).status for _ in range(HTTP_FAILURES_BURST + 1)]

    assert guesses == [401] * HTTP_FAILURES_BURST + [429]


async def test_a_login_makes_a_cookie_that_no_script_reads_and_no_other_site_sends(desk: Desk) -> None:
    guard = guard_for(GUARDED)
    gate, _app = application(desk, guard)

    entered = await login(gate, READER, goal="/sagas?state=PARKED")

    assert (entered.status, entered.header("location")) == (303, "/sagas?state=PARKED")
    attributes = {part.strip().lower() for part in (entered.header("set-cookie") or "").split(";")[1:]}
    assert attributes == {"httponly", "samesite=strict", "path=/", f"max-age={12 * 3600}"}
    assert READER not in str(entered.headers)
    assert (await ask(gate, "GET", "/login", [("cookie", entered.cookie)])).header("location") == "/"


async def test_a_cookie_is_secure_where_the_proxy_says_that_the_browser_speaks_https(desk: Desk) -> None:
    gate, _app = application(desk, guard_for(GUARDED))
    headers = (*FORM, ("x-forwarded-proto", "https"))

    by_proxy = await ask(gate, "POST", "/login", headers, body=[f"token={READER}".encode()], peer=PROXY)
    by_nobody = await ask(gate, "POST", "/login", headers, body=[f"token={READER}".encode()], peer="192.0.2.9")

    assert "secure" in (by_proxy.header("set-cookie") or "").lower()
    assert "secure" not in (by_nobody.header("set-cookie") or "").lower()


async def test_logging_out_ends_the_session_whatever_the_browser_keeps(desk: Desk) -> None:
    guard = guard_for(GUARDED)
    gate, _app = application(desk, guard)
    cookie = (await login(gate, OPERATOR)).cookie
    another = (await login(gate, OPERATOR)).cookie
    session = guard.sessions.find(cookie.partition("=")[2])
    assert session is not None

    body = f"{CSRF_FIELD}={guard.sessions.proof(session)}".encode()
    left = await ask(gate, "POST", "/logout", [("cookie", cookie), *FORM, *FROM_OURS], body=[body])

    assert (left.status, left.header("location")) == (303, "/login")
    assert guard.sessions.find(session.cookie) is None
    assert (await ask(gate, "GET", "/", [("cookie", cookie)])).status == 401
    assert (await ask(gate, "GET", "/", [("cookie", another)])).status == 200


async def test_every_server_with_the_same_tokens_knows_a_session_and_a_restart_ends_none(desk: Desk) -> None:
    here, there = (application(desk, guard_for(GUARDED))[0] for _ in range(2))
    cookie = ("cookie", (await login(here, OPERATOR)).cookie)

    page = await ask(here, "GET", "/", [cookie])
    proof = page.body.partition(b'name="csrf_token" value="')[2][:64]
    acted = await ask(there, "POST", "/logout", [cookie, *FORM, *FROM_OURS], body=[b"csrf_token=" + proof])

    assert page.status == 200
    assert acted.status == 303, "a form that one server drew is taken by the other"


def tokens(**given: str) -> Sessions:
    settings = SecuritySettings.model_validate(given)
    return guard_for(settings, clock=StillClock()).sessions


def test_another_token_ends_the_sessions_of_its_role_and_of_no_other() -> None:
    before = tokens(operator_token=OPERATOR, reader_token=READER)
    operator, reader = before.begin(Role.OPERATOR), before.begin(Role.READER)
    after = tokens(operator_token=f"{OPERATOR}-new", reader_token=READER)

    assert after.find(operator) is None
    assert after.find(reader) is not None
    assert tokens(reader_token=READER).find(operator) is None
    assert tokens(operator_token=READER).find(reader) is None, "a reader's token signs for no operator"


def test_a_cookie_that_is_changed_is_none() -> None:
    sessions = tokens(operator_token=OPERATOR, reader_token=READER)
    cookie = sessions.begin(Role.READER)
    role, ends, one, signature = cookie.split(".")
    changed = (
        f"operator.{ends}.{one}.{signature}", f"{role}.{int(ends) + 1}.{one}.{signature}",
        f"{role}.{ends}..{signature}",
        f"{role}.{ends}.{one}.{signature.upper()}", f"{role}.{ends}.{one}.", f"{role}.{ends}.{one}.{signature}.",
        f"public.{ends}.{one}.{signature}", f"{role}.{ends}.{one}.\xff", cookie[:-1], f" {cookie}", "", ".", "...",
        "9" * 10_000,
    )  # fmt: skip

    assert sessions.find(cookie) is not None
    for text in changed:
        assert sessions.find(text) is None, text


def test_sessions_end_by_themselves_and_no_clock_makes_one_last_longer() -> None:
    clock = StillClock()
    digests = guard_for(GUARDED).tokens.digests
    sessions, longer = (Sessions(clock, new_id, lasts_ms, digests) for lasts_ms in (1_000, 10_000_000))
    first, shared = sessions.begin(Role.READER), longer.begin(Role.READER)
    assert sessions.find(first) == Session(Role.READER, clock.now_ms() + 1_000, first)
    assert sessions.find(shared) is None, "where sessions hold for a second none holds for hours"

    clock.advance(999)
    assert sessions.find(first) is not None
    clock.advance(1)
    assert sessions.find(first) is None


def test_logouts_are_remembered_for_as_long_as_they_must_and_their_number_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions_of, "HTTP_SESSIONS_MAX", 3)
    clock = StillClock()
    sessions = Sessions(clock, new_id, 1_000, guard_for(GUARDED).tokens.digests)
    found = [sessions.find(sessions.begin(Role.READER)) for _ in range(4)]
    for session in found:
        assert session is not None
        sessions.end(session)

    assert [sessions.find(one.cookie) is None for one in found if one is not None] == [False, True, True, True]
    clock.advance(1_000)
    last = sessions.find(sessions.begin(Role.READER))
    assert last is not None
    sessions.end(last)
    assert len(sessions) == 1, "those that would have ended are forgotten"


@pytest.mark.parametrize(
    ("headers", "peer", "actor"),
    [
        ([("x-forwarded-user", "eve"), ("x-forwarded-groups", "ops")], PROXY, Actor("eve", Role.OPERATOR)),
        ([("x-forwarded-user", "eve"), ("x-forwarded-groups", "dev, ops")], PROXY, Actor("eve", Role.OPERATOR)),
        ([("x-forwarded-user", "eve"), ("x-forwarded-groups", "opsx")], PROXY, Actor("eve", Role.PUBLIC)),
        ([("x-forwarded-user", "eve")], "::ffff:10.0.0.7", Actor("eve", Role.PUBLIC)),
        ([("x-forwarded-user", "eve\x1b[2J"), ("x-forwarded-groups", "ops")], PROXY, None),
        ([("x-forwarded-user", "e" * 200), ("x-forwarded-groups", "ops")], PROXY, None),
        ([("x-forwarded-user", ""), ("x-forwarded-groups", "ops")], PROXY, None),
        ([("x-forwarded-user", "eve"), ("x-forwarded-user", "bob"), ("x-forwarded-groups", "ops")], PROXY, None),
        ([("x-forwarded-user", "eve"), ("x-forwarded-groups", "ops")], "127.0.0.1", None),
        ([("x-forwarded-user", "eve"), ("x-forwarded-groups", "ops")], "11.0.0.7", None),
        ([("x-forwarded-user", "eve"), ("x-forwarded-groups", "ops")], "", None),
    ],
)  # fmt: skip
def test_a_proxys_word_is_taken_from_its_own_address_and_only_where_it_is_clear(
    headers: list[tuple[str, str]], peer: str, actor: Actor | None
) -> None:
    raw = Headers(raw=[(name.encode(), value.encode()) for name, value in headers])
    identity = guard_for(GUARDED).identity_of(peer, raw, None)

    assert (identity.actor if identity.how is How.PROXY else None) == actor
