"""A participant whose handlers log in every way there is; its log is read by `test_logging`.

Usage: python -m tests.participants.logging_service FORMAT LEVEL
"""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings

import structlog
from pydantic import BaseModel

from kafka_saga import Participant, SqlConnection, Transaction
from kafka_saga.participants.testing import Harness
from kafka_saga.runtime.telemetry import configure_logging

CARD = "4111111111111111"

library = logging.getLogger("shop.library")
shop = Participant("shop")


class Card(BaseModel):
    number: int


class Quiet(BaseModel):
    pass


class Talk(BaseModel):
    pass


class Call(BaseModel):
    pass


class Break(BaseModel):
    how: str


async def prepare(_connection: SqlConnection) -> None:
    library.info("tables are there")


@shop.action(Quiet)
async def quiet(_command: Quiet, _tx: Transaction) -> None:
    pass


@shop.action(Talk)
async def talk(_command: Talk, _tx: Transaction) -> None:
    library.debug("details")
    library.info("%d of %s", 3, "lamps", extra={"warehouse": "north"})
    structlog.get_logger().info("by structlog", shelf=7)
    await asyncio.to_thread(library.warning, "from a thread")
    warnings.warn("soon gone", UserWarning, stacklevel=1)
    library.info("odd: %d", CARD)
    library.info("hard to write", extra={"event": "no", "number": 2**70, "text": "\ud800", "by": {1: 2}})
    logging.getLogger("aiokafka.client").error("cannot connect")
    logging.getLogger("aiosqlite").debug("execute %s", CARD)
    library.log(25, "between the levels")


async def keep(_command: Call, _reply: None, _tx: Transaction) -> None:
    library.info("kept")


@shop.external_action(Call, store=keep)
async def call(_command: Call, idempotency_key: str) -> None:
    library.info("called with %s", idempotency_key)


@shop.action(Break)
async def break_(command: Break, _tx: Transaction) -> None:
    card = CARD  # what a frame's variables would show
    if command.how == "another":
        raise LookupError(command.how)
    try:
        Card.model_validate({"number": f"{card}x"})
    except ValueError as error:
        if command.how == "invalid":
            raise
        raise RuntimeError(f"it broke {command.how}") from error


async def main() -> None:
    where = {"step": "pay"}
    async with await Harness.open(shop, prepare=prepare) as harness:
        await harness.send(Quiet(), saga_id="quiet", **where)
        await harness.send(Talk(), saga_id="talk", **where)
        await harness.send(Call(), saga_id="call", **where)
        library.info("between commands")
        known, unknown = (harness.command(Quiet(), saga_id=name, **where) for name in ("known", "unknown"))
        await harness.handle([known, unknown._replace(handler=None)])
        for attempt, how in enumerate(["once", "twice", "another", "another"], 1):
            await harness.send(Break(how=how), saga_id="broken", **where, attempt=attempt)
        await harness.send(Break(how="invalid"), saga_id="invalid", **where)


if __name__ == "__main__":
    configure_logging(process="participant:shop", log_format=sys.argv[1], level=sys.argv[2])  # type: ignore[arg-type]
    asyncio.run(main())
