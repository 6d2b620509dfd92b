-- Customers' accounts and what was taken from them. initial = balance + what is charged, for each account, always.
CREATE TABLE IF NOT EXISTS accounts (
    customer_id TEXT    NOT NULL PRIMARY KEY,
    currency    TEXT    NOT NULL,
    initial     INTEGER NOT NULL CHECK (initial >= 0), -- minor units, as all amounts here
    balance     INTEGER NOT NULL CHECK (balance >= 0 AND balance <= initial)
) WITHOUT ROWID;

-- One row for each charge. Nothing here prevents a second one for an order: see reservations in inventory.sql.
CREATE TABLE IF NOT EXISTS charges (
    charge_id   TEXT    NOT NULL,
    saga_id     TEXT    NOT NULL,
    step        TEXT    NOT NULL,
    order_id    TEXT    NOT NULL,
    customer_id TEXT    NOT NULL,
    amount      INTEGER NOT NULL CHECK (amount > 0),
    currency    TEXT    NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('charged', 'refunded')),
    refunds     INTEGER NOT NULL, -- how often the amount was given back
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS charges_saga ON charges (saga_id);
