"""What the pages of one server remember from one look to the next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from kafka_saga.orchestrator.dashboard.live import Looks
from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.operations.acts.jobs import BulkJobs
from kafka_saga.orchestrator.operations.sagas.pulse import Pulse


@dataclass(frozen=True, slots=True)
class Room:
    """One for each application.

    Attributes:
        looks: what was drawn a moment ago, for whoever looks at the same.
        pulse: how the sagas go.
        jobs: bulk acts.
        ready: set once a first reader does not wait for what is done once.

    """

    looks: Looks
    pulse: Pulse
    jobs: BulkJobs
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def at(cls, desk: Desk) -> Room:
        """A new one."""
        return cls(Looks(desk.clock), Pulse(desk.clock, desk.reader), desk.jobs)


def room_of(request: Request) -> Room:
    """The room of the application that answers."""
    return room_in(request.app)


def room_in(app: FastAPI) -> Room:
    """The room of an application; it has one from the first time on that somebody asks."""
    room = getattr(app.state, "room", None)
    if room is None:
        room = app.state.room = Room.at(app.state.desk)
    assert isinstance(room, Room)
    return room


async def _room_of(request: Request) -> Room:
    return room_of(request)


TheRoom = Annotated[Room, Depends(_room_of)]
