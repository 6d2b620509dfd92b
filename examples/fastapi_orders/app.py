"""An order service over HTTP: it starts a saga for every order, and answers by how the saga ends.

    POST /orders         201 it is done · 409 it is undone, with the reason · 202 it takes longer, with a Location
    GET  /orders/{id}    200, 409 or 202, for five minutes after the end
    GET  /health         200 while Kafka can be asked

Run it with `uvicorn app:app`; README.md beside this file says what else must run.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from kafka_saga import errors
from kafka_saga.client import Outcome, OutcomeTimeoutError, RequestRefusedError, SagaClient, Sagas
from kafka_saga.schemas.orders import Amount, Currency, CustomerId, Items, OrderCreated, OrderRequested

WAIT_S = float(os.environ.get("ORDERS_WAIT_S", "5"))
"""How long a POST waits for the end of its saga, where its `Prefer: wait=…` does not say less."""


class NewOrder(BaseModel):
    """What a customer sends."""

    customer_id: CustomerId
    items: Items
    amount: Amount
    currency: Currency


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for the whole process."""
    async with SagaClient(
        os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        prefix=os.environ.get("SAGA_TOPICS__PREFIX", ""),
        broker_wait_ms=60_000,
    ) as app.state.sagas:
        yield


app = FastAPI(title="Orders", lifespan=lifespan)


def sagas_of(request: Request) -> Sagas:
    """The client; tests put `InMemorySagas` in its place by `app.dependency_overrides`."""
    found: Sagas = request.app.state.sagas
    return found


AnySagas = Annotated[Sagas, Depends(sagas_of)]


@app.post("/orders")
async def place(
    order: NewOrder,
    sagas: AnySagas,
    idempotency_key: Annotated[str | None, Header(pattern=r"^[A-Za-z0-9._:-]{1,100}$")] = None,
    prefer: Annotated[str | None, Header()] = None,
) -> JSONResponse:
    """Place an order. The same Idempotency-Key twice is the same order."""
    order_id = f"order-{idempotency_key or secrets.token_hex(8)}"
    request = OrderRequested(order_id=order_id, **dict(order))
    wait_ms = waiting_ms(prefer)
    if not wait_ms:
        await sagas.start(request)
        return pending(order_id)
    try:
        return answer(await sagas.run(request, timeout_ms=wait_ms), created=True)
    except OutcomeTimeoutError as error:
        return pending(order_id) if error.is_stored else unavailable(order_id)


@app.get("/orders/{order_id}")
async def look(order_id: str, sagas: AnySagas) -> JSONResponse:
    """How an order stands."""
    try:
        return answer(await sagas.outcome(order_id, timeout_ms=500), created=False)
    except OutcomeTimeoutError:
        return pending(order_id)


@app.get("/health")
async def health(sagas: AnySagas) -> dict[str, str]:
    """Whether the service can do its work: connected once, the client sees to the rest itself."""
    return {"status": "ok", "client": type(sagas).__name__}


@app.exception_handler(RequestRefusedError)
async def refused(_request: Request, error: RequestRefusedError) -> JSONResponse:
    """No order came of it: most of all, another one with the same key exists."""
    return JSONResponse({"order_id": error.ref.saga_id, "status": "refused", "reason": str(error)}, 409)


@app.exception_handler(errors.UnavailableError)
async def away(_request: Request, error: errors.UnavailableError) -> JSONResponse:
    """Kafka is away: the same request with the same key may be sent again."""
    return JSONResponse({"status": "unavailable", "reason": str(error)}, 503, {"Retry-After": "5"})


def answer(outcome: Outcome, *, created: bool) -> JSONResponse:
    """The response that tells an outcome."""
    order_id = outcome.ref.saga_id
    if outcome.completed:
        number = outcome.reply("create_order", OrderCreated).order_number
        body = {"order_id": order_id, "status": "completed", "order_number": number}
        return JSONResponse(body, 201 if created else 200, {"Location": f"/orders/{order_id}"})
    if outcome.compensated:
        return JSONResponse({"order_id": order_id, "status": "compensated", "reason": outcome.error}, 409)
    return pending(order_id)  # parked: a person will see to it


def pending(order_id: str) -> JSONResponse:
    """It goes on: ask there."""
    where = f"/orders/{order_id}"
    body: dict[str, Any] = {"order_id": order_id, "status": "pending", "see": where}
    return JSONResponse(body, 202, {"Location": where, "Retry-After": "1"})


def unavailable(order_id: str) -> JSONResponse:
    """Nobody knows whether the order was placed: the same key says so again."""
    return JSONResponse({"order_id": order_id, "status": "unavailable"}, 503, {"Retry-After": "5"})


def waiting_ms(prefer: str | None) -> int:
    """What `Prefer: wait=2` asks for (RFC 7240), in milliseconds; never more than WAIT_S."""
    for part in (prefer or "").split(","):
        name, _, value = part.strip().partition("=")
        if name == "wait" and value.isdecimal():
            return min(int(value), int(WAIT_S)) * 1_000
    return int(WAIT_S * 1_000)
