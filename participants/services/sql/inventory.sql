-- Stock and what is set aside of it. initial = available + what is held, for each sku, always.
CREATE TABLE IF NOT EXISTS stock (
    sku       TEXT    NOT NULL PRIMARY KEY,
    initial   INTEGER NOT NULL CHECK (initial >= 0),
    available INTEGER NOT NULL CHECK (available >= 0 AND available <= initial)
) WITHOUT ROWID;

-- One row for each time that items were set aside. That there is only one per order is the guard's doing: nothing
-- here prevents a second, so that tests can count effects instead of trusting a constraint.
CREATE TABLE IF NOT EXISTS reservations (
    reservation_id TEXT    NOT NULL,
    saga_id        TEXT    NOT NULL,
    step           TEXT    NOT NULL,
    order_id       TEXT    NOT NULL,
    items          TEXT    NOT NULL, -- JSON: [{"sku": …, "quantity": …}, …]
    status         TEXT    NOT NULL CHECK (status IN ('held', 'released')),
    releases       INTEGER NOT NULL, -- how often the items were put back
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS reservations_saga ON reservations (saga_id);
