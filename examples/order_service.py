"""An order service: places one order, then follows it to its end. Plain aiokafka, nothing of kafka-saga.

The request is bare JSON without any header. What becomes of it is told on order.events, which anybody may read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

EXIT_CODES = {"completed": 0, "compensated": 1}
EXIT_UNREACHABLE = 5
EXIT_TIMED_OUT = 124
EPILOG = "exit codes: 0 completed, 1 compensated, 2 usage, 5 Kafka or its topics are not there, 124 timed out"


class UnreachableError(Exception):
    """Kafka, or the topic of events, is not there."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Place an order and follow it to its end.", epilog=EPILOG)
    parser.add_argument("-b", "--bootstrap-servers", default="localhost:9092", metavar="HOST:PORT")
    parser.add_argument("--prefix", default="", help="put before every topic's name, e.g. shop.")
    parser.add_argument("--id", help="the order's id [default: a new one]")
    parser.add_argument("--customer", default="alice", metavar="ID")
    parser.add_argument("--item", action="append", type=item, metavar="SKU[=QUANTITY]", help="repeat for more")
    parser.add_argument("--amount", type=int, default=4990, metavar="CENTS")
    parser.add_argument("--currency", default="EUR")
    parser.add_argument("--replay", action="store_true", help="read all events: for an order that was placed before")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS")
    return parser.parse_args(arguments)


def item(text: str) -> dict[str, Any]:
    """Read one line of an order, `lamp=2` or `lamp`."""
    sku, _, quantity = text.partition("=")
    return {"sku": sku, "quantity": int(quantity or 1)}


def order_of(options: argparse.Namespace) -> dict[str, Any]:
    """The request: a JSON object that fits schemas/generated/orderRequested.schema.json."""
    return {
        "order_id": options.id or f"order-{secrets.token_hex(4)}",
        "customer_id": options.customer,
        "items": options.item or [item("lamp=2"), item("book")],
        "amount": options.amount,
        "currency": options.currency,
    }


async def place_and_follow(options: argparse.Namespace) -> int:
    """Publish the order, print each of its events; the exit code."""
    order = order_of(options)
    order_id = order["order_id"]
    servers = options.bootstrap_servers
    events = AIOKafkaConsumer(bootstrap_servers=servers)
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
    try:
        await events.start()
        await producer.start()
        topic = f"{options.prefix}order.events"
        if topic not in await events.topics():
            raise UnreachableError(f"there is no topic {topic}: is the orchestrator running?")
        partitions = [TopicPartition(topic, number) for number in await producer.partitions_for(topic)]
        # Find the topic's end before the order is placed: no event can slip past.
        await stand_on(events, partitions, replay=options.replay)
        value = json.dumps(order)
        await producer.send_and_wait(f"{options.prefix}order.requests", value.encode(), key=order_id.encode())
        print(f"{order_id}  placed         {value}", flush=True)
        return await follow(events, order_id)
    finally:
        await producer.stop()
        await events.stop()


async def stand_on(events: AIOKafkaConsumer, partitions: list[TopicPartition], *, replay: bool) -> None:
    """Read `partitions` without a group, from their end or from their beginning."""
    offsets = await (events.beginning_offsets(partitions) if replay else events.end_offsets(partitions))
    events.assign(partitions)
    for partition, offset in offsets.items():
        events.seek(partition, offset)


async def follow(events: AIOKafkaConsumer, order_id: str) -> int:
    """Print the events of one order until one is its end; the exit code."""
    seen: set[tuple[int, str]] = set()
    async for event in events:
        headers = {name: value.decode() for name, value in event.headers}
        event_id = int(headers.get("ce_sequence", 0)), headers["ce_type"]
        if event.key != order_id.encode() or event_id in seen:
            continue  # somebody else's, or a repetition
        seen.add(event_id)
        name = headers["ce_type"].rpartition(".")[2]
        print(f"{order_id}  {name:<14} {sentence(json.loads(event.value))}", flush=True)
        if name in EXIT_CODES:
            return EXIT_CODES[name]
    return EXIT_UNREACHABLE


def sentence(record: dict[str, Any]) -> str:
    """One event's record, for people."""
    text = f"{record['state']}, step {record['currentStep']}; done {record['stepsExecuted']}"
    if record["stepsCompensated"]:
        text += f", undone {record['stepsCompensated']}"
    return text + (f"; {record['error']}" if record.get("error") else "")


async def main(options: argparse.Namespace) -> int:
    """Place and follow one order, within its time."""
    try:
        async with asyncio.timeout(options.timeout):
            return await place_and_follow(options)
    except TimeoutError:
        print(f"the order has not ended after {options.timeout:g} s", file=sys.stderr)
        return EXIT_TIMED_OUT
    except (KafkaError, UnreachableError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_UNREACHABLE


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse())))
