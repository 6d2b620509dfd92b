"""The whole application behind its gate, as `saga dashboard` puts it together."""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from kafka_saga.orchestrator.dashboard import add_to
from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.http.security.gate import Gate
from kafka_saga.orchestrator.http.security.guard import Guard, make_guard
from kafka_saga.orchestrator.http.security.settings import SecuritySettings
from kafka_saga.runtime.clock import Clock, SystemClock, new_id
from tests.http.asking import HOST, Answer, ask

OPERATOR, READER = "operator-0123456789abcdef", "reader-0123456789abcdef"
PROXY = "10.0.0.7"
AS_OPERATOR = (("authorization", f"Bearer {OPERATOR}"),)
AS_READER = (("authorization", f"Bearer {READER}"),)
FORM = (("content-type", "application/x-www-form-urlencoded"),)
FROM_OURS = (("origin", f"http://{HOST}"), ("sec-fetch-site", "same-origin"))
OPEN = SecuritySettings()
GUARDED = SecuritySettings.model_validate(
    {
        "operator_token": OPERATOR,
        "reader_token": READER,
        "trusted_proxies": "10.0.0.0/8",
        "operator_groups": "ops",
        "reader_groups": "support, dev",
        "requests_per_second": 100_000,
    }
)


def guard_for(settings: SecuritySettings, *, loopback: bool = True, clock: Clock | None = None) -> Guard:
    return make_guard(
        settings,
        loopback=loopback,
        host_name="saga-1",
        user="ann",
        clock=clock or SystemClock(),
        new_secret=new_id,
    )


def application(desk: Desk, guard: Guard) -> tuple[ASGIApp, ASGIApp]:
    """The application behind the gate, and as it is."""
    app = create_app(desk, security=guard, pages=add_to, admin=PlainTextResponse("well"))
    return Gate(app, guard), app


async def login(gate: ASGIApp, token: str, *, goal: str = "/", peer: str = "192.0.2.9") -> Answer:
    """Somebody logs in at the page."""
    body = f"token={token}&next={goal}".encode()
    return await ask(gate, "POST", "/login", (*FORM, *FROM_OURS), body=[body], peer=peer)
