"""What a dashboard does by itself while it is served: gets ready for its first reader, and notes how the sagas go."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

from kafka_saga.orchestrator.dashboard.rendering import environment
from kafka_saga.orchestrator.dashboard.room import room_in
from kafka_saga.orchestrator.dashboard.statics import statics
from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.runtime.clock import rest
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.live_limits import TREND_STEP_MS


async def attend(app: FastAPI) -> None:
    """Go on until the server ends. Nothing waits for it: it begins once the server answers."""
    await asyncio.to_thread(prepare)
    desk, room = app.state.desk, room_in(app)
    assert isinstance(desk, Desk)
    while not desk.ending.is_set():
        try:
            async with desk.reader() as reader:
                await room.pulse.note(reader)
                await reader.owners.now(desk.clock)  # who beats is known before a page asks; the first watch takes long
            room.ready.set()
        except SagaError:
            pass  # the pages say so, and the curves have a step less
        await rest(desk.ending, desk.clock, TREND_STEP_MS)


def prepare() -> None:
    """Read and compile what every page is made of: the first reader would wait a third of a second for it."""
    statics()
    templates = environment()
    for name in templates.list_templates(extensions=("html", "svg")):
        templates.get_template(name)
