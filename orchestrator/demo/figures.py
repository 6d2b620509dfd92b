"""The figures of the demo, counted in the databases of the orchestrator and of the three services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kafka_saga.orchestrator.demo.orders import Order
from kafka_saga.runtime.sqlite import SqlConnection, open_reader

# Per service: the table of its effects, the status of an effect that stands, and how often a row was undone.
_EFFECTS = {
    "inventory": ("reservations", "held", "releases"),
    "payment": ("charges", "charged", "refunds"),
    "orders": ("orders", "created", "cancellations"),
}

# What stands in the books against what the rows of effects add up to.
_STOCK = """
SELECT (SELECT coalesce(sum(initial - available), 0) FROM stock),
       (SELECT coalesce(sum(json_extract(item.value, '$.quantity')), 0)
        FROM reservations, json_each(reservations.items) AS item WHERE status = 'held')
"""
_MONEY = """
SELECT (SELECT coalesce(sum(initial - balance), 0) FROM accounts),
       (SELECT coalesce(sum(amount), 0) FROM charges WHERE status = 'charged')
"""


@dataclass(slots=True)
class Figures:
    """What was counted; `wrong` says what should be otherwise."""

    orders: int
    states: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    """Orders that were published and have no saga that came to an end."""
    duplicates: int = 0
    """Effects beyond the one that each step of each order may have, and undoings beyond one."""
    missing: int = 0
    """Effects that a completed order should have and has not."""
    left_behind: int = 0
    """Effects of compensated orders that still stand."""
    effects: Counter[str] = field(default_factory=Counter)
    """Rows in each service's table."""
    undone: int = 0
    wrong: list[str] = field(default_factory=list)


async def count(directory: Path, orders: Sequence[Order]) -> Figures:
    """Count everything in the databases of `directory`, and compare it with what must be."""
    figures = Figures(len(orders))
    states = await _saga_states(directory / "orchestrator.db")
    figures.states.update(states.values())
    for order in orders:
        if states.get(order.order_id) not in {"COMPLETED", "COMPENSATED", "PARKED"}:
            figures.lost += 1
        elif states[order.order_id] != order.ends.value:
            figures.wrong.append(f"{order.order_id} is {states[order.order_id]}, not {order.ends.value}")
    unasked = states.keys() - {order.order_id for order in orders}
    if unasked:
        figures.wrong.append(f"sagas that nobody asked for: {', '.join(sorted(unasked))}")
    for service in _EFFECTS:
        await _count_service(figures, directory / f"{service}.db", service, states)
    for name in ("lost", "duplicates", "missing", "left_behind"):
        if getattr(figures, name):
            figures.wrong.append(f"{name.replace('_', ' ')}: {getattr(figures, name)}, not 0")
    return figures


async def _saga_states(store: Path) -> dict[str, str]:
    connection = await open_reader(store)
    try:
        return dict(await connection.fetch_all("SELECT saga_id, state FROM sagas"))
    finally:
        await connection.close()


async def _count_service(figures: Figures, database: Path, service: str, states: dict[str, str]) -> None:
    table, standing, undoings = _EFFECTS[service]
    connection = await open_reader(database)
    try:
        rows = await connection.fetch_all(f"SELECT saga_id, step, status, {undoings} FROM {table}")  # noqa: S608 -- names of ours
        await _check_books(figures, connection, service)
    finally:
        await connection.close()
    figures.effects[service] = len(rows)
    figures.undone += sum(times for *_, times in rows)
    figures.duplicates += _beyond_one((saga_id, step) for saga_id, step, *_ in rows)
    figures.duplicates += sum(max(0, times - 1) for *_, times in rows)
    stands = {saga_id for saga_id, _, status, _ in rows if status == standing}
    completed = {saga_id for saga_id, state in states.items() if state == "COMPLETED"}
    figures.missing += len(completed - stands)
    figures.left_behind += len(stands - completed)


def _beyond_one(things: Iterable[object]) -> int:
    return sum(times - 1 for times in Counter(things).values())


async def _check_books(figures: Figures, connection: SqlConnection, service: str) -> None:
    """Stock that was taken is reserved, money that was taken is charged: to the piece and to the cent."""
    query = {"inventory": _STOCK, "payment": _MONEY}.get(service)
    if query is None:
        return
    [(taken, accounted)] = await connection.fetch_all(query)
    if taken != accounted:
        figures.wrong.append(f"{service}: {taken} taken, but {accounted} accounted for")
