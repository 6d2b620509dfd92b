"""Stores that several replicas share, under contract: each test has a server, and as many replicas as it wants."""

from __future__ import annotations

from abc import ABC, abstractmethod

from kafka_saga.orchestrator.store.members import Joining, Lanes, Peer, SharedStore
from kafka_saga.orchestrator.store.memory import MemoryStore
from kafka_saga.orchestrator.store.memory_server import MemoryServer
from kafka_saga.orchestrator.store.port import QueuedAct
from kafka_saga.orchestrator.store.shared_memory import SharedMemoryStore
from tests.contracts.stores import SetClock

LANES = 4
EVERY = Lanes(LANES, frozenset(range(LANES)))


class Server(ABC):
    """A store under test, seen from its server."""

    def __init__(self) -> None:
        self.clock = SetClock()

    @abstractmethod
    async def replica(self) -> SharedStore:
        """One more replica's object of the store; it has no life yet."""

    @abstractmethod
    async def queue_act(self, queued: QueuedAct) -> None:
        """An operator queues a verb."""

    async def joined(self, name: str = "a", lanes: Lanes = EVERY, window: int = 1_000) -> SharedStore:
        """A replica that lives and owns `lanes`."""
        store = await self.replica()
        await store.members.join(Joining(name, "1.0", "order 1", window, LANES))
        store.members.own(lanes)
        return store


class InMemory(Server):
    def __init__(self) -> None:
        super().__init__()
        self._truth = MemoryStore(self.clock)
        self._server = MemoryServer(self._truth)

    async def replica(self) -> SharedStore:
        return SharedMemoryStore(self._server, self.clock)

    async def queue_act(self, queued: QueuedAct) -> None:
        await self._truth.queue_act(queued)


async def seen(judge: SharedStore, other: SharedStore) -> Peer:
    """A life as the judge's beat shows it."""
    found = {peer.replica: peer for peer in await judge.members.beat(1_000)}
    return found[other.members.replica]
