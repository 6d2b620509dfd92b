"""Time laid onto a line of some width, with the long waits in it folded: seven seconds of backoff beside 16 ms of work.

The same for pixels and for a terminal's columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FOLDED_FROM_MS = 300
"""A wait that is shorter is drawn as long as it is."""

FOLDS_MAX = 8
"""More strips than that would leave no room for the work between them: then only the longest waits are folded."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time and where it lies; `folded` where nothing but waiting happens in it."""

    began_at: int
    ended_at: int
    left: float
    width: float
    folded: bool = False

    @property
    def length_ms(self) -> int:
        """How long it is."""
        return self.ended_at - self.began_at


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Where each moment lies."""

    pieces: tuple[Piece, ...]

    @property
    def folds(self) -> list[Piece]:
        """The folded ones."""
        return [piece for piece in self.pieces if piece.folded]

    @property
    def folded_ms(self) -> int:
        """How much time is folded away."""
        return sum(piece.length_ms for piece in self.folds)

    def position(self, at: int) -> float:
        """Where `at` lies; a moment outside lies at the nearer end."""
        for piece in self.pieces:
            if at <= piece.ended_at:
                inside = max(0, at - piece.began_at) / max(1, piece.length_ms)
                return piece.left + piece.width * min(1.0, inside)
        last = self.pieces[-1]
        return last.left + last.width


def scaled(
    busy: Iterable[tuple[int, int]],
    began_at: int,
    ended_at: int,
    *,
    left: float,
    room: float,
    fold_width: float,
    floor: float,
    fold: bool = True,
) -> TimeScale:
    """Lay the time from `began_at` to `ended_at` onto `room`.

    Args:
        busy: when something happens; elsewhere it is only waited.
        began_at: where the whole of it begins, milliseconds.
        ended_at: where it ends.
        left: where it begins.
        room: how wide it may be.
        fold_width: of a folded wait.
        floor: what every piece of work gets at least, however short it is.
        fold: False draws everything as long as it is.

    """
    stretches = _stretches(busy, began_at, ended_at, fold=fold)
    works = [stretch for stretch in stretches if not stretch[2]]
    folds = len(stretches) - len(works)
    least = floor if folds else 0.0
    free = room - folds * fold_width - least * len(works)
    if free < 0:  # narrow: floors give way first
        least, free = 0.0, max(1.0, room - folds * fold_width)
    total = sum(max(1, end - begin) for begin, end, _ in works)
    pieces, x = [], left
    for begin, end, is_fold in stretches:
        width = fold_width if is_fold else least + free * max(1, end - begin) / total
        pieces.append(Piece(begin, end, x, width, is_fold))
        x += width
    return TimeScale(tuple(pieces))


def _stretches(busy: Iterable[tuple[int, int]], first: int, last: int, *, fold: bool) -> list[tuple[int, int, bool]]:
    """The time cut into work and long waits, which alternate."""
    if not fold:
        return [(first, max(first, last), False)]
    gaps = _gaps(sorted(busy), first, last)
    longest = sorted(gaps, key=lambda gap: gap[0] - gap[1])[:FOLDS_MAX]
    cut: list[tuple[int, int, bool]] = []
    at = first
    for begin, end in sorted(longest):
        cut += [(at, begin, False), (begin, end, True)]
        at = end
    cut.append((at, max(at, last), False))
    if len(cut) > 1 and cut[-1][0] == cut[-1][1]:  # it ends waiting
        cut.pop()
    return cut


def _gaps(busy: Sequence[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    gaps, at = [], first
    for begin, end in (*busy, (last, last)):
        if begin - at > FOLDED_FROM_MS:
            gaps.append((at, begin))
        at = max(at, end)
    return gaps
