"""What the dashboard does by itself: its templates are compiled before anybody asks, and the rates are noted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from kafka_saga.orchestrator.dashboard import add_to, attend
from kafka_saga.orchestrator.dashboard.live import Looks
from kafka_saga.orchestrator.dashboard.rendering import environment
from kafka_saga.orchestrator.dashboard.room import Room, room_in
from kafka_saga.orchestrator.http.application import create_app
from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.http.security.local import LocalSecurity
from kafka_saga.orchestrator.operations.sagas.pulse import Pulse
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import StoreUnavailableError


class Hasty(SystemClock):
    """Waits for nothing."""

    async def sleep(self, duration_ms: int) -> None:
        pass


@dataclass(slots=True)
class Counting(Pulse):
    """Does not answer at its second time, and has the server end at its third."""

    ending: asyncio.Event = field(default_factory=asyncio.Event)
    noted: int = 0

    async def note(self, reader: StoreReader) -> None:
        await Pulse.note(self, reader)
        self.noted += 1
        if self.noted == 2:
            raise StoreUnavailableError("the store is away")
        if self.noted == 3:
            self.ending.set()


async def test_templates_are_compiled_before_anybody_asks_and_rates_are_noted_until_the_server_ends(desk: Desk) -> None:
    environment.cache_clear()
    hasty = replace(desk, clock=Hasty())
    app = create_app(hasty, security=LocalSecurity("ann@desk"), pages=add_to)
    pulse = Counting(hasty.clock, hasty.reader, ending=desk.ending)
    app.state.room = Room(Looks(hasty.clock), pulse, desk.jobs)

    await attend(app)

    assert room_in(app).pulse is pulse
    assert pulse.noted == 3, "a store that does not answer for once stops nothing"
    compiled = environment().cache
    assert compiled is not None
    assert {name for _, name in compiled} >= set(environment().list_templates(extensions=("html",)))
