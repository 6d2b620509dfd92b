"""`saga trace`: the time line of one saga in the terminal, as wide as it is, with long waits folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.naming import meant
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SagaId, SagaType, SettingFlags
from kafka_saga.orchestrator.cli.output import clock, console, print_json, styled
from kafka_saga.orchestrator.cli.sagas import read
from kafka_saga.orchestrator.operations.sagas.folded_time import TimeScale, scaled
from kafka_saga.orchestrator.operations.sagas.headline import names_of
from kafka_saga.orchestrator.operations.sagas.telling import Told, tell
from kafka_saga.orchestrator.operations.sagas.timeline import Bar, Ending, Timeline, busy
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock, rfc3339
from kafka_saga.runtime.wording import duration, plain

GUTTER_MAX = 26
WIDTH_MIN = 48
"""Narrower than this nothing can be told apart: lines run over then."""

WIDTH_MAX = 240
"""A pipe has no width, and a wall of screens is no help."""

_FOLD = 9
_FLOOR = 3
_MARKS = {
    Ending.DONE: ("█", "green"),
    Ending.AGAIN: ("▒", "red"),
    Ending.FAILED: ("█", "red"),
    Ending.IN_DOUBT: ("░", "magenta"),
    Ending.UNDONE: ("█", "blue"),
    Ending.NOTHING: ("░", "blue"),
    Ending.PARKED: ("█", "bold yellow"),
    Ending.OPEN: ("▓", "cyan"),
    Ending.BACKOFF: ("·", "yellow"),
}


def trace(
    saga_id: SagaId,
    /,
    *,
    true_scale: Annotated[
        bool, Parameter(negative="", show_default=False, help="Draw every wait as long as it was")
    ] = False,
    saga_type: SagaType = None,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Show when each attempt of one saga ran, how it ended, and what was waited for, as a picture of its time.

    Each step has a line for its attempts and one for its undoing, which points back. Where nothing but waiting happens
    for long, time is folded, and its length stands above. What ran is in the same order as on the saga's page.

    Examples:
        saga trace order-123

        saga trace order-123 --true-scale

        saga trace order-123 -o json | jq '.bars[] | select(.ending == "again")'

    """
    settings = common.settings()
    now = SystemClock().now_ms()

    async def question(reader: StoreReader) -> Told:
        ref = await meant(reader, saga_id, saga_type)
        return await tell(reader, registry_of(settings), settings.topics, ref, now)

    told = read(settings, question)
    if output != "table":
        print_json(document(told))
        return
    out = console()
    saga = told.saga
    version = f"{saga.ref.saga_type} v{saga.definition_version}"
    took = duration(told.line.ended_at - told.line.began_at)
    out.print(
        Text.assemble((saga.ref.saga_id, "bold"), f"  {version}  ", styled(saga.state.value), f"  {took}"),
        soft_wrap=True,
    )
    out.print(Text(plain(told.headline.first)))
    out.print(Text(plain(told.headline.second), "dim"))
    for line in drawn(told, min(out.width, WIDTH_MAX), true_scale=true_scale):
        out.print(line, no_wrap=True, overflow="crop")


def document(told: Told) -> dict[str, Any]:
    """The time line for programs."""
    line = told.line
    return {
        "sagaId": told.saga.ref.saga_id,
        "sagaType": told.saga.ref.saga_type,
        "state": told.saga.state.value,
        "sentence": told.headline.first,
        "next": told.headline.second,
        "startedAt": rfc3339(line.began_at),
        "endedAt": None if line.lasts else rfc3339(line.ended_at),
        "backoffMs": line.backoff_ms,
        "bars": [
            {
                "step": bar.step,
                "phase": "compensate" if bar.back else "forward",
                "attempt": bar.attempt,
                "ending": bar.ending.value,
                "startedAt": rfc3339(bar.began_at),
                "endedAt": None if bar.ended_at is None else rfc3339(bar.ended_at),
                "durationMs": line.end_of(bar) - bar.began_at,
                "text": bar.said or None,
            }
            for bar in line.bars
        ],
    }


def drawn(told: Told, width: int, *, true_scale: bool = False) -> list[Text]:
    """The picture, a line of text each."""
    line, width = told.line, max(width, WIDTH_MIN)
    names = names_of(told.definition, told.saga, line.steps)
    labels = [f"{number} {name}" for number, name in enumerate(names, 1)]
    gutter = min(GUTTER_MAX, max(map(len, labels), default=0), width // 3) + 2
    scale = scaled(
        busy(line),
        line.began_at,
        line.ended_at,
        left=gutter,
        room=width - gutter - 1,
        fold_width=_FOLD,
        floor=_FLOOR,
        fold=not true_scale,
    )
    if not line.bars:
        return [Text(f"nothing has been sent since {clock(line.began_at)}", "dim")]
    lines = [_axis(line, scale, width)]
    for name, label in zip(names, labels, strict=True):
        lines += _step(line, name, label, scale, width)
    return lines


@dataclass(slots=True)
class _Canvas:
    """One line of characters, each with its style."""

    width: int
    cells: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cells = [(" ", "")] * self.width

    def put(self, column: int, text: str, style: str = "") -> None:
        """Write `text`; what does not fit is dropped."""
        for place, char in enumerate(text, column):
            if 0 <= place < self.width:
                self.cells[place] = (char, style)

    def free(self, column: int, length: int) -> bool:
        """Whether nothing but waits and folds stands there."""
        if column < 0 or column + length > self.width:
            return False
        return all(char in " ·╎" for char, _ in self.cells[column : column + length])

    def line(self) -> Text:
        """What was drawn, without blanks at the end."""
        text = Text()
        for char, style in self.cells:
            text.append(char, style)
        text.rstrip()
        return text


def _axis(line: Timeline, scale: TimeScale, width: int) -> Text:
    """When stretches of work began, and how long what is folded lasted."""
    canvas = _Canvas(width)
    for piece in scale.pieces:
        column, since = int(piece.left), piece.began_at - line.began_at
        if piece.folded:
            said = f"~{duration(piece.length_ms)}~"
            canvas.put(column + max(0, (_FOLD - len(said)) // 2), said[:_FOLD], "dim")
            continue
        said = "0" if since <= 0 else f"+{duration(since)}"
        if piece.width > len(said) and canvas.free(column, len(said) + 1):
            canvas.put(column, said, "dim")
    end = f"+{duration(line.ended_at - line.began_at)}"
    if canvas.free(width - len(end) - 1, len(end) + 1):
        canvas.put(width - len(end), end, "dim")
    return canvas.line()


def _step(line: Timeline, name: str, label: str, scale: TimeScale, width: int) -> list[Text]:
    """The lines of one step: its attempts, and its undoing where there was any."""
    bars = [bar for bar in line.bars if bar.step == name]
    lines = []
    for back in (False, True):
        canvas = _Canvas(width)
        lane = [bar for bar in bars if bar.back is back]
        if back and not lane:
            continue
        if not back:
            left = int(scale.pieces[0].left) - 2
            canvas.put(0, label if len(label) <= left else f"{label[: left - 1]}…", "bold")
        for fold in scale.folds:
            canvas.put(int(fold.left + fold.width / 2), "╎", "dim")
        for bar in lane:
            _bar(canvas, bar, scale, line)
        _words(canvas, lane, scale, line)
        lines.append(canvas.line())
    return lines


def _bar(canvas: _Canvas, bar: Bar, scale: TimeScale, line: Timeline) -> None:
    first, last = _columns(bar, scale, line)
    mark, style = _MARKS[bar.ending]
    canvas.put(first, mark * (last - first), style)
    if bar.back and not bar.is_wait:
        canvas.put(first, "◀", style)
    if bar.ending is Ending.AGAIN:
        if last - first > 2 and not bar.back:
            canvas.put(first, str(bar.attempt), f"{style} reverse")
        canvas.put(last - 1, "✗", style)


def _columns(bar: Bar, scale: TimeScale, line: Timeline) -> tuple[int, int]:
    first = int(scale.position(bar.began_at))
    return first, max(first + 1, int(scale.position(line.end_of(bar))))


def _words(canvas: _Canvas, lane: Sequence[Bar], scale: TimeScale, line: Timeline) -> None:
    """Beside each bar that ended something, how: right of it where there is room, else left."""
    for bar in lane:
        if bar.is_wait or bar.ending is Ending.AGAIN:
            continue
        first, last = _columns(bar, scale, line)
        length = duration(line.end_of(bar) - bar.began_at)
        failed = f"{bar.attempt}, gives up" if bar.attempt > 1 else "refused"
        words = failed if bar.ending is Ending.FAILED else bar.ending.value
        for said in (f"{words}, {length}", words):
            if canvas.free(last + 1, len(said)):
                canvas.put(last + 1, said, "dim")
                break
            if canvas.free(first - 1 - len(said), len(said)) and first - 1 - len(said) >= scale.pieces[0].left:
                canvas.put(first - 1 - len(said), said, "dim")
                break
