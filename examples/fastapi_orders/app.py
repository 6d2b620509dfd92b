"""An order service over HTTP: it starts a saga for every order, and answers by how the saga ends.

    POST /orders         201 it is done · 409 it is undone, with the reason · 202 it takes longer, with a Location
    GET  /orders/{id}    200 it is done · 409 it is undone · 202 it goes on · 404 nobody placed it
    GET  /health         200 while it can do its work, 503 once it cannot

Run it with `uvicorn app:app`; README.md beside this file says what else must run.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse
from orders import Answer, Orders, pending
from pydantic import BaseModel

from kafka_saga import errors
from kafka_saga.client import OutcomeTimeoutError, RequestRefusedError, SagaClient, Sagas
from kafka_saga.schemas.orders import Amount, Currency, CustomerId, Items, OrderRequested

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
    """One client, one file, and one reader of events for the whole process."""
    app.state.orders = orders = Orders(os.environ.get("ORDERS_DATABASE", "orders.db"))
    async with SagaClient(
        os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        prefix=os.environ.get("SAGA_TOPICS__PREFIX", ""),
        broker_wait_ms=60_000,
    ) as app.state.sagas:
        app.state.following = asyncio.create_task(follow(app.state.sagas, orders))
        yield
        app.state.following.cancel()
    orders.close()


async def follow(sagas: SagaClient, orders: Orders) -> None:
    """Note how orders end that nobody waited for, also those that ended while this service did not run."""
    async with sagas.events(since=orders.position or "beginning") as stream:
        async for event in stream:
            if event.is_end:
                order_id = event.ref.saga_id
                orders.settle(order_id, ended(order_id, event.kind == "completed", event.error, event.data))
                orders.position = str(stream.position)


app = FastAPI(title="Orders", lifespan=lifespan)


def sagas_of(request: Request) -> Sagas:
    """The client; tests put `InMemorySagas` in its place by `app.dependency_overrides`."""
    found: Sagas = request.app.state.sagas
    return found


def orders_of(request: Request) -> Orders:
    """The orders that were placed."""
    found: Orders = request.app.state.orders
    return found


AnySagas = Annotated[Sagas, Depends(sagas_of)]
AllOrders = Annotated[Orders, Depends(orders_of)]


@app.post("/orders")
async def place(
    order: NewOrder,
    sagas: AnySagas,
    orders: AllOrders,
    idempotency_key: Annotated[str | None, Header(pattern=r"^[A-Za-z0-9._:-]{1,100}$")] = None,
    prefer: Annotated[str | None, Header()] = None,
) -> JSONResponse:
    """Place an order. The same Idempotency-Key twice is the same order."""
    order_id = f"order-{idempotency_key or secrets.token_hex(8)}"
    request = OrderRequested(order_id=order_id, **dict(order))
    if not orders.place(order_id, request.model_dump_json()):
        return refusal(order_id, "another order has this Idempotency-Key")
    wait_ms = waiting_ms(prefer)
    if not wait_ms:
        await sagas.start(request)
        return told(order_id, pending(order_id))
    try:
        outcome = await sagas.run(request, timeout_ms=wait_ms)
    except OutcomeTimeoutError as error:
        return told(order_id, pending(order_id)) if error.is_stored else unavailable(order_id)
    except RequestRefusedError as error:  # most of all, a saga with this id exists that is none of ours
        orders.settle(order_id, Answer(409, {"order_id": order_id, "status": "refused", "reason": str(error)}))
        return refusal(order_id, str(error))
    if outcome.parked:  # a person will see to it, and then it ends
        return told(order_id, pending(order_id))
    answer = ended(order_id, outcome.completed, outcome.error, outcome.data)
    orders.settle(order_id, answer)
    return told(order_id, answer, created=True)


@app.get("/orders/{order_id}")
async def look(order_id: str, orders: AllOrders) -> JSONResponse:
    """How an order stands."""
    answer = orders.answer(order_id)
    if answer is None:
        return JSONResponse({"order_id": order_id, "status": "unknown", "reason": "nobody placed such an order"}, 404)
    return told(order_id, answer)


@app.get("/health")
async def health(request: Request) -> JSONResponse:
    """Whether the service can do its work: the client sees to outages of Kafka itself, and events are still read."""
    reads = not request.app.state.following.done()
    return JSONResponse({"status": "ok" if reads else "events are not read any more"}, 200 if reads else 503)


@app.exception_handler(errors.UnavailableError)
async def away(_request: Request, error: errors.UnavailableError) -> JSONResponse:
    """Kafka is away: the same request with the same key may be sent again."""
    return JSONResponse({"status": "unavailable", "reason": str(error)}, 503, {"Retry-After": "5"})


def ended(order_id: str, completed: bool, error: str | None, data: Mapping[str, Any]) -> Answer:
    """How an order ended; `data` has what the steps replied, where it was not too large for an event."""
    if not completed:
        return Answer(409, {"order_id": order_id, "status": "compensated", "reason": error})
    number = data.get("replies", {}).get("create_order", {}).get("order_number")
    return Answer(200, {"order_id": order_id, "status": "completed", "order_number": number})


def told(order_id: str, answer: Answer, *, created: bool = False) -> JSONResponse:
    """The response; one that tells of a new order that is done is 201."""
    headers = {"Location": f"/orders/{order_id}"} if answer.status != 409 else {}
    if answer.status == 202:
        headers["Retry-After"] = "1"
    status = 201 if created and answer.status == 200 else answer.status
    return JSONResponse(answer.body, status, headers)


def refusal(order_id: str, reason: str) -> JSONResponse:
    """It is another order that has this id."""
    return JSONResponse({"order_id": order_id, "status": "refused", "reason": reason}, 409)


def unavailable(order_id: str) -> JSONResponse:
    """Nobody knows whether the order was placed: the same key says so again."""
    return JSONResponse({"order_id": order_id, "status": "unavailable"}, 503, {"Retry-After": "5"})


def waiting_ms(prefer: str | None) -> int:
    """What `Prefer: wait=2` asks for (RFC 7240), in milliseconds; never more than WAIT_S."""
    for part in (prefer or "").split(","):
        name, _, value = part.strip().partition("=")
        if name == "wait" and value.isdecimal():
            return min(int(value[:9]), int(WAIT_S)) * 1_000
    return int(WAIT_S * 1_000)
