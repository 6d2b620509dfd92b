"""Whether sagas and the participants that serve them fit: what would otherwise show when something must be undone.

Pure: definitions and participants in, findings out. Participants are known by what they offer, not by their class
(`orchestrator` never imports `participants`); a service in another language has no object here, and is only noted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel

from kafka_saga.orchestrator.definition import NoReply, Saga, command_type
from kafka_saga.runtime.limits import HANDLER_TIMEOUT_MS
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.shapes import Difference, differences

Verdict = Literal["wrong", "unused", "note"]

SIMILARITY_MIN = 0.75
"""Of names, as difflib counts: `seat` and `seats` are 0.89 alike, `stock` and `stores` 0.55."""


class HandlerLike(Protocol):
    """What a participant says of one of its handlers."""

    @property
    def phase(self) -> Phase: ...
    @property
    def model(self) -> type[BaseModel]: ...
    @property
    def reply_model(self) -> type[BaseModel] | None: ...
    @property
    def is_external(self) -> bool: ...
    @property
    def timeout_ms(self) -> int | None: ...


class ParticipantLike(Protocol):
    """A service as its developers wrote it: its name, and its handlers by command type."""

    @property
    def name(self) -> str: ...
    @property
    def handlers(self) -> Mapping[str, HandlerLike]: ...


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where a saga and a participant do not fit.

    Attributes:
        verdict: `wrong` fails at run time; `unused` is code that nothing reaches; a `note` may be as it should.
        service: whose.
        command: its type on the wire; empty where it is about the whole service.
        steps: of which sagas, `booking v1 reserve_seat`.
        found: what was found.
        remedy: what to do.

    """

    verdict: Verdict
    service: str
    command: str
    steps: tuple[str, ...]
    found: str
    remedy: str

    def __str__(self) -> str:
        where = f" (sent by {', '.join(self.steps)})" if self.steps else ""
        return f"{self.subject}{where}: {self.found}; {self.remedy}"

    @property
    def subject(self) -> str:
        """What it is about: `seats`, or `seats.reserveSeat`."""
        return f"{self.service}.{self.command}" if self.command else self.service


@dataclass(frozen=True, slots=True)
class _Sent:
    """One command that steps send, and what they want in return; None where nobody reads the reply."""

    service: str
    command: str
    phase: Phase
    model: type[BaseModel]
    reply: type[BaseModel] | None


def compare(
    sagas: Iterable[Saga], participants: Iterable[ParticipantLike], *, handler_timeout_ms: int = HANDLER_TIMEOUT_MS
) -> list[Mismatch]:
    """Everything that does not fit, service by service.

    Args:
        sagas: every version that may run; a handler that only an old version needs is not unused.
        participants: those that are known here.
        handler_timeout_ms: how long a handler may take that says nothing else.

    """
    all_sagas = list(sagas)
    comparison = _Comparison(_sent_by(all_sagas), list(participants), _patience(all_sagas), handler_timeout_ms)
    return list(comparison.run())


def _sent_by(sagas: Iterable[Saga]) -> dict[_Sent, tuple[str, ...]]:
    """Every command of every saga once, with the steps that send it."""
    sent: dict[_Sent, tuple[str, ...]] = {}
    for saga in sagas:
        for step in saga.steps:
            where = f"{saga.saga_type} v{saga.version} {step.name}"
            commands = [_Sent(step.service, command_type(step.action), Phase.FORWARD, step.action, step.reply)]
            if (undo := step.compensation) is not None:
                commands.append(_Sent(step.service, command_type(undo), Phase.COMPENSATE, undo, None))
            for command in commands:
                if where not in sent.get(command, ()):
                    sent[command] = (*sent.get(command, ()), where)
    return sent


def _patience(sagas: Iterable[Saga]) -> dict[tuple[str, str], int]:
    """How long the least patient step waits for the reply to each (service, command)."""
    waits: dict[tuple[str, str], int] = {}
    for saga in sagas:
        for step in saga.steps:
            sent = [(step.action, step.timeout_ms)]
            if step.compensation is not None:
                sent.append((step.compensation, step.compensation_timeout_ms))
            for model, timeout_ms in sent:
                key = step.service, command_type(model)
                waits[key] = min(timeout_ms, waits.get(key, timeout_ms))
    return waits


class _Comparison:
    def __init__(
        self,
        sent: Mapping[_Sent, tuple[str, ...]],
        participants: Sequence[ParticipantLike],
        patience: Mapping[tuple[str, str], int],
        handler_timeout_ms: int,
    ) -> None:
        self._sent = sent
        self._patience = patience
        self._handler_timeout_ms = handler_timeout_ms
        self._services = sorted({command.service for command in sent})
        self._participants = participants
        self._explained: set[tuple[str, str]] = set()
        """Unused handlers and participants that another finding has named already."""

    def run(self) -> Iterator[Mismatch]:
        known: dict[str, ParticipantLike] = {}
        for participant in self._participants:
            if known.setdefault(participant.name, participant) is not participant:
                yield Mismatch(
                    "wrong", participant.name, "", (), "two participants have this name",
                    "a service is one participant: give the other handlers to it, or to a service of its own",
                )  # fmt: skip
        for service in self._services:
            commands = [command for command in self._sent if command.service == service]
            if service in known:
                for command in commands:
                    yield from self._of_command(command, known[service])
            else:
                yield self._of_absent(service, commands)
        for participant in known.values():
            yield from self._of_unused(participant)

    def _of_absent(self, service: str, commands: Sequence[_Sent]) -> Mismatch:
        """A service without a participant here: in another language, or a name that is misspelt."""
        steps = tuple(dict.fromkeys(step for command in commands for step in self._sent[command]))
        for participant in self._participants:
            handled = [command.command in participant.handlers for command in commands]
            is_free = participant.name not in self._services
            is_alike = _are_alike(participant.name, service)
            if (is_free and (is_alike or all(handled))) or (is_alike and any(handled)):
                self._explained.add((participant.name, ""))
                return Mismatch(
                    "wrong", service, "", steps, f"no participant is called '{service}', but one '{participant.name}'",
                    f"name them alike: service=\"{participant.name}\", or Participant('{service}')",
                )  # fmt: skip
        near = [other for other in self._services if other != service and _are_alike(other, service)]
        meant = f"if it is not '{near[0]}', misspelt: " if near else ""
        return Mismatch(
            "note", service, "", steps, "no participant of this name was given",
            f"{meant}give it, too (--participant), unless it is written in another language",
        )  # fmt: skip

    def _of_command(self, sent: _Sent, participant: ParticipantLike) -> Iterator[Mismatch]:
        handler = participant.handlers.get(sent.command)
        if handler is None:
            yield self._unhandled(sent, participant)
            return
        if handler.phase is not sent.phase:
            yield self._wrong(
                sent, f"it is sent as {_as(sent.phase)}, and registered with @{participant.name}.{_decorator(handler)}",
                f"register it with @{participant.name}.{_decorator_of(sent.phase)}({sent.model.__name__})",
            )  # fmt: skip
        yield from self._of_models(
            sent, f"what is sent is not the {handler.model.__name__} that the handler takes",
            differences(sent.model, handler.model),
        )  # fmt: skip
        if sent.reply is not None and sent.reply is not NoReply:
            answers = "nothing" if handler.reply_model is None else handler.reply_model.__name__
            yield from self._of_models(
                sent, f"the handler answers with {answers}, which is not the step's reply {sent.reply.__name__}",
                differences(handler.reply_model or NoReply, sent.reply),
            )  # fmt: skip

        yield from self._of_time(sent, handler)

    def _of_time(self, sent: _Sent, handler: HandlerLike) -> Iterator[Mismatch]:
        """A call to the outside may take longer: whichever attempt asks, its one outcome answers."""
        takes_ms = handler.timeout_ms or self._handler_timeout_ms
        waits_ms = self._patience[sent.service, sent.command]
        if takes_ms >= waits_ms and not handler.is_external:
            yield Mismatch(
                "note", sent.service, sent.command, self._sent[sent],
                f"its handler may take {takes_ms:,} ms, and the step waits {waits_ms:,} ms for the reply",
                "give the step more time, or the handler less: "
                f"@{sent.service}.{_decorator(handler)}({sent.model.__name__}, handler_timeout_ms=…)",
            )  # fmt: skip

    def _unhandled(self, sent: _Sent, participant: ParticipantLike) -> Mismatch:
        unsent = [name for name in participant.handlers if not self._is_sent(participant.name, name)]
        close = difflib.get_close_matches(sent.command, unsent, n=1, cutoff=SIMILARITY_MIN)
        others = [other.name for other in self._participants if sent.command in other.handlers]
        if close:
            self._explained.add((participant.name, close[0]))
            remedy = f"the handler of '{close[0]}', which no saga sends, may be meant: name the classes alike"
        elif others:
            remedy = f"'{others[0]}' has one: is the step's service the right one?"
        else:
            remedy = f"register one with @{participant.name}.{_decorator_of(sent.phase)}({sent.model.__name__})"
        return self._wrong(sent, f"nobody handles it: '{participant.name}' has no handler for it", remedy)

    def _of_models(self, sent: _Sent, what: str, found: Sequence[Difference]) -> Iterator[Mismatch]:
        if found:
            details = "; ".join(f"{item.field}: {item.what}" if item.field else item.what for item in found)
            if any(item.fails for item in found):
                yield self._wrong(sent, f"{what}: {details}", "make the fields alike, or use one class on both sides")
            else:
                yield Mismatch(
                    "note", sent.service, sent.command, self._sent[sent], f"{what}: {details}",
                    "it works as long as that is what you want",
                )  # fmt: skip

    def _of_unused(self, participant: ParticipantLike) -> Iterator[Mismatch]:
        if (participant.name, "") in self._explained:
            return
        if participant.name not in self._services:
            yield Mismatch(
                "unused", participant.name, "", (), "no saga sends anything to it",
                "give the modules of its sagas, too (--app), or leave it out",
            )  # fmt: skip
            return
        for name, handler in participant.handlers.items():
            if not self._is_sent(participant.name, name) and (participant.name, name) not in self._explained:
                where = "action=" if handler.phase is Phase.FORWARD else "compensation="
                yield Mismatch(
                    "unused", participant.name, name, (), "it has a handler, and no saga sends it",
                    f"say {where}{handler.model.__name__} in a step, or drop the handler",
                )  # fmt: skip

    def _is_sent(self, service: str, command: str) -> bool:
        return any((sent.service, sent.command) == (service, command) for sent in self._sent)

    def _wrong(self, sent: _Sent, found: str, remedy: str) -> Mismatch:
        return Mismatch("wrong", sent.service, sent.command, self._sent[sent], found, remedy)


def _are_alike(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one.replace("-", "_"), other.replace("-", "_")).ratio() >= SIMILARITY_MIN


def _as(phase: Phase) -> str:
    return "an action" if phase is Phase.FORWARD else "a compensation"


def _decorator_of(phase: Phase) -> str:
    return "action" if phase is Phase.FORWARD else "compensation"


def _decorator(handler: HandlerLike) -> str:
    return f"external_{_decorator_of(handler.phase)}" if handler.is_external else _decorator_of(handler.phase)
