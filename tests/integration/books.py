"""What really happened, counted in the participants' own tables and not in our log (I3, I4, I9)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg

from kafka_saga.schemas.codec import decode_trusted

NO_SERVER: Mapping[str, str] = MappingProxyType({})


class Books:
    """The databases of the shipped services, and the orchestrator's."""

    def __init__(self, data_dir: Path, urls: Mapping[str, str] = NO_SERVER) -> None:
        self._data_dir = data_dir
        self._urls = urls
        """Where a database is on a server, by its owner; the others are files."""

    def ask(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        if database in self._urls:
            with ThreadPoolExecutor(1) as other_loop:
                return other_loop.submit(asyncio.run, _ask_server(self._urls[database], sql)).result()
        with closing(sqlite3.connect(f"file:{self._data_dir / database}.db?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def log_counts(self) -> dict[str, int]:
        """How many rows of each status the step log has."""
        return dict(self.ask("orchestrator", "SELECT status, count(*) FROM step_log GROUP BY status"))

    def states(self) -> dict[str, str]:
        """Each saga's state, by its id."""
        return dict(self.ask("orchestrator", "SELECT saga_id, state FROM sagas"))

    def check(self, outcomes: Mapping[str, Mapping[str, Any]]) -> None:
        """Every effect at most once, sums conserved, and nothing outlives the saga that wanted it."""
        reservations = self.ask("inventory", "SELECT saga_id, status, releases, items FROM reservations")
        charges = self.ask("payment", "SELECT saga_id, status, refunds, amount, customer_id FROM charges")
        orders = self.ask("orders", "SELECT saga_id, status, cancellations FROM orders")
        for rows, undone in ((reservations, "released"), (charges, "refunded"), (orders, "cancelled")):
            twice = [saga_id for saga_id, count in Counter(row[0] for row in rows).items() if count > 1]
            assert twice == [], f"effects that happened twice (I3): {twice[:5]}"
            wrong = [row for row in rows if row[2] != (row[1] == undone)]
            assert wrong == [], f"undone not exactly once (I3): {wrong[:5]}"
        completed = {saga_id for saga_id, outcome in outcomes.items() if outcome["state"] == "COMPLETED"}
        assert {row[0] for row in reservations if row[1] == "held"} == completed
        assert {row[0] for row in charges if row[1] == "charged"} == completed
        assert {row[0] for row in orders if row[1] == "created"} == completed
        self._check_executed(outcomes, reservations, charges, orders)
        self._check_sums(reservations, charges)
        assert self.states() == {saga_id: outcome["state"] for saga_id, outcome in outcomes.items()}

    def _check_executed(self, outcomes: Mapping[str, Mapping[str, Any]], *tables: list[tuple[Any, ...]]) -> None:
        """What a saga says it did is what the tables say (I5, R9)."""
        really: dict[str, list[int]] = {saga_id: [] for saga_id in outcomes}
        for number, rows in enumerate(tables, 1):
            for row in rows:
                really[row[0]].append(number)
        for saga_id, outcome in outcomes.items():
            assert outcome["stepsExecuted"] == really[saga_id], outcome
            expected = really[saga_id][::-1] if outcome["state"] == "COMPENSATED" else []
            assert outcome["stepsCompensated"] == expected, outcome

    def _check_sums(self, reservations: list[tuple[Any, ...]], charges: list[tuple[Any, ...]]) -> None:
        held: Counter[str] = Counter()
        for _, status, _, items in reservations:
            if status == "held":
                for item in decode_trusted(items):
                    held[item["sku"]] += item["quantity"]
        for sku, initial, available in self.ask("inventory", "SELECT sku, initial, available FROM stock"):
            assert initial == available + held[sku], f"stock of {sku} is not conserved (I9)"
        taken: Counter[str] = Counter()
        for _, status, _, amount, customer in charges:
            taken[customer] += amount if status == "charged" else 0
        for customer, initial, balance in self.ask("payment", "SELECT customer_id, initial, balance FROM accounts"):
            assert initial == balance + taken[customer], f"the account of {customer} is not conserved (I9)"


async def _ask_server(url: str, sql: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url, server_settings={"search_path": "saga, public"})
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()
