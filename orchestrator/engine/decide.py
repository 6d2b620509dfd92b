"""Stage 2: the batch's sagas are loaded, its events folded through `advance`, and everything to write collected.

Order inside a batch: starts, replies, commands that were not sent, timers, acts, admissions. Replies come before
timers, so a reply that is here is never overtaken by its own timeout (R20, R21).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from kafka_saga.messaging.outlet import Unsent
from kafka_saga.messaging.records import Record
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.engine import pauses
from kafka_saga.orchestrator.engine.inputs import (
    Answered,
    Inputs,
    Reply,
    Request,
    SetAside,
    Spans,
    addressed,
    answered,
    log_fields,
)
from kafka_saga.orchestrator.engine.intake import Intake
from kafka_saga.orchestrator.engine.messages import MessageWriter
from kafka_saga.orchestrator.engine.pauses import NOTHING, Paused
from kafka_saga.orchestrator.engine.replied import contradicts, replied
from kafka_saga.orchestrator.machine.decision import Decision, Ignored, Refused, Result, Unchanged
from kafka_saga.orchestrator.machine.events import (
    Act,
    Admitted,
    Event,
    NotSent,
    Released,
    Replied,
    ReplyUnreadable,
    Restored,
    TimerFired,
)
from kafka_saga.orchestrator.machine.missing import act_without_definition
from kafka_saga.orchestrator.machine.pausing import describe
from kafka_saga.orchestrator.machine.saga import Saga, accepted
from kafka_saga.orchestrator.machine.states import TERMINAL, IgnoredReason, SagaState
from kafka_saga.orchestrator.machine.transitions import advance
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.lives import Life
from kafka_saga.orchestrator.store.port import ActOutcome, Batch, Changed, Known, QueuedAct, Started, UnreadableAct
from kafka_saga.orchestrator.store.retention import Purged
from kafka_saga.runtime.errors import ContractError
from kafka_saga.runtime.telemetry import log, log_subject
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.envelope import read_command
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.topics import TopicNames

_log = log("decide")

_HAD_BEFORE = (IgnoredReason.DUPLICATE, IgnoredReason.FINISHED, IgnoredReason.ALREADY)

PublishedBy = Callable[[str, int], int | None]
"""For a topic and a moment: when what was decided then for it was published at the latest; None: not known (R21)."""


@dataclass(slots=True)
class Folding:
    """One saga while its events of this batch are folded."""

    saga: Saga
    request_hash: bytes
    before: Saga | None
    """As it was read; None where this batch accepted it."""


@dataclass(slots=True)
class Decided:
    """A batch, ready to be committed, and what to note once it is."""

    batch: Batch
    moved: list[tuple[Saga | None, Saga]] = field(default_factory=list)
    """Each saga as it was read, None where it is new, and as it is now."""
    paused: Paused = NOTHING
    """What is paused after the batch."""
    counts: Counter[str] = field(default_factory=Counter)
    answered: list[Answered] = field(default_factory=list)
    """Commands whose replies were taken, for metrics."""
    duplicates: Counter[str] = field(default_factory=Counter)
    """Messages that had come before, by topic."""


class Decider:
    """Folds the inputs of a batch. Holds nothing between batches."""

    def __init__(self, *, registry: Registry, topics: TopicNames, intake: Intake) -> None:
        self.registry = registry
        self.topics = topics
        self.intake = intake
        self.replies_of = cache(topics.replies_of)
        self.spans: Spans | None = None
        self.live(Life())

    def live(self, life: Life) -> None:
        """Decide for this life of the store (R59)."""
        self.life = life
        self.writer = MessageWriter(self.topics, life.first_sequence)

    def decide(
        self,
        inputs: Inputs,
        known: dict[SagaRef, Known],
        purged: Mapping[SagaRef, Purged],
        *,
        admit: list[SagaRef],
        room: int,
        published_by: PublishedBy,
        paused: Paused = NOTHING,
        release: Sequence[SagaRef] = (),
    ) -> Decided:
        """Decide one batch.

        Args:
            inputs: what came.
            known: the sagas of `inputs` and of `admit` that exist.
            purged: what is kept of those that do not exist any more (R29).
            admit: sagas that have waited longest for admission.
            room: how many sagas may be admitted (R20).
            paused: what operators have paused.
            release: sagas whose pause was lifted, no more than there is room for; they go on before others begin.
            published_by: for a command's topic and the moment it was decided, when it was published at the latest;
                None while that is not known (R21).

        """
        fold = _Fold(self, inputs, known, purged, paused)
        about = log_subject.set(fold)
        try:
            for request in inputs.requests:
                fold.start(request)
            for reply in inputs.replies:
                fold.reply(reply)
            for unsent in inputs.unsent:
                fold.unsent(unsent)
            for ref in inputs.timers:
                fold.timer(ref, published_by)
            for queued in inputs.acts:
                fold.act(queued)
            fold.admit(admit, room - fold.release(release))
            return fold.finish()
        finally:
            log_subject.reset(about)


class _Fold:
    def __init__(
        self,
        decider: Decider,
        inputs: Inputs,
        known: dict[SagaRef, Known],
        purged: Mapping[SagaRef, Purged],
        paused: Paused,
    ) -> None:
        self._decider = decider
        self._paused = paused
        self._purged = purged
        self._inputs = inputs
        self._now = inputs.now
        self._sagas = {ref: Folding(item.saga, item.request_hash, item.saga) for ref, item in known.items()}
        self._started: list[SagaRef] = []
        self._decided = Decided(Batch(inputs.now))
        self._refused: list[SetAside] = []
        """Records that could be read, and are refused by what the store knows; another try may think otherwise."""
        self._at: Folding | None = None
        self._reply: Reply | None = None

    def log_fields(self) -> dict[str, object]:
        """What lines of users' validators and field functions are about."""
        return {} if self._at is None else log_fields(self._at.saga, self._reply)

    def start(self, request: Request) -> None:
        """Accept a saga; a second request with the same id is the same saga, or a conflict (R3)."""
        earlier = self._sagas.get(request.ref) or self._purged.get(request.ref)
        if earlier is None:
            trace = request.trace if (spans := self._decider.spans) is None else spans.accepted(request)
            saga = accepted(request.definition, request.ref, request.document, request.document_bytes, self._now, trace)
            self._sagas[request.ref] = Folding(saga, request.request_hash, None)
            self._started.append(request.ref)
            self._decided.batch.noted += request.asked_by
            self._decided.counts["started"] += 1
            if self._decider.life.ahead and self._decider.life.was_there(request.record):
                self._apply(request.definition, self._sagas[request.ref], Restored(self._decider.life.ahead))
        elif earlier.request_hash == request.request_hash:
            self._decided.counts["duplicate_request"] += 1
            self._decided.duplicates[request.record.topic] += 1
        else:
            message = f"saga {request.ref} exists with another request; a new request needs a new id"
            self._set_aside(request.record, ContractError(Cause.CONFLICT, message))

    def reply(self, reply: Reply) -> None:
        """Give a reply to its saga."""
        if self._is_over(reply.ref):
            self._decided.counts[f"ignored_{IgnoredReason.FINISHED.value}"] += 1
            self._decided.duplicates[reply.record.topic] += 1
            return
        try:
            folding, definition = self._addressee(reply)
            self._at, self._reply = folding, reply
        except ContractError as error:
            self._set_aside(reply.record, error)
            return
        try:
            event: Event = replied(definition, reply, self._decider.life.errors)
        except ContractError as error:
            self._set_aside(reply.record, error)
            command = reply.head.command
            event = ReplyUnreadable(command.step, command.phase, command.epoch, error.cause, str(error), reply.origin)
        before, result = folding.saga, self._apply(definition, folding, event)
        if self._decider.spans is not None:
            self._decider.spans.replied(reply, before)
        if type(result) is Decision:
            self._decided.answered += answered(definition, before, reply, self._now)
        elif isinstance(result, Ignored) and result.reason in _HAD_BEFORE:
            self._decided.duplicates[reply.record.topic] += 1

    def unsent(self, unsent: Unsent) -> None:
        """Tell a saga that its command was not sent (R56)."""
        command = addressed(unsent)
        folding = self._sagas.get(command.ref)
        definition = None if folding is None else self._definition(folding.saga)
        if folding is None or definition is None:
            self._decided.counts["ignored_not_sent"] += 1
            return
        attempt = read_command(dict(unsent.message.headers), unsent.message.key).attempt
        # A service that was not restored may have the command from an earlier life (R59).
        ahead = map(self._decider.topics.commands, self._decider.life.ahead)
        may_be_out = unsent.may_be_out or unsent.message.topic in ahead
        text = f"the command was not sent: {unsent.message.topic} refused it: {unsent.detail}"
        self._decided.counts["commands_not_sent"] += 1
        event = NotSent(command.step, command.phase, command.epoch, attempt, unsent.reason, text, may_be_out=may_be_out)
        self._apply(definition, folding, event)

    def timer(self, ref: SagaRef, published_by: PublishedBy) -> None:
        """Fire a saga's timer, if what it waits for is known to have been published."""
        folding = self._sagas.get(ref)
        definition = None if folding is None else self._definition(folding.saga)
        if folding is None or definition is None:
            return
        active = folding.saga.active_index
        if active is None:
            published_at = published_by("", 0)
        else:
            topic = self._decider.writer.commands_of(definition.steps[active].service)
            published_at = published_by(topic, folding.saga.steps[active].sent_at or 0)
        if published_at is not None:
            self._apply(definition, folding, TimerFired(published_at))

    def act(self, queued: QueuedAct | UnreadableAct) -> None:
        """Carry out an operator's verb, and write its outcome beside it (R25)."""
        if isinstance(queued, UnreadableAct):
            outcome = ActOutcome(queued.act_id, "refused", queued.message)
        else:
            outcome = ActOutcome(queued.act.act_id, *self._act_on(queued))
        self._decided.counts[f"act_{outcome.outcome}"] += 1
        self._decided.batch.acts.append(outcome)
        _log.info("act.decided", act=outcome.act_id, outcome=outcome.outcome, message=outcome.message)

    def release(self, refs: Sequence[SagaRef]) -> int:
        """Let sagas go on that a lifted pause held; how many did."""
        released = 0
        for ref in refs:
            folding = self._sagas.get(ref)
            definition = None if folding is None else self._definition(folding.saga)
            if folding is None or definition is None or folding.saga.held is None:
                continue
            if isinstance(self._apply(definition, folding, Released()), Decision) and folding.saga.held is None:
                released += 1
        return released

    def admit(self, waiting: list[SagaRef], room: int) -> None:
        """Start sagas while there is room, the longest waiting first (R20)."""
        for ref in [*waiting, *self._started]:
            if room <= 0:
                return
            folding = self._sagas.get(ref)
            if folding is None or folding.saga.state is not SagaState.PENDING:
                continue
            definition = self._definition(folding.saga)
            if definition is None or folding.saga.held is not None or ref.saga_type in self._paused.types:
                continue
            self._apply(definition, folding, Admitted())
            room -= folding.saga.held is None

    def finish(self) -> Decided:
        """Everything the batch writes. New sagas sorted by id, so that two writers cannot deadlock (R3)."""
        batch = self._decided.batch
        batch.offsets = self._inputs.offsets
        batch.resets = self._inputs.resets
        letters = self._inputs.dead_letters + [one.letter for one in self._refused]
        batch.messages += letters
        self._decided.counts["dead_lettered"] += len(letters)
        for ref, folding in self._sagas.items():
            before = folding.before
            if before is None:
                batch.started.append(Started(folding.saga, folding.request_hash))
                self._decided.moved.append((None, folding.saga))
            elif folding.saga is not before:
                batch.changed.append(Changed(folding.saga, before.version))
                self._decided.moved.append((before, folding.saga))
            else:
                batch.unchanged.append(before)
            assert folding.saga.ref == ref, "a saga keeps its identity"
        self._decided.paused = self._paused
        batch.started.sort(key=lambda started: started.saga.ref)
        return self._decided

    def _set_aside(self, record: Record, error: ContractError) -> None:
        self._decider.intake.set_aside(self._refused, record, error, self._now, "validate")

    def _act_on(self, queued: QueuedAct) -> tuple[str, str]:
        """What became of an act, and a sentence."""
        if pauses.is_about_scope(queued.act):
            outcome, message, after = pauses.decide(self._paused, self._decider.registry, queued.act, self._now)
            if after is not self._paused:
                scope = str(queued.act.arguments["scope"])
                self._decided.batch.pauses[scope] = after.all.get(scope)
                self._paused = after
            return outcome, message
        folding = self._sagas.get(queued.ref)
        if folding is None:
            gone = self._purged.get(queued.ref)
            why = f"there is no saga {queued.ref}"
            return "refused", why if gone is None else f"saga {queued.ref} was {gone.state} and is purged"
        result = self._apply(self._definition(folding.saga), folding, queued.act)
        match result:
            case Decision():
                held = result.saga.held
                return "done", f"the saga is {result.saga.state.value}" + (f", {describe(held)}" if held else "")
            case Ignored():
                return "unchanged", result.reason.value
            case Refused():
                return "refused", result.message
            case Unchanged():
                return "unchanged", result.message

    def _apply(self, definition: Definition | None, folding: Folding, event: Event) -> Result:
        self._at = folding
        if definition is not None:
            result = advance(definition, folding.saga, event, self._now, self._paused.holding)
        else:
            assert isinstance(event, Act), "only a person can do something to a saga whose definition no code has"
            result = act_without_definition(folding.saga, event, self._now)
        if isinstance(result, Decision):
            folding.saga = result.saga
            batch = self._decided.batch
            batch.log += [(result.saga.ref, entry) for entry in result.log]
            batch.messages += [
                self._decider.writer.message(definition, result.saga, effect) for effect in result.effects
            ]
        elif isinstance(result, Ignored):
            self._decided.counts[f"ignored_{result.reason.value}"] += 1
            if isinstance(event, Replied) and contradicts(definition, folding.saga, event):
                self._decided.counts["reply_contradicts"] += 1
                _log.warning("reply.contradicts", saga=str(folding.saga.ref), step=event.step, now=event.outcome.value)
            _log.debug("event.ignored", saga=str(folding.saga.ref), kind=event.kind.value, reason=result.reason.value)
        return result

    def _is_over(self, ref: SagaRef) -> bool:
        """Whether the saga has ended and nobody knows its steps any more: a late reply is no dead letter (R11)."""
        folding = self._sagas.get(ref)
        if folding is None:
            return ref in self._purged
        return folding.saga.state in TERMINAL and self._definition(folding.saga) is None

    def _definition(self, saga: Saga) -> Definition | None:
        return self._decider.registry.get(saga.ref.saga_type, saga.definition_version)

    def _addressee(self, reply: Reply) -> tuple[Folding, Definition]:
        """The saga that a reply is for.

        Raises:
            ContractError: there is none, or the reply came on another service's topic: a service answers for
                itself only, and its ACLs guard its own reply topic (design §4, R11).

        """
        folding = self._sagas.get(reply.ref)
        if folding is None:
            raise ContractError(Cause.UNKNOWN_SAGA, f"there is no saga {reply.ref}")
        definition = self._definition(folding.saga)
        if definition is None:
            raise ContractError(Cause.DEFINITION_MISSING, f"no code has the definition of saga {reply.ref}")
        name = reply.head.command.step
        step = definition.index(name)
        if step is None:
            raise ContractError(Cause.BAD_ID, f"saga {reply.ref} has no step '{name}'")
        expected = self._decider.replies_of(definition.steps[step].service)
        if reply.record.topic != expected:
            raise ContractError(Cause.WRONG_TOPIC, f"replies of step '{name}' come on {expected}")
        return folding, definition
