-- compatible_from: 1
-- What this service did for each step of each saga (R14), as on SQLite. Ids are COLLATE "C": rows are locked in the order
-- in which Python sorts them, or two workers would wait for each other (R77).
CREATE TABLE {schema}.saga_fence (
    saga_type          text COLLATE "C" NOT NULL,
    saga_id            text COLLATE "C" NOT NULL,
    step               text COLLATE "C" NOT NULL,
    status             text NOT NULL CHECK (status IN
        ('claimed', 'started', 'done', 'undoing', 'failed', 'cancelled', 'compensated')), -- claimed: until its commit
    action_epoch       bigint NOT NULL, -- 0: the action never came
    compensation_epoch bigint NOT NULL, -- 0: no compensation came
    action_reply       text,            -- JSON: outcome, effect, reason, body; sent again to duplicates
    compensation_reply text,
    call               text,            -- JSON: the command of an external call that is not settled
    started_at         bigint NOT NULL, -- milliseconds since 1970
    updated_at         bigint NOT NULL,
    PRIMARY KEY (saga_id, step, saga_type),
    CHECK ((status IN ('started', 'undoing')) = (call IS NOT NULL)),
    CHECK (status <> 'done' OR action_reply IS NOT NULL)
);

-- Rows are in order of age, as they were added: a few bytes a page find those that are to be forgotten (R16).
CREATE INDEX saga_fence_age ON {schema}.saga_fence USING brin (started_at) WITH (autosummarize = on);

-- The next command to read, of those whose replies are all known to be published (R23).
CREATE TABLE {schema}.saga_offsets (
    topic      text COLLATE "C" NOT NULL,
    partition  int    NOT NULL,
    next       bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

CREATE TABLE {schema}.saga_meta (
    name  text NOT NULL PRIMARY KEY,
    value text NOT NULL
);
