PRAGMA application_id = 0;
PRAGMA user_version = 0;
BEGIN TRANSACTION;
CREATE TABLE acts (
  act_seq          INTEGER PRIMARY KEY,
  act_id           TEXT    NOT NULL UNIQUE,
  saga_type        TEXT    NOT NULL,
  saga_id          TEXT    NOT NULL,
  verb             TEXT    NOT NULL,
  arguments        TEXT    NOT NULL,
  actor            TEXT    NOT NULL,
  reason           TEXT    NOT NULL,
  expected_state   TEXT,
  expected_version INTEGER,
  created_at       INTEGER NOT NULL,
  outcome          TEXT,
  message          TEXT,
  decided_at       INTEGER
);
INSERT INTO "acts" VALUES(1,'55ed00c7bef3d9bc585ddef552ea4206','order','paused','pause','{}','root@vm','before the upgrade','RUNNING',NULL,1796049106623,'done','the saga is RUNNING, held by root@vm: before the upgrade',1796049106659);
CREATE TABLE definitions (
  saga_type   TEXT    NOT NULL,
  version     INTEGER NOT NULL,
  fingerprint TEXT    NOT NULL, description TEXT,
  PRIMARY KEY (saga_type, version)
) WITHOUT ROWID;
INSERT INTO "definitions" VALUES('order',1,'ed352034c866f72b65671132f53d9552fd6f33b59bf326bd79785235c348cbb0','{"id_from":"order_id","request":"OrderRequested","steps":[{"commands":{"compensate":{"fields":{"order_id":"request.order_id","reservation_id":"reserve_inventory.reservation_id"},"type":"releaseItems"},"forward":{"fields":{"items":"request.items","order_id":"request.order_id"},"type":"reserveItems"}},"name":"reserve_inventory","nothing_to_undo":false,"pivot":false,"reply":"ItemsReserved","service":"inventory"},{"commands":{"compensate":{"fields":{"charge_id":"process_payment.charge_id","order_id":"request.order_id"},"type":"refundPayment"},"forward":{"fields":{"amount":"request.amount","currency":"request.currency","customer_id":"request.customer_id","order_id":"request.order_id"},"type":"chargePayment"}},"name":"process_payment","nothing_to_undo":false,"pivot":false,"reply":"PaymentCharged","service":"payment"},{"commands":{"compensate":{"fields":{"order_id":"request.order_id"},"type":"cancelOrder"},"forward":{"fields":{"amount":"request.amount","charge_id":"process_payment.charge_id","currency":"request.currency","customer_id":"request.customer_id","items":"request.items","order_id":"request.order_id","reservation_id":"reserve_inventory.reservation_id"},"type":"createOrder"}},"name":"create_order","nothing_to_undo":false,"pivot":false,"reply":"OrderCreated","service":"orders"}],"type":"order"}');
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('clock','1796049110411');
INSERT INTO "meta" VALUES('store_id','2d69141b6d4ca87ee3fb4f2b0ddebbda');
CREATE TABLE offsets (
  topic     TEXT    NOT NULL,
  partition INTEGER NOT NULL,
  next      INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
INSERT INTO "offsets" VALUES('upgrade.inventory.replies',0,1);
INSERT INTO "offsets" VALUES('upgrade.inventory.replies',1,4);
INSERT INTO "offsets" VALUES('upgrade.inventory.replies',2,3);
INSERT INTO "offsets" VALUES('upgrade.order.requests',0,1);
INSERT INTO "offsets" VALUES('upgrade.order.requests',1,3);
INSERT INTO "offsets" VALUES('upgrade.order.requests',2,2);
INSERT INTO "offsets" VALUES('upgrade.order.requests',3,2);
INSERT INTO "offsets" VALUES('upgrade.orders.replies',1,3);
INSERT INTO "offsets" VALUES('upgrade.orders.replies',2,2);
INSERT INTO "offsets" VALUES('upgrade.payment.replies',1,3);
INSERT INTO "offsets" VALUES('upgrade.payment.replies',2,3);
CREATE TABLE outbox (
  outbox_id  INTEGER PRIMARY KEY AUTOINCREMENT,
  writer     TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  messages   INTEGER NOT NULL,
  content    BLOB    NOT NULL -- MessagePack
);
CREATE TABLE pauses (
  scope     TEXT    PRIMARY KEY, -- service:payment, type:order
  actor     TEXT    NOT NULL,
  reason    TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  under_way INTEGER NOT NULL     -- whether sagas that have begun are held too
) WITHOUT ROWID;
CREATE TABLE purged (
  purged_key   INTEGER PRIMARY KEY,
  digest       INTEGER NOT NULL, -- of the id alone: operators seldom know the type
  saga_type    TEXT    NOT NULL,
  saga_id      TEXT    NOT NULL,
  state        TEXT    NOT NULL CHECK (state IN ('COMPLETED', 'COMPENSATED')),
  request_hash BLOB    NOT NULL,
  created_at   INTEGER NOT NULL,
  ended_at     INTEGER NOT NULL,
  purged_at    INTEGER NOT NULL
);
CREATE TABLE purges (
  purge_seq    INTEGER PRIMARY KEY,
  purge_id     TEXT    NOT NULL UNIQUE,
  ended_before INTEGER NOT NULL,
  saga_type    TEXT,
  states       TEXT    NOT NULL,           -- JSON
  actor        TEXT    NOT NULL,
  created_at   INTEGER NOT NULL,
  from_key     INTEGER NOT NULL DEFAULT 0, -- where it goes on
  purged       INTEGER NOT NULL DEFAULT 0, -- so far
  ended_at     INTEGER
);
CREATE TABLE sagas (
  saga_key           INTEGER PRIMARY KEY,
  saga_type          TEXT    NOT NULL,
  saga_id            TEXT    NOT NULL,
  definition_version INTEGER NOT NULL,
  state              TEXT    NOT NULL
    CHECK (state IN ('PENDING', 'RUNNING', 'COMPENSATING', 'COMPLETED', 'COMPENSATED', 'PARKED')),
  current_step       INTEGER NOT NULL,
  data               TEXT    NOT NULL, -- the request, as accepted; never rewritten
  steps              TEXT    NOT NULL, -- each step's own state and reply
  wake_at            INTEGER CHECK (wake_at IS NULL OR state IN ('RUNNING', 'COMPENSATING')),
  error              TEXT,
  parked             TEXT    CHECK ((parked IS NULL) = (state <> 'PARKED')),
  version            INTEGER NOT NULL CHECK (version >= 0),
  log_seq            INTEGER NOT NULL CHECK (log_seq >= version),
  request_hash       BLOB    NOT NULL,
  created_at         INTEGER NOT NULL,
  updated_at         INTEGER NOT NULL, held TEXT CHECK (held IS NULL OR wake_at IS NULL), hold TEXT CHECK ((hold IS NULL) = (held IS NULL)),
  UNIQUE (saga_type, saga_id)
);
INSERT INTO "sagas" VALUES(1,'order','compensated',1,'COMPENSATED',1,'{"order_id":"compensated","customer_id":"broke","items":[{"sku":"lamp","quantity":1}],"amount":4990,"currency":"EUR"}','[{"status":"COMPENSATED","attempt":1,"undo_attempt":1,"sent_at":1796049098270,"executed":true,"reply":{"reservation_id":"res-compensated"},"reply_bytes":36},{"status":"FAILED","attempt":1,"sent_at":1796049098241,"error":"card declined: the balance is too low"},{}]',NULL,'card declined: the balance is too low',NULL,4,6,X'91C6EA872EB8E05B9ACF87D96F9D94E324FC38A3AC7D03D66173D802D854AF0D',1796049098208,1796049098288,NULL,NULL);
INSERT INTO "sagas" VALUES(2,'order','completed',1,'COMPLETED',3,'{"order_id":"completed","customer_id":"alice","items":[{"sku":"lamp","quantity":1}],"amount":4990,"currency":"EUR"}','[{"status":"SUCCESS","attempt":1,"sent_at":1796049098208,"executed":true,"reply":{"reservation_id":"res-completed"},"reply_bytes":34},{"status":"SUCCESS","attempt":1,"sent_at":1796049098241,"executed":true,"reply":{"charge_id":"ch-completed"},"reply_bytes":28},{"status":"SUCCESS","attempt":1,"sent_at":1796049098270,"executed":true,"reply":{"order_number":"ORD-000001"},"reply_bytes":29}]',NULL,NULL,NULL,4,6,X'B7F2B86E272581EB3B8D5861BF9B266F2A8A30948C6BBD31879AF9D01F4DD43A',1796049098208,1796049098368,NULL,NULL);
INSERT INTO "sagas" VALUES(3,'order','parked',1,'PARKED',1,'{"order_id":"parked","customer_id":"alice","items":[{"sku":"lamp","quantity":1}],"amount":4990,"currency":"EUR"}','[{"status":"COMPENSATING","attempt":1,"undo_attempt":1,"sent_at":1796049098610,"executed":true,"reply":{"reservation_id":"res-parked"},"reply_bytes":31,"error":"the parcel has left"},{"status":"COMPENSATED","attempt":1,"undo_attempt":1,"sent_at":1796049098569,"executed":true,"reply":{"charge_id":"ch-parked"},"reply_bytes":25},{"status":"FAILED","attempt":1,"sent_at":1796049098486,"error":"closed"}]',NULL,'closed','{"reason":"compensation_failed","from_state":"COMPENSATING","detail":"the parcel has left"}',6,10,X'C26D1751BB667D6EA68CF5393E257CF9C6264E5C8C01825FE2035FDAF38022A0',1796049098410,1796049098684,NULL,NULL);
INSERT INTO "sagas" VALUES(4,'order','paused',1,'RUNNING',1,'{"order_id":"paused","customer_id":"alice","items":[{"sku":"lamp","quantity":1}],"amount":4990,"currency":"EUR"}','[{"status":"IN_PROGRESS","attempt":2,"sent_at":1796049104906,"deadline_at":1796049109906,"error":"no reply within 5 s"},{},{}]',NULL,NULL,NULL,4,4,X'7DFCBE55EE89571E6AF18FD556CA718885224FFB1594397DA8C3AFED1882FFE4',1796049098725,1796049106659,'operator','{"actor":"root@vm","reason":"before the upgrade","at":1796049106659}');
INSERT INTO "sagas" VALUES(5,'order','undoing',1,'COMPENSATING',2,'{"order_id":"undoing","customer_id":"alice","items":[{"sku":"lamp","quantity":1}],"amount":4990,"currency":"EUR"}','[{"status":"SUCCESS","attempt":1,"sent_at":1796049107260,"executed":true,"reply":{"reservation_id":"res-undoing"},"reply_bytes":32},{"status":"COMPENSATING","attempt":1,"undo_attempt":1,"sent_at":1796049107651,"deadline_at":1796049112651,"executed":true,"reply":{"charge_id":"ch-undoing"},"reply_bytes":26},{"status":"FAILED","attempt":1,"sent_at":1796049107493,"error":"closed"}]',1796049112651,'closed',NULL,4,7,X'F7AB8BA0982EF0A67B88455E61CFDD986808A9418784E6D77EC0E1ABF6D55BBB',1796049107260,1796049107651,NULL,NULL);
INSERT INTO "sagas" VALUES(6,'order','retrying',1,'RUNNING',3,'{"order_id":"retrying","customer_id":"alice","items":[{"sku":"lamp","quantity":1}],"amount":4990,"currency":"EUR"}','[{"status":"SUCCESS","attempt":1,"sent_at":1796049107732,"executed":true,"reply":{"reservation_id":"res-retrying"},"reply_bytes":33},{"status":"SUCCESS","attempt":1,"sent_at":1796049107786,"executed":true,"reply":{"charge_id":"ch-retrying"},"reply_bytes":27},{"status":"IN_PROGRESS","attempt":2,"sent_at":1796049109145,"retry_at":1796049111234,"error":"Database connection failed"}]',1796049111234,NULL,NULL,6,8,X'8E8C75E7D4B2F43C1ABDBECCAE6D3E2793440EC6D2BF6F7A3E1EDEAE2BA51115',1796049107732,1796049109234,NULL,NULL);
INSERT INTO "sagas" VALUES(7,'order','reply-unread',1,'RUNNING',2,'{"order_id":"reply-unread","customer_id":"alice","items":[{"sku":"lamp","quantity":1}],"amount":4990,"currency":"EUR"}','[{"status":"SUCCESS","attempt":1,"sent_at":1796049108288,"executed":true,"reply":{"reservation_id":"res-reply-unread"},"reply_bytes":37},{"status":"IN_PROGRESS","attempt":1,"sent_at":1796049108433,"deadline_at":1796049113433},{}]',1796049113433,NULL,NULL,2,3,X'529CF71692555FA65CB06EA96485C65FB84D42C2405C14F00363CF897D7CE42E',1796049108288,1796049108433,NULL,NULL);
INSERT INTO "sagas" VALUES(8,'order','command-unread',1,'RUNNING',1,'{"order_id":"command-unread","customer_id":"alice","items":[{"sku":"lamp","quantity":1}],"amount":4990,"currency":"EUR"}','[{"status":"IN_PROGRESS","attempt":1,"sent_at":1796049109350,"deadline_at":1796049114350},{},{}]',1796049114350,NULL,NULL,1,1,X'E400815AE32DAABD40CE4A09519BB4216963B369B08333C49C13E1F5053AD614',1796049109350,1796049109350,NULL,NULL);
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT);
INSERT INTO "schema_version" VALUES(1,'0001_sagas.sql');
INSERT INTO "schema_version" VALUES(2,'0002_retention.sql');
INSERT INTO "schema_version" VALUES(3,'0003_holds.sql');
INSERT INTO "schema_version" VALUES(4,'0004_acts_of_a_saga.sql');
INSERT INTO "schema_version" VALUES(5,'0005_what_a_version_means.sql');
INSERT INTO "schema_version" VALUES(6,'0006_lives.sql');
CREATE TABLE step_log (
  saga_key INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  step     TEXT    NOT NULL,
  status   TEXT    NOT NULL,
  attempt  INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  detail   TEXT    NOT NULL,
  PRIMARY KEY (saga_key, seq)
) WITHOUT ROWID;
INSERT INTO "step_log" VALUES(1,1,'reserve_inventory','IN_PROGRESS',1,1796049098208,'{"event":"Admitted"}');
INSERT INTO "step_log" VALUES(1,2,'reserve_inventory','SUCCESS',1,1796049098241,'{"event":"Replied","step":"reserve_inventory","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"reservation_id":"res-compensated"},"body_bytes":36,"attempt":1,"origin":{"topic":"upgrade.inventory.replies","partition":1,"offset":0,"message_id":"order/compensated/reserve_inventory/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(1,3,'process_payment','IN_PROGRESS',1,1796049098241,'{}');
INSERT INTO "step_log" VALUES(1,4,'process_payment','FAILED',1,1796049098270,'{"event":"Replied","step":"process_payment","phase":"forward","epoch":1,"outcome":"failure","effect":"done","body":{"error":"card declined: the balance is too low"},"body_bytes":0,"attempt":1,"reason":"rejected","origin":{"topic":"upgrade.payment.replies","partition":1,"offset":0,"message_id":"order/compensated/process_payment/forward/1/r1"},"error":"card declined: the balance is too low"}');
INSERT INTO "step_log" VALUES(1,5,'reserve_inventory','COMPENSATING',1,1796049098270,'{}');
INSERT INTO "step_log" VALUES(1,6,'reserve_inventory','COMPENSATED',1,1796049098288,'{"event":"Replied","step":"reserve_inventory","phase":"compensate","epoch":1,"outcome":"success","effect":"done","body":{},"body_bytes":0,"attempt":1,"origin":{"topic":"upgrade.inventory.replies","partition":1,"offset":1,"message_id":"order/compensated/reserve_inventory/compensate/1/r1"}}');
INSERT INTO "step_log" VALUES(2,1,'reserve_inventory','IN_PROGRESS',1,1796049098208,'{"event":"Admitted"}');
INSERT INTO "step_log" VALUES(2,2,'reserve_inventory','SUCCESS',1,1796049098241,'{"event":"Replied","step":"reserve_inventory","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"reservation_id":"res-completed"},"body_bytes":34,"attempt":1,"origin":{"topic":"upgrade.inventory.replies","partition":2,"offset":0,"message_id":"order/completed/reserve_inventory/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(2,3,'process_payment','IN_PROGRESS',1,1796049098241,'{}');
INSERT INTO "step_log" VALUES(2,4,'process_payment','SUCCESS',1,1796049098270,'{"event":"Replied","step":"process_payment","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"charge_id":"ch-completed"},"body_bytes":28,"attempt":1,"origin":{"topic":"upgrade.payment.replies","partition":2,"offset":0,"message_id":"order/completed/process_payment/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(2,5,'create_order','IN_PROGRESS',1,1796049098270,'{}');
INSERT INTO "step_log" VALUES(2,6,'create_order','SUCCESS',1,1796049098368,'{"event":"Replied","step":"create_order","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"order_number":"ORD-000001"},"body_bytes":29,"attempt":1,"origin":{"topic":"upgrade.orders.replies","partition":2,"offset":0,"message_id":"order/completed/create_order/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(3,1,'reserve_inventory','IN_PROGRESS',1,1796049098410,'{"event":"Admitted"}');
INSERT INTO "step_log" VALUES(3,2,'reserve_inventory','SUCCESS',1,1796049098451,'{"event":"Replied","step":"reserve_inventory","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"reservation_id":"res-parked"},"body_bytes":31,"attempt":1,"origin":{"topic":"upgrade.inventory.replies","partition":2,"offset":1,"message_id":"order/parked/reserve_inventory/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(3,3,'process_payment','IN_PROGRESS',1,1796049098451,'{}');
INSERT INTO "step_log" VALUES(3,4,'process_payment','SUCCESS',1,1796049098486,'{"event":"Replied","step":"process_payment","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"charge_id":"ch-parked"},"body_bytes":25,"attempt":1,"origin":{"topic":"upgrade.payment.replies","partition":2,"offset":1,"message_id":"order/parked/process_payment/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(3,5,'create_order','IN_PROGRESS',1,1796049098486,'{}');
INSERT INTO "step_log" VALUES(3,6,'create_order','FAILED',1,1796049098569,'{"event":"Replied","step":"create_order","phase":"forward","epoch":1,"outcome":"failure","effect":"done","body":{"error":"closed"},"body_bytes":0,"attempt":1,"reason":"rejected","origin":{"topic":"upgrade.orders.replies","partition":2,"offset":1,"message_id":"order/parked/create_order/forward/1/r1"},"error":"closed"}');
INSERT INTO "step_log" VALUES(3,7,'process_payment','COMPENSATING',1,1796049098569,'{}');
INSERT INTO "step_log" VALUES(3,8,'process_payment','COMPENSATED',1,1796049098610,'{"event":"Replied","step":"process_payment","phase":"compensate","epoch":1,"outcome":"success","effect":"done","body":{},"body_bytes":0,"attempt":1,"origin":{"topic":"upgrade.payment.replies","partition":2,"offset":2,"message_id":"order/parked/process_payment/compensate/1/r1"}}');
INSERT INTO "step_log" VALUES(3,9,'reserve_inventory','COMPENSATING',1,1796049098610,'{}');
INSERT INTO "step_log" VALUES(3,10,'reserve_inventory','PARKED',0,1796049098684,'{"event":"Replied","step":"reserve_inventory","phase":"compensate","epoch":1,"outcome":"failure","effect":"done","body":{"error":"the parcel has left"},"body_bytes":0,"attempt":1,"reason":"rejected","origin":{"topic":"upgrade.inventory.replies","partition":2,"offset":2,"message_id":"order/parked/reserve_inventory/compensate/1/r1"},"park_reason":"compensation_failed","why":"the parcel has left"}');
INSERT INTO "step_log" VALUES(4,1,'reserve_inventory','IN_PROGRESS',1,1796049098725,'{"event":"Admitted"}');
INSERT INTO "step_log" VALUES(4,2,'reserve_inventory','TIMEOUT',1,1796049103803,'{"event":"TimerFired","published_at":1796049098725,"error":"no reply within 5 s","retry_at":1796049104803}');
INSERT INTO "step_log" VALUES(4,3,'reserve_inventory','IN_PROGRESS',2,1796049104906,'{"event":"TimerFired","published_at":1796049098725}');
INSERT INTO "step_log" VALUES(4,4,'','ACT',0,1796049106659,'{"event":"Act","act_id":"55ed00c7bef3d9bc585ddef552ea4206","verb":"pause","actor":"root@vm","reason":"before the upgrade","expected_state":"RUNNING","arguments":{}}');
INSERT INTO "step_log" VALUES(5,1,'reserve_inventory','IN_PROGRESS',1,1796049107260,'{"event":"Admitted"}');
INSERT INTO "step_log" VALUES(5,2,'reserve_inventory','SUCCESS',1,1796049107366,'{"event":"Replied","step":"reserve_inventory","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"reservation_id":"res-undoing"},"body_bytes":32,"attempt":1,"origin":{"topic":"upgrade.inventory.replies","partition":1,"offset":2,"message_id":"order/undoing/reserve_inventory/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(5,3,'process_payment','IN_PROGRESS',1,1796049107366,'{}');
INSERT INTO "step_log" VALUES(5,4,'process_payment','SUCCESS',1,1796049107493,'{"event":"Replied","step":"process_payment","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"charge_id":"ch-undoing"},"body_bytes":26,"attempt":1,"origin":{"topic":"upgrade.payment.replies","partition":1,"offset":1,"message_id":"order/undoing/process_payment/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(5,5,'create_order','IN_PROGRESS',1,1796049107493,'{}');
INSERT INTO "step_log" VALUES(5,6,'create_order','FAILED',1,1796049107651,'{"event":"Replied","step":"create_order","phase":"forward","epoch":1,"outcome":"failure","effect":"done","body":{"error":"closed"},"body_bytes":0,"attempt":1,"reason":"rejected","origin":{"topic":"upgrade.orders.replies","partition":1,"offset":0,"message_id":"order/undoing/create_order/forward/1/r1"},"error":"closed"}');
INSERT INTO "step_log" VALUES(5,7,'process_payment','COMPENSATING',1,1796049107651,'{}');
INSERT INTO "step_log" VALUES(6,1,'reserve_inventory','IN_PROGRESS',1,1796049107732,'{"event":"Admitted"}');
INSERT INTO "step_log" VALUES(6,2,'reserve_inventory','SUCCESS',1,1796049107786,'{"event":"Replied","step":"reserve_inventory","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"reservation_id":"res-retrying"},"body_bytes":33,"attempt":1,"origin":{"topic":"upgrade.inventory.replies","partition":1,"offset":3,"message_id":"order/retrying/reserve_inventory/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(6,3,'process_payment','IN_PROGRESS',1,1796049107786,'{}');
INSERT INTO "step_log" VALUES(6,4,'process_payment','SUCCESS',1,1796049107953,'{"event":"Replied","step":"process_payment","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"charge_id":"ch-retrying"},"body_bytes":27,"attempt":1,"origin":{"topic":"upgrade.payment.replies","partition":1,"offset":2,"message_id":"order/retrying/process_payment/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(6,5,'create_order','IN_PROGRESS',1,1796049107953,'{}');
INSERT INTO "step_log" VALUES(6,6,'create_order','RETRY',1,1796049108113,'{"event":"Replied","step":"create_order","phase":"forward","epoch":1,"outcome":"retry","effect":"done","body":{"error":"Database connection failed"},"body_bytes":0,"attempt":1,"origin":{"topic":"upgrade.orders.replies","partition":1,"offset":1,"message_id":"order/retrying/create_order/forward/1/r1"},"error":"Database connection failed","retry_at":1796049109113}');
INSERT INTO "step_log" VALUES(6,7,'create_order','IN_PROGRESS',2,1796049109145,'{"event":"TimerFired","published_at":1796049107953}');
INSERT INTO "step_log" VALUES(6,8,'create_order','RETRY',2,1796049109234,'{"event":"Replied","step":"create_order","phase":"forward","epoch":1,"outcome":"retry","effect":"done","body":{"error":"Database connection failed"},"body_bytes":0,"attempt":2,"origin":{"topic":"upgrade.orders.replies","partition":1,"offset":2,"message_id":"order/retrying/create_order/forward/1/r2"},"error":"Database connection failed","retry_at":1796049111234}');
INSERT INTO "step_log" VALUES(7,1,'reserve_inventory','IN_PROGRESS',1,1796049108288,'{"event":"Admitted"}');
INSERT INTO "step_log" VALUES(7,2,'reserve_inventory','SUCCESS',1,1796049108433,'{"event":"Replied","step":"reserve_inventory","phase":"forward","epoch":1,"outcome":"success","effect":"done","body":{"reservation_id":"res-reply-unread"},"body_bytes":37,"attempt":1,"origin":{"topic":"upgrade.inventory.replies","partition":0,"offset":0,"message_id":"order/reply-unread/reserve_inventory/forward/1/r1"}}');
INSERT INTO "step_log" VALUES(7,3,'process_payment','IN_PROGRESS',1,1796049108433,'{}');
INSERT INTO "step_log" VALUES(8,1,'reserve_inventory','IN_PROGRESS',1,1796049109350,'{"event":"Admitted"}');
CREATE TABLE told_errors (
  saga_type TEXT NOT NULL,
  saga_id   TEXT NOT NULL,
  error     TEXT NOT NULL,
  PRIMARY KEY (saga_type, saga_id)
) WITHOUT ROWID;
CREATE INDEX sagas_unfinished ON sagas (state, saga_key) WHERE state NOT IN ('COMPLETED', 'COMPENSATED');
CREATE INDEX sagas_wake ON sagas (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX acts_waiting ON acts (act_seq) WHERE outcome IS NULL;
CREATE VIEW step_execution_log AS
  SELECT saga_type, saga_id, seq, step, status, attempt, datetime(at / 1000.0, 'unixepoch', 'subsec') AS at, detail
  FROM step_log JOIN sagas USING (saga_key);
CREATE INDEX purged_digest ON purged (digest);
CREATE INDEX purges_waiting ON purges (purge_seq) WHERE ended_at IS NULL;
CREATE INDEX sagas_held ON sagas (held, state, saga_key) WHERE held IS NOT NULL;
CREATE INDEX acts_saga ON acts (saga_id, act_seq);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',24);
COMMIT;
