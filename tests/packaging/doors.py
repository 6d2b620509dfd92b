"""A user's program that comes in by every door; the type checker reads it, nobody runs it."""

import sys
from pathlib import Path
from typing import assert_type

from pydantic import BaseModel

import kafka_saga
from kafka_saga import (
    CommandContext,
    KafkaSettings,
    NoReply,
    Participant,
    PostgresUrl,
    Prepare,
    Rejected,
    Reply,
    Retry,
    Saga,
    SagaData,
    Sensitive,
    Settings,
    SqlConnection,
    Step,
    TopicNames,
    Transaction,
    __version__,
    client,
    errors,
    from_reply,
    from_request,
    load_settings,
    run_participant,
    testing,
)
from kafka_saga.client import (
    EventPosition,
    EventStream,
    OutcomeTimeoutError,
    RequestRefusedError,
    SagaClient,
    SagaEvent,
    SagaRef,
    Sagas,
    SagaType,
    Startable,
)
from kafka_saga.client import Outcome as SagaOutcome
from kafka_saga.errors import (
    BrokenStoreError,
    BrokerUnavailableError,
    ConfigError,
    ConflictError,
    ContractError,
    DefinitionError,
    NotFoundError,
    RefusedError,
    SagaError,
    StoreFullError,
    StoreRefusedError,
    StoreUnavailableError,
    UnavailableError,
    UsageError,
)
from kafka_saga.testing import (
    Command,
    Effect,
    EventKind,
    FaultKind,
    FaultRule,
    Faults,
    Harness,
    HarnessStep,
    Hold,
    InMemorySagas,
    Mismatch,
    Outcome,
    Reason,
    SagaState,
    Story,
    body_of,
    check,
    expect_refused,
    given,
)


class Booked(BaseModel):
    booking_id: str
    seat: str
    card: Sensitive[str] = ""


class ReserveSeat(BaseModel):
    booking_id: str
    place: str


class SeatReserved(BaseModel):
    ticket: str


class ReleaseSeat(BaseModel):
    booking_id: str


class SendTicket(BaseModel):
    ticket: str
    text: str


def text_of(data: SagaData) -> str:
    return f"your seat is {data.request['seat']}"


booking = Saga(
    "booking",
    version=1,
    request=Booked,
    id_from="booking_id",
    steps=[
        Step(
            "reserve_seat",
            service="seats",
            action=ReserveSeat,
            compensation=ReleaseSeat,
            reply=SeatReserved,
            retry=Retry(retries_max=2),
            action_fields={"place": from_request("seat")},
        ),
        Step(
            "send_ticket",
            service="mail",
            action=SendTicket,
            reply=NoReply,
            pivot=True,
            action_fields={"ticket": from_reply("reserve_seat", "ticket"), "text": text_of},
        ),
    ],
)

seats = Participant("seats")
mail = Participant("mail")


async def prepare(connection: SqlConnection) -> None:
    await connection.run_script("CREATE TABLE IF NOT EXISTS seats (seat TEXT PRIMARY KEY, saga TEXT)")


@seats.action(ReserveSeat)
async def reserve(command: ReserveSeat, tx: Transaction) -> SeatReserved:
    changed = await tx.execute("INSERT OR IGNORE INTO seats VALUES (?, ?)", (command.place, tx.saga_id))
    assert_type(changed, int)
    if not changed:
        raise Rejected(f"seat {command.place} is taken")
    return SeatReserved(ticket=tx.step)


@seats.compensation(ReleaseSeat)
async def release(command: ReleaseSeat, tx: Transaction, context: CommandContext) -> None:
    await tx.execute("DELETE FROM seats WHERE saga = ?", (context.saga_id,))


@mail.external_action(SendTicket, timeout_ms=5_000)
async def send(command: SendTicket, idempotency_key: str) -> None:
    print(command.text, idempotency_key)


def test_the_story() -> None:
    notes = check(booking, [seats, mail])
    assert_type(notes, list[Mismatch])
    story = given(booking, Booked(booking_id="b-1", seat="A1"))
    assert_type(story, Story)
    story.pauses["service:mail"] = Hold("service:mail", "me", "maintenance", 0)
    command = story.expect_command("seats", ReserveSeat)
    assert_type(command, Command)
    command.fail("taken", reason=Reason.REJECTED)
    assert story.record.state == SagaState.COMPENSATED
    print(expect_refused(story.act(EventKind.CANCEL)))


async def test_the_handlers() -> None:
    preparing: Prepare = prepare
    rules = Faults(rules=(FaultRule(kind=FaultKind.REJECT, command_type="releaseSeat"),))
    async with await Harness.open(seats, prepare=preparing, faults=rules) as harness:
        step = harness.step("reserve_seat", saga_id="b-1", saga_type="booking")
        assert_type(step, HarnessStep)
        reply = await step.send(ReserveSeat(booking_id="b-1", place="A1"), attempt=2)
        assert_type(reply, Reply)
        assert (reply.outcome, reply.effect) == (Outcome.SUCCESS, Effect.DONE)
        assert body_of(reply) == {"ticket": "reserve_seat"}


async def order_service(sagas: Sagas, kinds: list[Startable], position: EventPosition) -> SagaOutcome | None:
    async with SagaClient("localhost:9092", types=[booking, SagaType("trip", Booked), *kinds]) as own:
        assert_type(await own.start(Booked(booking_id="b-1", seat="A1")), SagaRef)
        assert_type(await own.start_many([Booked(booking_id="b-2", seat="A2")]), list[SagaRef])
        stream: EventStream = own.events(since=position)
        async for event in stream:
            assert_type(event, SagaEvent)
            print(event.kind, client.SagaClient)
        sagas = own if event.is_end else InMemorySagas(booking, answers={ReserveSeat: SeatReserved(ticket="t-1")})
    try:
        outcome = await sagas.run(Booked(booking_id="b-1", seat="A1"), timeout_ms=1_000)
        assert_type(outcome.reply("reserve_seat", SeatReserved), SeatReserved)
    except RequestRefusedError as error:
        print(error.cause)
    except OutcomeTimeoutError as error:
        print(error.last_event)
    else:
        return outcome
    return None


def main() -> int:
    kafka = KafkaSettings(bootstrap_servers="localhost:9092")
    chosen = Settings(kafka=kafka, topics=TopicNames(prefix="shop."))
    try:
        loaded = load_settings(flags={}, environment={}).settings
        assert_type(loaded, Settings)
    except (ConfigError, DefinitionError, ContractError, UsageError):
        return 2
    except (NotFoundError, ConflictError, StoreRefusedError, RefusedError):
        return 4
    except (BrokerUnavailableError, StoreFullError, StoreUnavailableError, UnavailableError, BrokenStoreError) as error:
        print(error.retryable)
        return 5
    except SagaError as error:
        return error.exit_code
    print(kafka_saga.__version__, __version__, errors.SagaError.code, testing.given)
    database = PostgresUrl("postgresql://seats@db/seats") if sys.argv[1:] else Path("seats.db")
    return run_participant(seats, prepare=prepare, database=database, settings=chosen)


if __name__ == "__main__":
    sys.exit(main())
