PRAGMA application_id = 0;
PRAGMA user_version = 0;
BEGIN TRANSACTION;
CREATE TABLE fence (
    saga_type          TEXT    NOT NULL,
    saga_id            TEXT    NOT NULL,
    step               TEXT    NOT NULL,
    status             TEXT    NOT NULL CHECK (status IN ('started', 'done', 'failed', 'cancelled', 'compensated')),
    action_epoch       INTEGER NOT NULL, -- 0: the action never came
    compensation_epoch INTEGER NOT NULL, -- 0: no compensation came
    action_reply       TEXT,             -- JSON: outcome, effect, reason, body; sent again to duplicates
    compensation_reply TEXT,
    call               TEXT,             -- JSON: the command of an external call that is not settled
    started_at         INTEGER NOT NULL, -- milliseconds since 1970
    updated_at         INTEGER NOT NULL,
    CHECK ((status = 'started') = (call IS NOT NULL)),
    CHECK (status <> 'done' OR action_reply IS NOT NULL)
);
INSERT INTO "fence" VALUES('order','completed','create_order','done',1,0,'{"outcome":"success","body":{"order_number":"ORD-000001"}}',NULL,NULL,1796049098286,1796049098286);
INSERT INTO "fence" VALUES('order','parked','create_order','failed',1,0,'{"outcome":"failure","reason":"rejected","body":{"error":"closed"}}',NULL,NULL,1796049098520,1796049098520);
INSERT INTO "fence" VALUES('order','undoing','create_order','failed',1,0,'{"outcome":"failure","reason":"rejected","body":{"error":"closed"}}',NULL,NULL,1796049107571,1796049107571);
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('store_id','db156ca0f3794f1f57a5363a1ca406d4');
CREATE TABLE offsets (
    topic      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    next       INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
INSERT INTO "offsets" VALUES('upgrade.orders.commands',1,3,1796049110247);
INSERT INTO "offsets" VALUES('upgrade.orders.commands',2,2,1796049099562);
CREATE TABLE orders (
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
INSERT INTO "orders" VALUES(1,'completed','create_order','completed','alice','[{"sku":"lamp","quantity":1}]',4990,'EUR','res-completed','ch-completed','created',0,1796049098286,1796049098286);
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT);
INSERT INTO "schema_version" VALUES(1,'0001_fence.sql');
CREATE UNIQUE INDEX fence_key ON fence (saga_id, step, saga_type);
CREATE INDEX orders_saga ON orders (saga_id);
COMMIT;
