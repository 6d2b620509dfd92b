"""Try a participant's handlers without a broker: the same guard, and a database in memory.

harness = await Harness.open(inventory, schema=SCHEMA)
reply = await harness.send(ReserveItems(order_id="order-1", items=[…]), saga_id="order-1", step="reserve_inventory")
assert reply.outcome == "success"
again = await harness.send(…)                 # the same reply, and the handler did not run again

step = harness.step("reserve_inventory", saga_id="order-1")      # several commands of one step
await step.send(ReserveItems(order_id="order-1", items=[…]))
undone = await step.send(ReleaseItems(order_id="order-1"))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from kafka_saga.participants.calls import Settled, make_call
from kafka_saga.participants.command import Command, command_of
from kafka_saga.participants.faults import FaultInjector, Faults
from kafka_saga.participants.guard import Guard, Handled, Work
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.outcomes import Reply
from kafka_saga.participants.portions import Portions
from kafka_saga.participants.store.opening import Opening, open_for
from kafka_saga.participants.store.port import ParticipantStore, Prepare
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.limits import FENCE_RETENTION_MS, HANDLER_TIMEOUT_MS
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.sqlite import Row
from kafka_saga.runtime.telemetry import configure_tests
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.envelope import CommandHead
from kafka_saga.schemas.ids import CommandId


class Harness:
    """A participant with a database of its own, as a rule in memory. `close` it, or use `async with`."""

    def __init__(
        self, participant: Participant, store: ParticipantStore, guard: Guard, now_ms: Callable[[], int]
    ) -> None:
        """Use `open`."""
        self._participant = participant
        self._store = store
        self._guard = guard
        self._now_ms = now_ms

    @classmethod
    async def open(
        cls,
        participant: Participant,
        *,
        schema: str = "",
        prepare: Prepare | None = None,
        faults: Faults | None = None,
        handler_timeout_ms: int = HANDLER_TIMEOUT_MS,
        fence_retention_ms: int = FENCE_RETENTION_MS,
        now_ms: Callable[[], int] | None = None,
        database: Path | str | PostgresUrl = ":memory:",
        worker: str = "tests",
    ) -> Self:
        """A harness for `participant`.

        Args:
            participant: whose handlers run.
            schema: the SQL of the service's own tables.
            prepare: creates and fills them instead, as it does for `run_participant`.
            faults: what goes wrong on purpose.
            handler_timeout_ms: how long a handler may take.
            fence_retention_ms: for how long the fence remembers (R16).
            now_ms: the time; the machine's when not given.
            database: `PostgresUrl("postgresql://…")` of an empty database, or a file; in memory when not given.
            worker: its name, where several harnesses are workers of one service.

        """
        configure_tests()
        clock = SystemClock()
        store = await open_for(Opening(participant, worker, clock, handler_timeout_ms), database)
        try:
            await store.connection.run_script(schema)
            if prepare is not None:
                await store.prepare(prepare)
        except BaseException:
            await store.close()
            raise
        guard = Guard(
            participant,
            store,
            faults=FaultInjector(faults or Faults()),
            handler_timeout_ms=handler_timeout_ms,
            fence_retention_ms=fence_retention_ms,
        )
        return cls(participant, store, guard, now_ms or clock.now_ms)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Forget the database."""
        await self._store.close()

    def command(
        self,
        model: BaseModel,
        *,
        saga_id: str,
        step: str,
        saga_type: str = "order",
        attempt: int = 1,
        epoch: int = 1,
        started_at_ms: int = 0,
    ) -> Command:
        """The command that carries `model`; its phase is that of the model's handler.

        Raises:
            DefinitionError: the participant has no handler for it.

        """
        handler = self._participant.handler_of(type(model))
        parsed = CommandId(saga_type, saga_id, step, handler.phase, epoch)
        reply_to = f"{self._participant.name}.replies"
        head = CommandHead(str(parsed), parsed, handler.command_type, reply_to, attempt, started_at_ms)
        return command_of(head, model.model_dump_json(by_alias=True).encode(), handler)

    async def send(
        self,
        model: BaseModel,
        *,
        saga_id: str,
        step: str,
        saga_type: str = "order",
        attempt: int = 1,
        epoch: int = 1,
        started_at_ms: int = 0,
    ) -> Reply:
        """Handle one command, with its call to the outside if it has one, and return the reply.

        Args:
            model: the command.
            saga_id: the saga it is of.
            step: the step's name; an action and its compensation have the same.
            saga_type: the saga's type.
            attempt: which send of the same command this is.
            epoch: raised when an operator asks for a failed command again.
            started_at_ms: when the saga started; 0 when it is not said (R16).

        Raises:
            DefinitionError: the participant has no handler for it.

        """
        command = self.command(
            model,
            saga_id=saga_id,
            step=step,
            saga_type=saga_type,
            attempt=attempt,
            epoch=epoch,
            started_at_ms=started_at_ms,
        )
        [handled] = await self.handle([command])
        if handled.reply is None:
            assert handled.call is not None
            [handled] = await self.handle([], [await make_call(handled.call, self._guard.faults)])
        assert handled.reply is not None
        return handled.reply

    def step(self, name: str, *, saga_id: str, saga_type: str = "order") -> HarnessStep:
        """One step of one saga, to send its commands by: its action, once or more often, and its compensation."""
        return HarnessStep(self, name, saga_id, saga_type)

    async def handle(self, commands: Sequence[Command], settled: Sequence[Settled] = ()) -> list[Handled]:
        """Handle a batch, as the worker does; for tests of the guard itself."""
        batch: list[Work] = [*settled, *commands]
        handled: list[Handled] = []
        portions = Portions(self._in_one_transaction)
        while len(handled) < len(batch):
            handled += await portions.first_of(batch[len(handled) :])
        return handled

    async def _in_one_transaction(self, works: Sequence[Work], *, alone: bool = False) -> list[Handled]:
        async with self._store.transaction(alone=alone):
            return await self._guard.handle(works, self._now_ms())

    async def fetch_all(self, sql: str, *params: Any) -> list[Row]:
        """Look into the database."""
        await self._store.ready()
        return await self._store.connection.fetch_all(sql, params)

    async def prepare(self, prepare: Prepare) -> None:
        """Prepare the tables again, as every start does."""
        await self._store.prepare(prepare)

    async def run_script(self, sql: str) -> None:
        """Change the database, outside of any command."""
        await self._store.connection.run_script(sql)


@dataclass(frozen=True, slots=True)
class HarnessStep:
    """A step of a saga in a harness: `harness.step("reserve_seat", saga_id="b-1")`."""

    harness: Harness
    name: str
    saga_id: str
    saga_type: str

    async def send(self, model: BaseModel, *, attempt: int = 1, epoch: int = 1, started_at_ms: int = 0) -> Reply:
        """Handle one command of this step, as `Harness.send` does; the reply.

        Args:
            model: the command, of the action or of the compensation.
            attempt: which send of the same command this is.
            epoch: raised when an operator asks for a failed command again.
            started_at_ms: when the saga started; 0 when it is not said (R16).

        Raises:
            DefinitionError: the participant has no handler for it.

        """
        return await self.harness.send(
            model,
            saga_id=self.saga_id,
            step=self.name,
            saga_type=self.saga_type,
            attempt=attempt,
            epoch=epoch,
            started_at_ms=started_at_ms,
        )


def body_of(reply: Reply) -> dict[str, Any]:
    """A reply's body."""
    return decode_object(reply.body)
