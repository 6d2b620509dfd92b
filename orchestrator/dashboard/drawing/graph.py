"""What a drawing of steps is made from: a graph. Steps are a chain today, and will not stay one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

SETTLED_UNDOS = frozenset({"COMPENSATED", "NOTHING_TO_UNDO"})
ITEMS_SHOWN_MAX = 8
"""More items of a fan-out are counted by status instead of drawn."""

Counts = tuple[tuple[str, int], ...]
"""How many sagas are at a step, by the status that each has there."""


@dataclass(frozen=True, slots=True)
class Undo:
    """The way back of one step.

    Attributes:
        name: the command that undoes it.
        status: how it stands; `WAITS` where its turn has not come.
        text: what stands beside the status, `sub` below it.
        items: the statuses of a fan-out's items.
        counts: of a step of many sagas; None of one saga's.
        drawn_as: the status whose shape and colour it has, where its own is none.

    """

    name: str
    status: str
    text: str = ""
    sub: str = ""
    items: tuple[str, ...] = ()
    counts: Counts | None = None
    drawn_as: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One step.

    Attributes:
        name: what edges call it.
        label: what is written, `1 reserve_inventory`.
        status: how it stands, any text.
        text: what stands beside the status, `sub` below it.
        href: where it leads.
        items: the statuses of a fan-out's items.
        pivot: the point of no return lies before it.
        counts: of a step of many sagas; None of one saga's.
        drawn_as: the status whose shape and colour it has, where its own is none.

    """

    name: str
    label: str
    status: str
    text: str = ""
    sub: str = ""
    href: str = ""
    undo_href: str = ""
    items: tuple[str, ...] = ()
    undo: Undo | None = None
    pivot: bool = False
    counts: Counts | None = None
    drawn_as: str = ""

    @property
    def begun(self) -> bool:
        """Whether its command was sent, as far as the picture knows."""
        return self.status not in ("PENDING", "SKIPPED", "")


@dataclass(frozen=True, slots=True)
class Terminus:
    """Where the picture begins or ends: a bold word, a line below it, and a status for its shape and colour."""

    word: str
    sub: str = ""
    css: str = "pending"
    icon: str = "pending"


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps and what follows on what.

    Attributes:
        nodes: in the order in which they are numbered.
        edges: pairs of names; they must not form a circle.
        end: where the way back ends; where nothing has one, the way out.
        turned_at: the step whose failure turned the saga back.
        done: where the way out ends beside a way back; None where it was left.

    """

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    start: Terminus = field(default_factory=lambda: Terminus("Request"))
    end: Terminus = field(default_factory=lambda: Terminus("End"))
    turned_at: str | None = None
    done: Terminus | None = None

    @property
    def has_way_back(self) -> bool:
        """Whether a lane for the way back is needed."""
        return any(node.undo is not None for node in self.nodes)

    @property
    def way_out_ends(self) -> Terminus | None:
        """Where the way out ends, if that is drawn."""
        return self.done if self.has_way_back else self.end


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Column and row of every node, by its position in the graph, and its neighbours."""

    column: tuple[int, ...]
    row: tuple[int, ...]
    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]

    @property
    def columns(self) -> int:
        """How many there are."""
        return max(self.column, default=-1) + 1

    @property
    def rows(self) -> int:
        """How many there are."""
        return max(self.row, default=-1) + 1


def arrange(graph: Graph) -> Arrangement:
    """Place every node: its column is the longest way from the start, its row that of the first one before it, if free.

    An edge over several columns keeps its row free in between.
    """
    place = {node.name: number for number, node in enumerate(graph.nodes)}
    before: list[list[int]] = [[] for _ in graph.nodes]
    after: list[list[int]] = [[] for _ in graph.nodes]
    for first, then in dict.fromkeys(graph.edges):
        if first in place and then in place:
            before[place[then]].append(place[first])
            after[place[first]].append(place[then])
    column = _columns(before, after)
    row = _rows(column, before, after)
    return Arrangement(tuple(column), tuple(row), tuple(map(tuple, before)), tuple(map(tuple, after)))


def _columns(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> list[int]:
    """The longest way from the start; what a circle holds back, which no definition has, stays at the start."""
    column, waits = [0] * len(before), [len(some) for some in before]
    ready = deque(number for number, count in enumerate(waits) if count == 0)
    while ready:
        number = ready.popleft()
        for later in after[number]:
            column[later] = max(column[later], column[number] + 1)
            waits[later] -= 1
            if waits[later] == 0:
                ready.append(later)
    return column


def _rows(column: Sequence[int], before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> list[int]:
    row = [0] * len(column)
    taken: set[tuple[int, int]] = set()
    for number in sorted(range(len(column)), key=lambda one: (column[one], one)):
        wanted = min((row[one] for one in before[number] if column[one] < column[number]), default=0)
        while (column[number], wanted) in taken:
            wanted += 1
        row[number] = wanted
        furthest = max((column[one] for one in after[number]), default=column[number])
        taken.update((place, wanted) for place in range(column[number], max(furthest, column[number] + 1)))
    return row


def later_undos(graph: Graph, arranged: Arrangement, number: int) -> list[int]:
    """The undos that must be settled before that of `number`: of the steps after it, through steps without one."""
    found: dict[int, None] = {}
    todo, seen = list(arranged.after[number]), set()
    while todo:
        one = todo.pop(0)
        if one in seen:
            continue
        seen.add(one)
        if graph.nodes[one].undo is not None:
            found[one] = None
        else:
            todo += arranged.after[one]
    return list(found)


def is_first_undo(graph: Graph, arranged: Arrangement, number: int) -> bool:
    """Whether no undo waits for this one: with it the way back ends."""
    todo, seen = list(arranged.before[number]), set()
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        if graph.nodes[one].undo is not None:
            return False
        todo += arranged.before[one]
    return True
