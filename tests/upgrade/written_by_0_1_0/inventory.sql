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
INSERT INTO "fence" VALUES('order','compensated','reserve_inventory','compensated',1,1,'{"outcome":"success","body":{"reservation_id":"res-compensated"}}','{"outcome":"success","body":{}}',NULL,1796049098231,1796049098280);
INSERT INTO "fence" VALUES('order','completed','reserve_inventory','done',1,0,'{"outcome":"success","body":{"reservation_id":"res-completed"}}',NULL,NULL,1796049098231,1796049098231);
INSERT INTO "fence" VALUES('order','parked','reserve_inventory','done',1,1,'{"outcome":"success","body":{"reservation_id":"res-parked"}}','{"outcome":"failure","reason":"rejected","body":{"error":"the parcel has left"}}',NULL,1796049098423,1796049098637);
INSERT INTO "fence" VALUES('order','paused','reserve_inventory','done',1,0,'{"outcome":"success","body":{"reservation_id":"res-paused"}}',NULL,NULL,1796049098780,1796049098780);
INSERT INTO "fence" VALUES('order','undoing','reserve_inventory','done',1,0,'{"outcome":"success","body":{"reservation_id":"res-undoing"}}',NULL,NULL,1796049107299,1796049107299);
INSERT INTO "fence" VALUES('order','retrying','reserve_inventory','done',1,0,'{"outcome":"success","body":{"reservation_id":"res-retrying"}}',NULL,NULL,1796049107761,1796049107761);
INSERT INTO "fence" VALUES('order','reply-unread','reserve_inventory','done',1,0,'{"outcome":"success","body":{"reservation_id":"res-reply-unread"}}',NULL,NULL,1796049108366,1796049108366);
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('store_id','2b4c838f1bfc59b9b359ac45b4a7ad86');
CREATE TABLE offsets (
    topic      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    next       INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
INSERT INTO "offsets" VALUES('upgrade.inventory.commands',1,4,1796049108366);
INSERT INTO "offsets" VALUES('upgrade.inventory.commands',2,3,1796049098780);
INSERT INTO "offsets" VALUES('upgrade.inventory.commands',3,2,1796049106033);
CREATE TABLE reservations (
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
INSERT INTO "reservations" VALUES('res-compensated','compensated','reserve_inventory','compensated','[{"sku":"lamp","quantity":1}]','released',1,1796049098231,1796049098280);
INSERT INTO "reservations" VALUES('res-completed','completed','reserve_inventory','completed','[{"sku":"lamp","quantity":1}]','held',0,1796049098231,1796049098231);
INSERT INTO "reservations" VALUES('res-parked','parked','reserve_inventory','parked','[{"sku":"lamp","quantity":1}]','held',0,1796049098423,1796049098423);
INSERT INTO "reservations" VALUES('res-paused','paused','reserve_inventory','paused','[{"sku":"lamp","quantity":1}]','held',0,1796049098780,1796049098780);
INSERT INTO "reservations" VALUES('res-undoing','undoing','reserve_inventory','undoing','[{"sku":"lamp","quantity":1}]','held',0,1796049107299,1796049107299);
INSERT INTO "reservations" VALUES('res-retrying','retrying','reserve_inventory','retrying','[{"sku":"lamp","quantity":1}]','held',0,1796049107761,1796049107761);
INSERT INTO "reservations" VALUES('res-reply-unread','reply-unread','reserve_inventory','reply-unread','[{"sku":"lamp","quantity":1}]','held',0,1796049108366,1796049108366);
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT);
INSERT INTO "schema_version" VALUES(1,'0001_fence.sql');
CREATE TABLE stock (
    sku       TEXT    NOT NULL PRIMARY KEY,
    initial   INTEGER NOT NULL CHECK (initial >= 0),
    available INTEGER NOT NULL CHECK (available >= 0 AND available <= initial)
) WITHOUT ROWID;
INSERT INTO "stock" VALUES('book',1000000000,1000000000);
INSERT INTO "stock" VALUES('chair',1000000000,1000000000);
INSERT INTO "stock" VALUES('desk',1000000000,1000000000);
INSERT INTO "stock" VALUES('lamp',1000000000,999999994);
INSERT INTO "stock" VALUES('rare-vase',1,1);
INSERT INTO "stock" VALUES('sku-1',1000000000,1000000000);
INSERT INTO "stock" VALUES('sku-2',1000000000,1000000000);
INSERT INTO "stock" VALUES('sku-3',1000000000,1000000000);
INSERT INTO "stock" VALUES('sold-out',0,0);
CREATE UNIQUE INDEX fence_key ON fence (saga_id, step, saga_type);
CREATE INDEX reservations_saga ON reservations (saga_id);
COMMIT;
