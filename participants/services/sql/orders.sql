-- The orders that were written. Nothing here prevents a second row for an order: see reservations in inventory.sql.
CREATE TABLE IF NOT EXISTS orders (
    number         INTEGER PRIMARY KEY, -- the order number is made from it
    saga_id        TEXT    NOT NULL,
    step           TEXT    NOT NULL,
    order_id       TEXT    NOT NULL,
    customer_id    TEXT    NOT NULL,
    items          TEXT    NOT NULL, -- JSON
    amount         INTEGER NOT NULL CHECK (amount > 0), -- minor units
    currency       TEXT    NOT NULL,
    reservation_id TEXT    NOT NULL,
    charge_id      TEXT    NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('created', 'cancelled')),
    cancellations  INTEGER NOT NULL, -- how often it was struck out
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_saga ON orders (saga_id);
