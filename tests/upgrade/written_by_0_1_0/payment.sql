PRAGMA application_id = 0;
PRAGMA user_version = 0;
BEGIN TRANSACTION;
CREATE TABLE accounts (
    customer_id TEXT    NOT NULL PRIMARY KEY,
    currency    TEXT    NOT NULL,
    initial     INTEGER NOT NULL CHECK (initial >= 0), -- minor units, as all amounts here
    balance     INTEGER NOT NULL CHECK (balance >= 0 AND balance <= initial)
) WITHOUT ROWID;
INSERT INTO "accounts" VALUES('alice','EUR',1000000000000,999999985030);
INSERT INTO "accounts" VALUES('bob','EUR',1000000000000,1000000000000);
INSERT INTO "accounts" VALUES('broke','EUR',0,0);
INSERT INTO "accounts" VALUES('c-1','EUR',1000000000000,1000000000000);
INSERT INTO "accounts" VALUES('c-2','EUR',1000000000000,1000000000000);
INSERT INTO "accounts" VALUES('c-3','USD',1000000000000,1000000000000);
INSERT INTO "accounts" VALUES('carol','USD',1000000000000,1000000000000);
CREATE TABLE charges (
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
INSERT INTO "charges" VALUES('ch-completed','completed','process_payment','completed','alice',4990,'EUR','charged',0,1796049098255,1796049098255);
INSERT INTO "charges" VALUES('ch-parked','parked','process_payment','parked','alice',4990,'EUR','refunded',1,1796049098474,1796049098581);
INSERT INTO "charges" VALUES('ch-undoing','undoing','process_payment','undoing','alice',4990,'EUR','refunded',1,1796049107450,1796049107687);
INSERT INTO "charges" VALUES('ch-retrying','retrying','process_payment','retrying','alice',4990,'EUR','charged',0,1796049107858,1796049107858);
INSERT INTO "charges" VALUES('ch-reply-unread','reply-unread','process_payment','reply-unread','alice',4990,'EUR','charged',0,1796049116838,1796049116838);
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
INSERT INTO "fence" VALUES('order','completed','process_payment','done',1,0,'{"outcome":"success","body":{"charge_id":"ch-completed"}}',NULL,NULL,1796049098255,1796049098255);
INSERT INTO "fence" VALUES('order','compensated','process_payment','failed',1,0,'{"outcome":"failure","reason":"rejected","body":{"error":"card declined: the balance is too low"}}',NULL,NULL,1796049098255,1796049098255);
INSERT INTO "fence" VALUES('order','parked','process_payment','compensated',1,1,'{"outcome":"success","body":{"charge_id":"ch-parked"}}','{"outcome":"success","body":{}}',NULL,1796049098474,1796049098581);
INSERT INTO "fence" VALUES('order','undoing','process_payment','compensated',1,1,'{"outcome":"success","body":{"charge_id":"ch-undoing"}}','{"outcome":"success","body":{}}',NULL,1796049107450,1796049107687);
INSERT INTO "fence" VALUES('order','retrying','process_payment','done',1,0,'{"outcome":"success","body":{"charge_id":"ch-retrying"}}',NULL,NULL,1796049107858,1796049107858);
INSERT INTO "fence" VALUES('order','reply-unread','process_payment','done',1,0,'{"outcome":"success","body":{"charge_id":"ch-reply-unread"}}',NULL,NULL,1796049116838,1796049116838);
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('store_id','720f7ab6caec53ff5cfc1e7e31acc2e1');
CREATE TABLE offsets (
    topic      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    next       INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
INSERT INTO "offsets" VALUES('upgrade.payment.commands',0,1,1796049117936);
INSERT INTO "offsets" VALUES('upgrade.payment.commands',1,4,1796049117936);
INSERT INTO "offsets" VALUES('upgrade.payment.commands',2,3,1796049099612);
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT);
INSERT INTO "schema_version" VALUES(1,'0001_fence.sql');
CREATE UNIQUE INDEX fence_key ON fence (saga_id, step, saga_type);
CREATE INDEX charges_saga ON charges (saga_id);
COMMIT;
