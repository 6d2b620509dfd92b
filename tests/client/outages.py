"""A Kafka that goes away and comes back: stopped and started, killed and started, or frozen (SIGSTOP) and let go on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, get_args

from deploy.kafka.kafka import Broker

How = Literal["stopped", "killed", "frozen"]
HOWS: tuple[How, ...] = get_args(How)


@dataclass
class Outage:
    """One of a broker that belongs to the test."""

    broker: Broker
    how: How

    async def begin(self) -> None:
        if self.how == "frozen":
            self.broker.pause()
        else:
            await asyncio.to_thread(self.broker.stop if self.how == "stopped" else self.broker.kill)

    async def end(self) -> None:
        if self.how == "frozen":
            self.broker.resume()
        else:
            await asyncio.to_thread(self.broker.start)
