"""Which sagas, on the command line: the same flags for the list and for acts on many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from kafka_saga.orchestrator.cli.options import AS_DURATION
from kafka_saga.orchestrator.machine.states import ParkReason, SagaState
from kafka_saga.orchestrator.operations.sagas.filtering import Narrowing


@Parameter(name="*", group=Group("Which sagas", sort_key=1))
@dataclass(frozen=True, slots=True)
class FilterFlags:
    """What is true of the sagas that are wanted; where nothing is said, anything may be."""

    state: Annotated[
        tuple[SagaState, ...],
        Parameter(help="Only in these; repeat for more", negative="", consume_multiple=False, show_default=False),
    ] = ()
    cause: Annotated[ParkReason | None, Parameter(help="Only parked for this")] = None
    older_than: Annotated[int | None, AS_DURATION, Parameter(help="Started longer ago than, e.g. 10m")] = None
    newer_than: Annotated[int | None, AS_DURATION, Parameter(help="Started within the last, e.g. 2h")] = None
    error: Annotated[str | None, Parameter(help="Its error contains this, in any case")] = None
    field: Annotated[
        str | None, Parameter(help="A field of its request and its value, e.g. customer_id=alice or address.city=Graz")
    ] = None
    prefix: Annotated[str | None, Parameter(name="--id", help="Its id, or its beginning")] = None
    held: Annotated[bool, Parameter(negative="", show_default=False, help="Only those that are held")] = False

    @property
    def said(self) -> Narrowing:
        """They, as `operations` has them."""
        return Narrowing(
            states=frozenset(self.state),
            cause=self.cause,
            older_than_ms=self.older_than,
            newer_than_ms=self.newer_than,
            error=self.error,
            data=self.field,
            prefix=self.prefix,
            held=self.held,
        )


ANY = FilterFlags()
