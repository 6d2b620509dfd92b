-- compatible_from: 1
-- The store on PostgreSQL. JSON is text: it is read as it was written, number for number, and costs less than jsonb.
-- Ids and names have Python's order (COLLATE "C"), so that who sorts there locks in the same order as who sorts here.

-- Who this store is and which life it is in (R22, R59), and positions that Kafka had no more (R23).
CREATE TABLE {schema}.meta (
  key   text COLLATE "C" PRIMARY KEY,
  value text NOT NULL
);
INSERT INTO {schema}.meta VALUES ('store_id', replace(gen_random_uuid()::text, '-', ''));

-- What every batch is compared with: whoever changes a pause raises the number in the same transaction (R72).
CREATE TABLE {schema}.settings (
  one    boolean PRIMARY KEY CHECK (one),
  number bigint  NOT NULL,
  lanes  integer NOT NULL CHECK (lanes >= 0)    -- 0: nobody has said yet
);
INSERT INTO {schema}.settings VALUES (true, 0, 0);

-- One row for each life of a replica (R61). Every transaction that writes begins with its writer's row (R62).
CREATE TABLE {schema}.replicas (
  replica         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name            text COLLATE "C" NOT NULL,
  state           text    NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'gone', 'dead')),
  heir            bigint,                       -- who publishes what it left (R73)
  program         text    NOT NULL,             -- its version
  knows           integer NOT NULL DEFAULT 0,   -- the newest version of this schema that its program knows (R76)
  definitions     text    NOT NULL,             -- those that its program has: JSON
  began_at        bigint  NOT NULL,
  batch           bigint  NOT NULL DEFAULT 0,   -- how many it has committed: what a doubtful COMMIT is known by (R68)
  clock           bigint  NOT NULL,             -- the newest moment it has seen (R27)
  "window"        integer NOT NULL DEFAULT 0,
  in_flight       bigint  NOT NULL DEFAULT 0,   -- what its batches added and took away (R72)
  pending         bigint  NOT NULL DEFAULT 0,
  unsent          bigint  NOT NULL DEFAULT 0,   -- messages that it has not published
  outage_ended_at bigint  NOT NULL DEFAULT 0,   -- waits for replies begin here at the earliest (R21)
  outage_on       boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
CREATE INDEX replicas_live ON {schema}.replicas (name) WHERE state = 'live';

-- Apart from `replicas`, which a batch locks: a batch that waits for a lock must not look dead (R61).
CREATE TABLE {schema}.beats (
  replica bigint PRIMARY KEY,
  beat    bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE {schema}.topics (
  topic      text COLLATE "C" PRIMARY KEY,
  partitions integer NOT NULL,
  counted_at bigint  NOT NULL,
  scattered  boolean NOT NULL DEFAULT false     -- its keys lie elsewhere than our partitioner puts them (R66)
);

-- The next offset to read of every input partition (R23); NULL where it is known and was never read.
CREATE TABLE {schema}.offsets (
  topic      text COLLATE "C" NOT NULL,
  partition  integer NOT NULL,
  next       bigint,
  drained_at bigint  NOT NULL DEFAULT 0,        -- everything that was there then is committed (R69)
  PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- What the code meant by a version when it first ran here (R30).
CREATE TABLE {schema}.definitions (
  saga_type   text COLLATE "C" NOT NULL,
  version     integer NOT NULL,
  fingerprint text    NOT NULL,
  description text,
  PRIMARY KEY (saga_type, version)
);

-- The saga state table. Keys grow with time, roughly: transactions commit in another order than they take keys (R75).
CREATE TABLE {schema}.sagas (
  saga_key           bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  saga_type          text COLLATE "C" NOT NULL,
  saga_id            text COLLATE "C" NOT NULL,
  hash               bigint  NOT NULL,          -- CRC-32 of the id: its lane is hash % lanes
  definition_version integer NOT NULL,
  state              text COLLATE "C" NOT NULL
    CHECK (state IN ('PENDING', 'RUNNING', 'COMPENSATING', 'COMPLETED', 'COMPENSATED', 'PARKED')),
  current_step       integer NOT NULL,
  data               text    NOT NULL,          -- the request, as accepted; never rewritten
  steps              text    NOT NULL,          -- each step's own state and reply
  wake_at            bigint  CHECK (wake_at IS NULL OR state IN ('RUNNING', 'COMPENSATING')),
  error              text,
  parked             text    CHECK ((parked IS NULL) = (state <> 'PARKED')),
  version            integer NOT NULL CHECK (version >= 0),
  log_seq            integer NOT NULL CHECK (log_seq >= version),
  request_hash       bytea   NOT NULL,
  created_at         bigint  NOT NULL,
  updated_at         bigint  NOT NULL,
  held               text COLLATE "C" CHECK (held IS NULL OR wake_at IS NULL), -- operator, service:… or type:…
  hold               text    CHECK ((hold IS NULL) = (held IS NULL)),          -- who, why and since when: JSON
  UNIQUE (saga_type, saga_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
        autovacuum_vacuum_cost_delay = 0);

-- Only what is unfinished is ever looked for, so finished sagas cost these indexes nothing.
CREATE INDEX sagas_unfinished ON {schema}.sagas (state, saga_key) WHERE state NOT IN ('COMPLETED', 'COMPENSATED');
CREATE INDEX sagas_wake ON {schema}.sagas (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX sagas_held ON {schema}.sagas (held, state, saga_key) WHERE held IS NOT NULL;

-- The step execution log: append-only, the audit trail (R28).
CREATE TABLE {schema}.step_log (
  saga_key bigint  NOT NULL,
  seq      integer NOT NULL,
  step     text    NOT NULL,
  status   text    NOT NULL,
  attempt  integer NOT NULL,
  at       bigint  NOT NULL,
  detail   text    NOT NULL,
  PRIMARY KEY (saga_key, seq)
);

-- Messages decided but not yet known to be published: one row for each batch, by who wrote it (R73). MessagePack.
CREATE TABLE {schema}.outbox (
  writer     bigint  NOT NULL,
  seq        bigint  NOT NULL,
  created_at bigint  NOT NULL,
  messages   integer NOT NULL,
  content    bytea   NOT NULL,
  PRIMARY KEY (writer, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE {schema}.outbox ALTER content SET STORAGE EXTERNAL;

-- The operator's verbs: queue and audit in one (R25).
CREATE TABLE {schema}.acts (
  act_seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  act_id           text COLLATE "C" NOT NULL UNIQUE,
  saga_type        text COLLATE "C" NOT NULL,
  saga_id          text COLLATE "C" NOT NULL,
  hash             bigint NOT NULL,             -- whose lane takes it (R74)
  verb             text   NOT NULL,
  arguments        text   NOT NULL,
  actor            text   NOT NULL,
  reason           text   NOT NULL,
  expected_state   text,
  expected_version integer,
  created_at       bigint NOT NULL,
  outcome          text,
  message          text,
  decided_at       bigint
);
CREATE INDEX acts_waiting ON {schema}.acts (act_seq) WHERE outcome IS NULL;
CREATE INDEX acts_saga ON {schema}.acts (saga_id, act_seq);

CREATE TABLE {schema}.pauses (
  scope     text COLLATE "C" PRIMARY KEY,       -- service:payment, type:order
  actor     text    NOT NULL,
  reason    text    NOT NULL,
  at        bigint  NOT NULL,
  under_way boolean NOT NULL                    -- whether sagas that have begun are held too
);

-- What is kept of a purged saga: enough to know a duplicate of its request, or a late reply (R29).
CREATE TABLE {schema}.purged (
  purged_key   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  digest       bigint NOT NULL,                 -- of the id alone: operators seldom know the type
  saga_type    text   NOT NULL,
  saga_id      text   NOT NULL,
  state        text   NOT NULL CHECK (state IN ('COMPLETED', 'COMPENSATED')),
  request_hash bytea  NOT NULL,
  created_at   bigint NOT NULL,
  ended_at     bigint NOT NULL,
  purged_at    bigint NOT NULL
);
CREATE INDEX purged_digest ON {schema}.purged (digest);

-- Purges that operators asked for: queue, progress and audit in one.
CREATE TABLE {schema}.purges (
  purge_seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  purge_id     text COLLATE "C" NOT NULL UNIQUE,
  ended_before bigint NOT NULL,
  saga_type    text COLLATE "C",
  states       text   NOT NULL,                 -- JSON
  actor        text   NOT NULL,
  created_at   bigint NOT NULL,
  from_key     bigint NOT NULL DEFAULT 0,       -- where it goes on
  purged       bigint NOT NULL DEFAULT 0,       -- so far
  ended_at     bigint
);
CREATE INDEX purges_waiting ON {schema}.purges (purge_seq) WHERE ended_at IS NULL;

-- Why sagas failed in a life of before, as their events told it (R59).
CREATE TABLE {schema}.told_errors (
  saga_type text COLLATE "C" NOT NULL,
  saga_id   text COLLATE "C" NOT NULL,
  error     text NOT NULL,
  PRIMARY KEY (saga_type, saga_id)
);

-- For people with a SQL shell.
CREATE VIEW {schema}.step_execution_log AS
  SELECT saga_type, saga_id, seq, step, status, attempt, to_timestamp(at / 1000.0) AS at, detail
  FROM {schema}.step_log JOIN {schema}.sagas USING (saga_key);
