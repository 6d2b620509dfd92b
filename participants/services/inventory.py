"""Inventory: sets items aside for an order, and puts them back."""

from __future__ import annotations

from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.outcomes import Rejected
from kafka_saga.participants.services.service import Seed, Service
from kafka_saga.participants.transaction import Transaction
from kafka_saga.runtime.sqlite import SqlConnection
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.orders import ItemsReserved, OrderItem, ReleaseItems, ReserveItems

inventory = Participant("inventory")


@inventory.action(ReserveItems)
async def reserve_items(command: ReserveItems, tx: Transaction) -> ItemsReserved:
    """Take the items out of stock.

    Raises:
        Rejected: there are not enough of one of them.

    """
    for item in command.items:
        taken = await tx.execute(
            "UPDATE stock SET available = available - ?1 WHERE sku = ?2 AND available >= ?1", (item.quantity, item.sku)
        )
        if not taken:
            await _reject(item, tx)
    reservation_id = f"res-{command.order_id}"
    items = encode([item.model_dump() for item in command.items]).decode()
    await tx.execute(
        "INSERT INTO reservations VALUES (?, ?, ?, ?, ?, 'held', 0, ?, ?)",
        (reservation_id, tx.saga_id, tx.step, command.order_id, items, tx.now_ms, tx.now_ms),
    )
    return ItemsReserved(reservation_id=reservation_id)


@inventory.compensation(ReleaseItems)
async def release_items(command: ReleaseItems, tx: Transaction) -> None:
    """Put the items back.

    Raises:
        Rejected: nothing is held for this step; a person changed the tables.

    """
    held = await tx.fetch_all(
        "UPDATE reservations SET status = 'released', releases = releases + 1, updated_at = ? "
        "WHERE saga_id = ? AND step = ? AND status = 'held' RETURNING items",
        (tx.now_ms, tx.saga_id, tx.step),
    )
    if not held:
        raise Rejected(f"no items are held for order {command.order_id}")
    for (items,) in held:
        for item in decode_trusted(items):
            await tx.execute(
                "UPDATE stock SET available = available + ? WHERE sku = ?", (item["quantity"], item["sku"])
            )


async def _reject(item: OrderItem, tx: Transaction) -> None:
    row = await tx.fetch_one("SELECT available FROM stock WHERE sku = ?", (item.sku,))
    if row is None:
        raise Rejected(f"out of stock: {item.sku} is not in the catalogue")
    raise Rejected(f"out of stock: {item.sku} ({item.quantity} wanted, {row[0]} left)")


async def _fill(connection: SqlConnection, seed: Seed) -> None:
    await connection.execute_many(
        "INSERT INTO stock VALUES (?1, ?2, ?2) ON CONFLICT DO NOTHING", list(seed.stock.items())
    )


SERVICE = Service(inventory, _fill)
