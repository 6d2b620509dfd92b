-- What is kept of a purged saga: enough to know a duplicate of its request, or a late reply (R29).
--
-- Rows are appended, so they lie in order of age and the oldest are forgotten by their key. Saga ids arrive in
-- random order; the index holds 64 bits of each id's hash instead of the id (measured: docs/decisions/0012).
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

CREATE INDEX purged_digest ON purged (digest);

-- Purges that operators asked for: queue, progress and audit in one, as `acts` is for the other verbs (R25).
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

CREATE INDEX purges_waiting ON purges (purge_seq) WHERE ended_at IS NULL;
