"""Sagas and participants side by side: each way in which they do not fit is found, and named with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, create_model

from kafka_saga import Participant, Saga, Step, Transaction
from kafka_saga.orchestrator.operations.checks.fitting import Mismatch, compare
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.participants.services import SERVICES
from kafka_saga.testing import check


class Booked(BaseModel):
    booking_id: str
    seat: str


class ReserveSeat(BaseModel):
    booking_id: str
    seat: str


class SeatReserved(BaseModel):
    ticket: str


class ReleaseSeat(BaseModel):
    booking_id: str


class SendTicket(BaseModel):
    ticket: str


class TicketSent(BaseModel):
    at: str


def booking(*, service: str = "seats", version: int = 1, **step: Any) -> Saga:
    first = {"action": ReserveSeat, "compensation": ReleaseSeat, "reply": SeatReserved, **step}
    steps = [
        Step("reserve_seat", service=service, **first),
        Step("send_ticket", service="mail", action=SendTicket, pivot=True),
    ]
    return Saga("booking", version=version, request=Booked, id_from="booking_id", steps=steps)


def seats(name: str = "seats", *, without: str = "") -> Participant:
    participant = Participant(name)
    if without != "reserveSeat":
        participant.action(ReserveSeat)(reserve)
    if without != "releaseSeat":
        participant.compensation(ReleaseSeat)(release)
    return participant


def mail() -> Participant:
    participant = Participant("mail")
    participant.action(SendTicket)(send)
    return participant


async def reserve(_command: ReserveSeat, _tx: Transaction) -> SeatReserved:
    return SeatReserved(ticket="t")


async def release(_command: ReleaseSeat, _tx: Transaction) -> None:
    return None


async def send(_command: SendTicket, _tx: Transaction) -> TicketSent:
    return TicketSent(at="now")


def only(saga: Saga, *participants: Participant) -> Mismatch:
    [found] = compare([saga], [*participants, mail()])
    return found


def test_what_fits_has_no_findings() -> None:
    assert compare([booking()], [seats(), mail()]) == []
    assert check(booking(), [seats(), mail()]) == []


def test_the_shipped_saga_and_services_fit() -> None:
    assert compare([order_saga], [service.participant for service in SERVICES.values()]) == []


@pytest.mark.parametrize("command", ["reserveSeat", "releaseSeat"])
def test_a_command_that_nobody_handles_is_wrong(command: str) -> None:
    found = only(booking(), seats(without=command))
    assert (found.verdict, found.subject) == ("wrong", f"seats.{command}")
    assert found.steps == ("booking v1 reserve_seat",)
    assert "nobody handles it" in found.found
    decorator = "action" if command == "reserveSeat" else "compensation"
    assert found.remedy.startswith(f"register one with @seats.{decorator}(")


def test_a_command_that_another_participant_handles_is_named_with_it() -> None:
    other = Participant("halls")
    other.compensation(ReleaseSeat)(release)
    [found, unused] = compare([booking()], [seats(without="releaseSeat"), other, mail()])
    assert found.remedy == "'halls' has one: is the step's service the right one?"
    assert (unused.verdict, unused.subject) == ("unused", "halls")


def test_a_class_that_is_spelt_otherwise_is_one_finding_not_two() -> None:
    other: type[BaseModel] = create_model("ReleaseSeats", booking_id=(str, ...))

    async def release_seats(_command: BaseModel, _tx: Transaction) -> None:
        return None

    release_seats.__annotations__["_command"] = other
    participant = seats(without="releaseSeat")
    participant.compensation(other)(release_seats)
    found = only(booking(), participant)
    assert found.verdict == "wrong"
    assert "the handler of 'releaseSeats', which no saga sends, may be meant" in found.remedy


def test_a_handler_that_no_saga_sends_is_unused() -> None:
    saga = booking(compensation=None, nothing_to_undo=True)
    found = only(saga, seats())
    assert (found.verdict, found.subject) == ("unused", "seats.releaseSeat")
    assert found.remedy == "say compensation=ReleaseSeat in a step, or drop the handler"


def test_a_handler_that_only_an_old_version_sends_is_used() -> None:
    newer = booking(version=2, compensation=None, nothing_to_undo=True)
    assert compare([newer, booking()], [seats(), mail()]) == []


def test_the_same_finding_in_several_versions_is_one_with_all_its_steps() -> None:
    [found] = compare([booking(), booking(version=2)], [seats(without="releaseSeat"), mail()])
    assert found.steps == ("booking v1 reserve_seat", "booking v2 reserve_seat")


def test_a_participant_that_no_saga_names_is_unused() -> None:
    found = only(booking(), seats(), Participant("billing"))
    assert (found.verdict, found.subject, found.found) == ("unused", "billing", "no saga sends anything to it")


@pytest.mark.parametrize("name", ["seat", "seets", "seats-", "sseats"])
def test_a_service_whose_name_differs_by_a_typo_is_wrong(name: str) -> None:
    found = only(booking(service=name), seats())
    assert (found.verdict, found.service) == ("wrong", name)
    assert found.found == f"no participant is called '{name}', but one 'seats'"
    assert 'service="seats"' in found.remedy


def test_a_participant_of_quite_another_name_that_handles_it_all_is_meant() -> None:
    found = only(booking(service="places"), seats())
    assert (found.verdict, found.found) == ("wrong", "no participant is called 'places', but one 'seats'")


def test_a_service_in_another_language_is_a_note() -> None:
    [found] = compare([booking()], [seats()])
    assert (found.verdict, found.service, found.steps) == ("note", "mail", ("booking v1 send_ticket",))


def test_a_service_that_is_only_called_alike_is_a_note() -> None:
    saga = Saga(
        "booking", version=1, request=Booked, id_from="booking_id",
        steps=[
            Step("reserve_seat", service="seats", action=ReserveSeat, compensation=ReleaseSeat, reply=SeatReserved),
            Step("send_ticket", service="seat", action=SendTicket),
        ],
    )  # fmt: skip
    [found] = compare([saga], [seats()])
    assert (found.verdict, found.service) == ("note", "seat")
    assert found.remedy.startswith("if it is not 'seats', misspelt: give it, too")


def test_two_participants_of_one_name_are_wrong() -> None:
    found = only(booking(), seats(), seats())
    assert (found.verdict, found.subject, found.found) == ("wrong", "seats", "two participants have this name")


def test_an_action_that_is_registered_as_compensation_is_wrong_and_the_other_way_round() -> None:
    participant = Participant("seats")
    participant.compensation(ReserveSeat)(reserve)
    participant.action(ReleaseSeat)(release)
    one, other = compare([booking()], [participant, mail()])
    assert one.found == "it is sent as an action, and registered with @seats.compensation"
    assert one.remedy == "register it with @seats.action(ReserveSeat)"
    assert other.found == "it is sent as a compensation, and registered with @seats.action"
    assert (one.verdict, other.verdict) == ("wrong", "wrong")


def test_an_external_action_fits_an_action_and_no_compensation() -> None:
    async def call(_command: ReserveSeat, _idempotency_key: str) -> SeatReserved:
        return SeatReserved(ticket="t")

    async def undo(_command: ReleaseSeat, _idempotency_key: str) -> None:
        return None

    fits = seats(without="reserveSeat")
    fits.external_action(ReserveSeat)(call)
    assert compare([booking()], [fits, mail()]) == []

    participant = seats(without="releaseSeat")
    participant.external_action(ReleaseSeat)(undo)
    found = only(booking(), participant)
    assert found.found == "it is sent as a compensation, and registered with @seats.external_action"


def test_an_external_compensation_fits_a_compensation_and_no_action() -> None:
    async def undo(_command: ReleaseSeat, _idempotency_key: str) -> None: ...

    async def call(_command: ReserveSeat, _idempotency_key: str) -> SeatReserved:
        return SeatReserved(ticket="t")

    fits = seats(without="releaseSeat")
    fits.external_compensation(ReleaseSeat)(undo)
    assert compare([booking()], [fits, mail()]) == []

    participant = seats(without="reserveSeat")
    participant.external_compensation(ReserveSeat)(call)
    found = only(booking(), participant)
    assert found.found == "it is sent as an action, and registered with @seats.external_compensation"


@pytest.mark.parametrize("phase", ["action", "compensation"])
def test_a_handler_that_may_take_as_long_as_its_step_waits_is_noted(phase: str) -> None:
    command, handler = (ReserveSeat, reserve) if phase == "action" else (ReleaseSeat, release)
    participant = seats(without="reserveSeat" if phase == "action" else "releaseSeat")
    getattr(participant, phase)(command, handler_timeout_ms=5_000)(handler)
    found = only(booking(), participant)
    assert (found.verdict, found.found) == (
        "note",
        "its handler may take 5,000 ms, and the step waits 5,000 ms for the reply",
    )
    assert f"@seats.{phase}({command.__name__}, handler_timeout_ms=…)" in found.remedy
    name = "timeout_ms" if phase == "action" else "compensation_timeout_ms"
    assert compare([booking(**{name: 5_001})], [participant, mail()]) == []


def test_where_a_handler_says_nothing_the_setting_is_compared_with_the_least_patient_step() -> None:
    sagas = [booking(timeout_ms=60_000, compensation_timeout_ms=60_000), booking(version=2, timeout_ms=8_000)]
    assert compare(sagas, [seats(), mail()], handler_timeout_ms=4_999) == []
    notes = compare(sagas, [seats(), mail()], handler_timeout_ms=8_000)
    assert {(item.verdict, item.command) for item in notes} == {
        ("note", "reserveSeat"),
        ("note", "releaseSeat"),
        ("note", "sendTicket"),
    }


def answering(model: type[BaseModel] | None) -> Participant:
    async def handler(_command: ReserveSeat, _tx: Transaction) -> Any:
        return None

    handler.__annotations__ = {"_command": ReserveSeat, "return": model}
    participant = seats(without="reserveSeat")
    participant.action(ReserveSeat)(handler)
    return participant


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (None, "the handler answers with nothing, which is not the step's reply SeatReserved: ticket: it is needed"),
        (create_model("Reserved", ticket_no=(str, ...)), "ticket: it is needed and never written"),
        (create_model("Reserved", ticket=(int, ...)), "ticket: it is written as integer and read as string"),
        (create_model("Reserved", ticket=(str | None, None)), "ticket: it is written as null and read as string"),
    ],
)
def test_a_reply_that_does_not_fit_the_steps_is_wrong(reply: type[BaseModel] | None, said: str) -> None:
    found = only(booking(), answering(reply))
    assert (found.verdict, found.subject) == ("wrong", "seats.reserveSeat")
    assert said in found.found


@pytest.mark.parametrize("reply", [SeatReserved, create_model("Copy", ticket=(str, ...))])
def test_a_reply_of_the_same_shape_fits(reply: type[BaseModel]) -> None:
    assert compare([booking()], [answering(reply), mail()]) == []


def test_a_reply_that_nobody_reads_may_be_anything() -> None:
    steps = [Step("reserve_seat", service="seats", action=ReserveSeat, compensation=ReleaseSeat)]
    saga = Saga("booking", version=1, request=Booked, id_from="booking_id", steps=steps)
    assert compare([saga], [seats()]) == []


def handling(model: type[BaseModel]) -> Participant:
    async def handler(_command: Any, _tx: Transaction) -> SeatReserved:
        return SeatReserved(ticket="t")

    handler.__annotations__["_command"] = model
    participant = seats(without="reserveSeat")
    participant.action(model)(handler)
    return participant


@pytest.mark.parametrize(
    ("fields", "verdict", "said"),
    [
        ({"booking_id": (str, ...), "seat": (int, ...)}, "wrong", "seat: it is written as string and read as integer"),
        ({"booking_id": (str, ...), "place": (str, ...)}, "wrong", "place: it is needed and never written"),
        ({"booking_id": (str, ...)}, "note", "seat: it is written and not read"),
    ],
)
def test_a_copy_of_a_command_that_differs_is_found(fields: dict[str, Any], verdict: str, said: str) -> None:
    found = only(booking(), handling(create_model("ReserveSeat", **fields)))
    assert (found.verdict, found.subject) == (verdict, "seats.reserveSeat")
    assert said in found.found


def test_a_copy_of_a_command_with_the_same_shape_fits() -> None:
    copy = create_model("ReserveSeat", booking_id=(str, ...), seat=(str, ...))
    assert compare([booking()], [handling(copy), mail()]) == []


def test_check_raises_with_a_line_for_each_and_lets_notes_pass() -> None:
    with pytest.raises(AssertionError) as raised:
        check([booking(), order_saga], [seats(without="releaseSeat"), Participant("billing")])
    first, *lines = str(raised.value).splitlines()
    assert first == "sagas and participants do not fit:"
    assert [line.split(":")[0].split()[0] for line in lines] == ["seats.releaseSeat", "billing"]
    assert [note.service for note in check(booking(), [seats()])] == ["mail"]


def test_check_lets_unused_handlers_pass_where_they_are_allowed() -> None:
    with pytest.raises(AssertionError, match="billing"):
        check(booking(), [seats(), mail(), Participant("billing")])
    [found] = check(booking(), [seats(), mail(), Participant("billing")], allow_unused=True)
    assert found.verdict == "unused"
