"""I9: what is there and what was taken add up to what there was, and nothing is held for a saga that has ended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from kafka_saga.schemas.ids import Phase
from tests.simulation.checkers.evidence import Evidence


def check(evidence: Evidence) -> Iterator[str]:
    held: Counter[str] = Counter()
    for saga_id, items in evidence.service(
        "inventory", "SELECT saga_id, items FROM reservations WHERE status = 'held'"
    ):
        for item in json.loads(items):
            held[item["sku"]] += item["quantity"]
        undone_by_hand = Phase.COMPENSATE in evidence.skipped.get((saga_id, "reserve_inventory"), ())
        if evidence.states[saga_id] == "COMPENSATED" and saga_id not in evidence.resolved and not undone_by_hand:
            yield f"I9: items are held for {saga_id}, which is compensated"
    for sku, initial, available in evidence.service("inventory", "SELECT sku, initial, available FROM stock"):
        if initial != available + held[sku] or available < 0:
            yield f"I9: {sku}: {available} there and {held[sku]} held are not {initial}"
    query = "SELECT customer_id, sum(amount) FROM charges WHERE status = 'charged' GROUP BY 1"
    charged = dict(evidence.service("payment", query))
    for customer, initial, balance in evidence.service("payment", "SELECT customer_id, initial, balance FROM accounts"):
        if initial != balance + charged.get(customer, 0) or balance < 0:
            yield f"I9: {customer}: {balance} left and {charged.get(customer, 0)} charged are not {initial}"
