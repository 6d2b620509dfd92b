"""The documents of the API. Answers may get more fields in later versions; requests are read strictly."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from kafka_saga.orchestrator.machine.states import ParkReason, SagaState
from kafka_saga.orchestrator.operations.acts.following import Result
from kafka_saga.runtime.limits import ACT_TEXT_LENGTH_MAX, ID_LENGTH_MAX
from kafka_saga.schemas.ids import NAME_PATTERN, SAGA_ID_PATTERN

Item = TypeVar("Item")

Verb = Literal["retry", "skip", "cancel", "resolve", "pause", "resume"]
Moment = Annotated[str, Field(description="RFC 3339, UTC", examples=["2026-11-23T10:42:07.123Z"])]
SagaIdText = Annotated[str, Field(pattern=SAGA_ID_PATTERN, max_length=ID_LENGTH_MAX, examples=["order-123"])]
NameText = Annotated[str, Field(pattern=NAME_PATTERN, examples=["order"])]
ActText = Annotated[str, Field(min_length=1, max_length=ACT_TEXT_LENGTH_MAX, pattern=r"^[^\x00]+$")]


class Answer(BaseModel):
    """What the API says."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")


class Asked(BaseModel):
    """What the API is asked: an unknown field is refused, for it would be taken as if it were not there."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class Problem(Answer):
    """What went wrong (RFC 9457)."""

    type: str = Field(examples=["urn:kafka-saga:problem:not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(description="A stable word for programs", examples=["not_found"])
    detail: str = Field(description="A sentence for people", examples=["there is no saga 'order-7'"])


class Page(Answer, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next: str | None = Field(description="Give it back as `cursor` for the next page; null at the end")
    complete: bool = Field(
        description="False where time was up before the page was full: the next page goes on, an empty one too"
    )


class SagaSummary(Answer):
    """A saga as a list shows it."""

    saga_id: str = Field(examples=["order-123"])
    saga_type: str = Field(examples=["order"])
    version: int
    state: str = Field(examples=["PARKED"], description=", ".join(state.value for state in SagaState))
    status: str = Field(examples=["STEP_2 IN_PROGRESS"])
    current_step: int
    error: str | None
    parked: str | None = Field(description="Why it is parked", examples=["compensation_failed"])
    held: dict[str, Any] | None
    started_at: Moment
    updated_at: Moment
    age_ms: int
    duration_ms: int


class SagaDocument(Answer):
    """One saga with its steps, its request and its replies."""

    saga_id: str = Field(examples=["order-123"])
    saga_type: str = Field(examples=["order"])
    state: str = Field(examples=["COMPENSATED"])
    current_step: int
    steps_executed: list[int] = Field(examples=[[1, 2]])
    steps_compensated: list[int] = Field(examples=[[2, 1]], description="In the order in which they were undone")
    error: str | None = Field(examples=["card declined"])
    status: str
    sentence: str = Field(description="Where it stands, for people")
    steps: list[dict[str, Any]]
    data: dict[str, Any] = Field(description="`request`, and `replies` by step")


class PurgedSaga(Answer):
    """All that is left of a saga that was purged."""

    saga_id: str
    saga_type: str
    state: str
    purged: Literal[True]
    started_at: Moment
    ended_at: Moment
    purged_at: Moment


class LogRow(Answer):
    """What happened to a saga, in order."""

    seq: int
    at: Moment
    step: int = Field(description="Its number, from 1; 0 where it is about no step")
    name: str
    status: str
    attempt: int
    detail: dict[str, Any]


class Explanation(Answer):
    """What a saga waits for, and what keeps it."""

    saga_id: str
    status: str
    sentence: str = Field(examples=["It waits for payment to answer chargePayment of 'process_payment'."])
    orchestrator_runs: bool | None
    reasons: list[dict[str, Any]]
    kafka: str = Field(description="`asked`, `not asked`, or why it did not answer")


class MessagesFound(Answer):
    """The messages of one saga that are still in Kafka."""

    items: list[dict[str, Any]]
    complete: bool = Field(description="False where there were more to look through than one question may")


class SagaStarted(Answer):
    """A saga that was asked for."""

    saga_id: str = Field(examples=["order-123"])
    saga_type: str = Field(examples=["order"])
    result: Literal["accepted", "exists"]
    state: str | None = Field(description="Null where the orchestrator has not taken the request yet")
    links: dict[str, str] = Field(examples=[{"self": "/api/v1/sagas/order/order-123"}])


class ActDocument(Answer):
    """An act as it is on record."""

    act_id: str
    saga_id: str
    saga_type: str
    verb: str
    arguments: dict[str, Any]
    actor: str
    reason: str
    at: Moment
    outcome: str | None = Field(description="`done`, `unchanged` or `refused`; null while it waits")
    message: str | None


class ActResult(Answer):
    """What an act came to. Being taken is no effect: a retry has succeeded when the step's reply is in."""

    act_id: str
    verb: str = Field(examples=["retry"])
    result: Result
    message: str = Field(examples=["'process_payment' is done"])


class ActAsked(Asked):
    """An act on one saga."""

    reason: ActText | None = Field(default=None, description="Why; kept with the act", examples=["processor is back"])
    act_id: ActText | None = Field(default=None, description="Your own id: the same id twice is one act")
    if_state: SagaState | None = Field(default=None, description="Refuse unless it is in it; default: as it is now")
    if_version: int | None = Field(default=None, ge=0, le=2**53, description="Refuse unless it has this version")


class RetryAsked(ActAsked):
    """Send a step's command again, now."""

    step: NameText | None = Field(default=None, description="Refuse unless the saga stands at this step")


class SkipAsked(ActAsked):
    """A step was done, or undone, by hand."""

    step: NameText = Field(description="The step in flight", examples=["process_payment"])
    data: dict[str, Any] | None = Field(
        default=None, description="Its reply, where later steps take fields of it", examples=[{"charge_id": "ch-77"}]
    )


class ResolveAsked(ActAsked):
    """A parked saga was settled outside."""

    reason: ActText = Field(description="Nothing but your word settles it", examples=["refunded, ticket 4711"])
    outcome: Literal["compensated", "completed"] = Field(alias="as", description="How")


class BulkAsked(Asked):
    """Which sagas a verb is for: those of a list, or those that a filter lets through now."""

    verb: Verb = Field(examples=["retry"])
    sagas: list[SagaIdText] | None = Field(default=None, max_length=10_000, description="Their ids; no filter then")
    state: list[SagaState] = Field(default_factory=list, max_length=6)
    type: NameText | None = None
    step: NameText | None = Field(default=None, description="They stand at this step")
    cause: ParkReason | None = None
    older_than_ms: int | None = Field(default=None, ge=0, le=10**13)
    newer_than_ms: int | None = Field(default=None, ge=0, le=10**13)
    error: str | None = Field(default=None, min_length=1, max_length=500, examples=["card declined"])
    data: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,127}=[^\x00]{1,256}$",
        description="A field of their requests and its value",
        examples=["customer_id=alice"],
    )
    id: SagaIdText | None = Field(default=None, description="Their ids are this, or begin so")
    held: bool = Field(default=False, description="Only those that are held")
    limit: int | None = Field(default=None, ge=1, le=10_000, description="The oldest so many")


class BulkSend(Asked):
    """Go on with a frozen list."""

    total: int | None = Field(default=None, ge=1, le=100_000, description="How many are on it: needed above 100")
    reason: ActText | None = None
    step: NameText | None = Field(default=None, description="Of a retry or a skip")
    data: dict[str, Any] | None = Field(default=None, description="Of a skip")
    outcome: Literal["compensated", "completed"] | None = Field(default=None, alias="as", description="Of a resolve")


class FrozenList(Answer):
    """What a bulk act would be done to. Nothing is sent yet."""

    bulk_id: str
    verb: str
    total: int
    sagas: list[dict[str, Any]] = Field(description="All of them, with the state each was seen in")
    missing: list[str] = Field(description="Ids without a saga")


class BulkResult(Answer):
    """How far a bulk act is."""

    bulk_id: str
    verb: str
    running: bool
    trouble: str | None = Field(description="Why it stopped before its end")
    total: int
    sent: int
    succeeded: int
    failed: int
    refused: int
    waiting: int
    unchanged: int
    not_done: list[dict[str, Any]]


class PauseDocument(Answer):
    """What is paused, or held without a pause."""

    scope: str = Field(examples=["service:payment"])
    paused: bool
    actor: str | None
    reason: str | None
    since: Moment | None
    held: int = Field(description="How many sagas it holds")


class ScopeAsked(Asked):
    """A service or a saga type that is to stop, or to go on."""

    service: NameText | None = Field(default=None, description="All commands to it", examples=["payment"])
    type: NameText | None = Field(default=None, description="All sagas of it")
    running: bool = Field(default=False, description="With a type: stop those under way, too")
    reason: ActText | None = None
    act_id: ActText | None = None


class TimerDocument(Answer):
    """What a saga does next by itself."""

    at: Moment
    due_in_ms: int
    kind: Literal["deadline", "retry"]
    saga_id: str
    saga_type: str
    step: str | None
    sentence: str


class DefinitionDocument(Answer):
    """A saga's definition."""

    saga_type: str = Field(examples=["order"])
    version: int
    active: bool = Field(description="Whether it starts new sagas")
    steps: list[dict[str, Any]]
    graph: dict[str, Any] = Field(description="Nodes and edges")
    request: dict[str, Any] = Field(description="JSON Schema of the request")


class ReplicaDocument(Answer):
    """An orchestrator on the store."""

    name: str
    life: int | None
    state: str = Field(description="`live`, `silent`, `gone` or `dead`")
    unpublished: int


class LagDocument(Answer):
    """How far a group has read a partition."""

    group: str
    topic: str
    partition: int
    position: int | None
    first: int
    end: int
    lag: int


class PurgeAsked(Asked):
    """Which finished sagas are to go."""

    older_than_ms: int = Field(ge=0, le=10**13, description="They ended longer ago", examples=[2_592_000_000])
    type: NameText | None = None
    state: list[Literal["COMPLETED", "COMPENSATED"]] = Field(default_factory=list, max_length=2)
    reason: ActText | None = None
    dry_run: bool = False


class PurgeDocument(Answer):
    """A purge, and how far it is."""

    purge_id: str | None
    purgeable: int | None
    purged: int
    done: bool


class Figures(Answer):
    """How the sagas of the store are."""

    at: Moment
    counts: dict[str, int]
    finished: int
    finished_per_second: float | None
    p50_ms: int | None
    p99_ms: int | None


class About(Answer):
    """What answers here."""

    version: str
    store: str
    read_only: bool
    saga_types: list[str]
    you: dict[str, str] = Field(examples=[{"name": "ann", "role": "operator"}])
    links: dict[str, str]
