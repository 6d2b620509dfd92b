"""The figures of the demo, counted in the databases of the orchestrator and of the three services."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka_saga.orchestrator.demo.orders import Order
from kafka_saga.runtime.postgres import PostgresUrl, connect
from kafka_saga.runtime.sqlite import open_reader

Ask = Callable[[str], Awaitable[Sequence[Any]]]
"""Runs a query; its rows."""

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
_STOCK_POSTGRES = """
SELECT (SELECT coalesce(sum(initial - available), 0) FROM stock),
       (SELECT coalesce(sum((item->>'quantity')::bigint), 0)
        FROM reservations, jsonb_array_elements(reservations.items::jsonb) AS item WHERE status = 'held')
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
    """Count everything in the databases of `directory`, where nothing else ran; compare with what must be."""
    states = await _saga_states(directory / "orchestrator.db")
    figures = _judge_states(orders, states)
    unasked = states.keys() - {order.order_id for order in orders}
    if unasked:
        figures.wrong.append(f"sagas that nobody asked for: {', '.join(sorted(unasked))}")
    return await _count_effects(figures, {service: directory / f"{service}.db" for service in _EFFECTS}, states)


async def count_these(
    orders: Sequence[Order], states: Mapping[str, str], databases: Mapping[str, Path | PostgresUrl]
) -> Figures:
    """Count what these orders did in the services' databases, where others may run, too; compare with what must be.

    Args:
        orders: all that were asked for.
        states: of their sagas, as the store has them.
        databases: of the three services.

    """
    return await _count_effects(_judge_states(orders, states), databases, states)


def _judge_states(orders: Sequence[Order], states: Mapping[str, str]) -> Figures:
    figures = Figures(len(orders))
    figures.states.update(states.values())
    for order in orders:
        if states.get(order.order_id) not in {"COMPLETED", "COMPENSATED", "PARKED"}:
            figures.lost += 1
        elif states[order.order_id] != order.ends.value:
            figures.wrong.append(f"{order.order_id} is {states[order.order_id]}, not {order.ends.value}")
    return figures


async def _count_effects(
    figures: Figures, databases: Mapping[str, Path | PostgresUrl], states: Mapping[str, str]
) -> Figures:
    for service in _EFFECTS:
        async with _asking(databases[service]) as ask:
            await _count_service(figures, ask, service, states)
            await _check_books(figures, ask, service, on_postgres=isinstance(databases[service], PostgresUrl))
    for name in ("lost", "duplicates", "missing", "left_behind"):
        if getattr(figures, name):
            figures.wrong.append(f"{name.replace('_', ' ')}: {getattr(figures, name)}, not 0")
    return figures


async def _saga_states(store: Path) -> dict[str, str]:
    async with _asking(store) as ask:
        return {str(saga_id): str(state) for saga_id, state in await ask("SELECT saga_id, state FROM sagas")}


@asynccontextmanager
async def _asking(database: Path | PostgresUrl) -> AsyncIterator[Ask]:
    """A way to ask a database."""
    if isinstance(database, PostgresUrl):
        asked = await connect(database, application="saga demo")
        try:
            yield asked.fetch
        finally:
            await asked.close()
        return
    connection = await open_reader(database)
    try:
        yield connection.fetch_all
    finally:
        await connection.close()


async def _count_service(figures: Figures, ask: Ask, service: str, states: Mapping[str, str]) -> None:
    table, standing, undoings = _EFFECTS[service]
    everything = await ask(f"SELECT saga_id, step, status, {undoings} FROM {table}")  # noqa: S608 -- names of ours
    rows = [row for row in everything if row[0] in states]
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


async def _check_books(figures: Figures, ask: Ask, service: str, *, on_postgres: bool) -> None:
    """Stock that was taken is reserved, money that was taken is charged: to the piece and to the cent."""
    query = {"inventory": _STOCK_POSTGRES if on_postgres else _STOCK, "payment": _MONEY}.get(service)
    if query is None:
        return
    [(taken, accounted)] = await ask(query)
    if taken != accounted:
        figures.wrong.append(f"{service}: {taken} taken, but {accounted} accounted for")
