"""The shop's three services as a team with SQLAlchemy writes them: mapped classes and an `AsyncSession`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Identity, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from kafka_saga import CommandContext, Participant, Rejected
from kafka_saga.participants.services import read_seed
from kafka_saga.schemas.orders import (
    CancelOrder,
    ChargePayment,
    CreateOrder,
    ItemsReserved,
    OrderCreated,
    PaymentCharged,
    RefundPayment,
    ReleaseItems,
    ReserveItems,
)

inventory, payment, orders = Participant("inventory"), Participant("payment"), Participant("orders")


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger}  # noqa: RUF012 -- SQLAlchemy's own form


class Stock(Base):
    __tablename__ = "stock"
    sku: Mapped[str] = mapped_column(primary_key=True)
    available: Mapped[int]


class Reservation(Base):
    __tablename__ = "reservations"
    reservation_id: Mapped[str] = mapped_column(primary_key=True)
    saga_id: Mapped[str] = mapped_column(index=True)
    step: Mapped[str]
    items: Mapped[str]
    status: Mapped[str]


class Account(Base):
    __tablename__ = "accounts"
    customer_id: Mapped[str] = mapped_column(primary_key=True)
    balance: Mapped[int]


class Charge(Base):
    __tablename__ = "charges"
    charge_id: Mapped[str] = mapped_column(primary_key=True)
    saga_id: Mapped[str] = mapped_column(index=True)
    step: Mapped[str]
    customer_id: Mapped[str]
    amount: Mapped[int]
    status: Mapped[str]


class Order(Base):
    __tablename__ = "orders"
    number: Mapped[int] = mapped_column(Identity(), primary_key=True)
    order_id: Mapped[str] = mapped_column(index=True)
    customer_id: Mapped[str]
    amount: Mapped[int]
    status: Mapped[str]


async def prepare(connection: AsyncConnection) -> None:
    await connection.run_sync(Base.metadata.create_all)
    seed = read_seed()
    accounts = [{"customer_id": account.customer_id, "balance": account.balance} for account in seed.accounts]
    await connection.execute(
        insert(Stock).on_conflict_do_nothing(), [{"sku": sku, "available": count} for sku, count in seed.stock.items()]
    )
    await connection.execute(insert(Account).on_conflict_do_nothing(), accounts)


@inventory.action(ReserveItems)
async def reserve(command: ReserveItems, session: AsyncSession, context: CommandContext) -> ItemsReserved:
    for item in command.items:
        enough = update(Stock).where(Stock.sku == item.sku, Stock.available >= item.quantity)
        await _change(session, enough.values(available=Stock.available - item.quantity), f"out of stock: {item.sku}")
    reservation_id = f"res-{command.order_id}"
    session.add(
        Reservation(
            reservation_id=reservation_id,
            saga_id=context.saga_id,
            step=context.step,
            items=",".join(f"{item.sku}:{item.quantity}" for item in command.items),
            status="held",
        )
    )
    return ItemsReserved(reservation_id=reservation_id)


@inventory.compensation(ReleaseItems)
async def release(command: ReleaseItems, session: AsyncSession, context: CommandContext) -> None:
    held = update(Reservation).where(Reservation.saga_id == context.saga_id, Reservation.status == "held")
    items = await session.scalar(held.values(status="released").returning(Reservation.items))
    if items is None:
        raise Rejected(f"no items are held for order {command.order_id}")
    for item in items.split(","):
        sku, _, quantity = item.partition(":")
        await session.execute(update(Stock).where(Stock.sku == sku).values(available=Stock.available + int(quantity)))


@payment.action(ChargePayment)
async def charge(command: ChargePayment, session: AsyncSession, context: CommandContext) -> PaymentCharged:
    enough = update(Account).where(Account.customer_id == command.customer_id, Account.balance >= command.amount)
    await _change(session, enough.values(balance=Account.balance - command.amount), "card declined")
    charge_id = f"ch-{command.order_id}"
    session.add(
        Charge(
            charge_id=charge_id,
            saga_id=context.saga_id,
            step=context.step,
            customer_id=command.customer_id,
            amount=command.amount,
            status="charged",
        )
    )
    return PaymentCharged(charge_id=charge_id)


@payment.compensation(RefundPayment)
async def refund(command: RefundPayment, session: AsyncSession, context: CommandContext) -> None:
    charged = update(Charge).where(Charge.saga_id == context.saga_id, Charge.status == "charged")
    row = (
        await session.execute(charged.values(status="refunded").returning(Charge.customer_id, Charge.amount))
    ).one_or_none()
    if row is None:
        raise Rejected(f"nothing is charged for order {command.order_id}")
    await session.execute(
        update(Account).where(Account.customer_id == row.customer_id).values(balance=Account.balance + row.amount)
    )


@orders.action(CreateOrder)
async def create(command: CreateOrder, session: AsyncSession) -> OrderCreated:
    order = Order(order_id=command.order_id, customer_id=command.customer_id, amount=command.amount, status="created")
    session.add(order)
    await session.flush()
    return OrderCreated(order_number=f"ORD-{order.number:06d}")


@orders.compensation(CancelOrder)
async def cancel(command: CancelOrder, session: AsyncSession) -> None:
    created = update(Order).where(Order.order_id == command.order_id, Order.status == "created")
    await _change(session, created.values(status="cancelled"), f"there is no order {command.order_id} to cancel")


async def _change(session: AsyncSession, change: Any, otherwise: str) -> None:
    result: Any = await session.execute(change.execution_options(synchronize_session=False))
    if not result.rowcount:
        raise Rejected(otherwise)
