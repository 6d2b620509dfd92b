-- Who this store is, and the newest moment it has seen (R22, R27).
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

-- What the code meant by a version when it first ran here (R30).
CREATE TABLE definitions (
  saga_type   TEXT    NOT NULL,
  version     INTEGER NOT NULL,
  fingerprint TEXT    NOT NULL,
  PRIMARY KEY (saga_type, version)
) WITHOUT ROWID;

-- The saga state table. `saga_key` grows with time, so the rows that change lie together at the end of the file;
-- ids arrive in random order and pay for one index entry only.
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
  updated_at         INTEGER NOT NULL,
  UNIQUE (saga_type, saga_id)
);

-- Only what is unfinished is ever looked for, so finished sagas cost these indexes nothing.
CREATE INDEX sagas_unfinished ON sagas (state, saga_key) WHERE state NOT IN ('COMPLETED', 'COMPENSATED');
CREATE INDEX sagas_wake ON sagas (wake_at) WHERE wake_at IS NOT NULL;

-- The step execution log: append-only, the audit trail (R28).
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

-- Messages decided but not yet known to be published: one row for each batch, written and deleted as one.
CREATE TABLE outbox (
  outbox_id  INTEGER PRIMARY KEY AUTOINCREMENT,
  writer     TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  messages   INTEGER NOT NULL,
  content    BLOB    NOT NULL -- MessagePack
);

-- The next offset to read of every input partition (R23).
CREATE TABLE offsets (
  topic     TEXT    NOT NULL,
  partition INTEGER NOT NULL,
  next      INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)
) WITHOUT ROWID;

-- The operator's verbs: queue and audit in one (R25).
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

CREATE INDEX acts_waiting ON acts (act_seq) WHERE outcome IS NULL;

-- For people with a SQL shell.
CREATE VIEW step_execution_log AS
  SELECT saga_type, saga_id, seq, step, status, attempt, datetime(at / 1000.0, 'unixepoch', 'subsec') AS at, detail
  FROM step_log JOIN sagas USING (saga_key);
