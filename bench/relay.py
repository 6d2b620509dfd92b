"""`python -m bench.relay {…}`: passes messages from topic to topic, with no state and no thought.

Four of these stand in for the orchestrator and the three participants, and say what the broker and aiokafka's own
batch calls allow on this machine: the limit that the system is measured against. What it sends for a record is the
same each time, a real message's value and headers; only the key is the record's.
"""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer

from bench import wire
from bench.process import Arguments, Word, begin, say


class _Route:
    """What is sent for every record of one topic."""

    def __init__(self, outlet: wire.Outlet, value: str, headers: list[list[str]]) -> None:
        self._outlet = outlet
        self._value = value.encode()
        self._headers = [(name, text.encode()) for name, text in headers]

    async def pass_on(self, partition: int, keys: list[bytes]) -> None:
        """Queue one message for each key. It waits only while an earlier batch has not left yet."""
        await self._outlet.queue(partition, [(key, self._value) for key in keys], self._headers)


async def main(arguments: Arguments, _word: Word) -> None:
    """Arguments: `bootstrap`, and `routes`: for each topic read, a list of [topic, value, headers] to send."""
    consumer: AIOKafkaConsumer = wire.new_consumer(arguments["bootstrap"])
    async with wire.new_producer(arguments["bootstrap"]) as producer, consumer:
        routes = {
            topic: [_Route(await wire.Outlet.to(producer, target), value, headers) for target, value, headers in sends]
            for topic, sends in arguments["routes"].items()
        }
        await wire.follow(consumer, routes, from_end=True)
        say({"event": "ready"})
        while True:
            for partition, records in (await consumer.getmany(timeout_ms=1_000)).items():
                keys = [record.key for record in records]
                for route in routes[partition.topic]:
                    await route.pass_on(partition.partition, keys)


if __name__ == "__main__":
    begin(main)
