-- What a replica asks of the store it shares, and writes beside its batches. `{schema}` stands for the schema's name.
-- Lanes: NULL for all of them, else an array, and how many lanes there are.

-- name: load
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM {schema}.sagas WHERE saga_type = $1 AND saga_id = ANY ($2::text[]);

-- name: keys
SELECT saga_key FROM {schema}.sagas WHERE saga_type = $1 AND saga_id = ANY ($2::text[]);

-- name: lock
-- In the order in which every batch writes them, so that nobody waits for whom he holds up (R67).
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM {schema}.sagas WHERE saga_key = ANY ($1::bigint[]) ORDER BY saga_key FOR NO KEY UPDATE;

-- name: pending
-- Not those that are held, or of a paused type; of our lanes.
SELECT saga_type, saga_id FROM {schema}.sagas
WHERE state = 'PENDING' AND held IS NULL AND saga_type <> ALL ($2::text[])
  AND ($3::integer[] IS NULL OR hash % $4 = ANY ($3))
ORDER BY saga_key LIMIT $1;

-- name: due
SELECT saga_type, saga_id FROM {schema}.sagas
WHERE wake_at <= $1 AND ($3::integer[] IS NULL OR hash % $4 = ANY ($3))
ORDER BY wake_at LIMIT $2;

-- name: next_wake_at
SELECT min(wake_at) FROM {schema}.sagas WHERE wake_at IS NOT NULL;

-- name: held
-- What is being undone first, and then the oldest: the index has them in this order.
SELECT saga_type, saga_id FROM {schema}.sagas
WHERE held = $1 AND ($3::integer[] IS NULL OR hash % $4 = ANY ($3))
ORDER BY state, saga_key LIMIT $2;

-- name: count_held
SELECT held, state, count(*) FROM {schema}.sagas WHERE held IS NOT NULL GROUP BY held, state;

-- name: count_states
SELECT state, count(*) FROM {schema}.sagas WHERE state NOT IN ('COMPLETED', 'COMPENSATED') GROUP BY state;

-- name: count_pending_of
-- `|| ''`: by state and not by type, of which every saga there ever was may be.
SELECT count(*) FROM {schema}.sagas WHERE state = 'PENDING' AND held IS NULL AND saga_type || '' = ANY ($1::text[]);

-- name: versions
SELECT DISTINCT saga_type, definition_version FROM {schema}.sagas WHERE state NOT IN ('COMPLETED', 'COMPENSATED');

-- name: unfinished_of
SELECT saga_type, saga_id FROM {schema}.sagas
WHERE state IN ('PENDING', 'RUNNING', 'COMPENSATING') AND saga_type || '' = $1 AND definition_version = $2 LIMIT $3;

-- name: waiting_acts
-- Those of our lanes, and what has waited for too long (R74). An act on a scope has no saga's id, and so the hash 0.
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version
FROM {schema}.acts
WHERE outcome IS NULL
  AND ($2::integer[] IS NULL OR hash % $3 = ANY ($2) OR created_at <= $4)
ORDER BY act_seq LIMIT $1;

-- name: outbox
SELECT writer, seq, created_at, content FROM {schema}.outbox ORDER BY writer, seq;

-- name: outage
-- Waits begin where the latest outage ended, whoever noticed that; whether one is on is each life's own to say.
SELECT (SELECT max(outage_ended_at) FROM {schema}.replicas), outage_on FROM {schema}.replicas WHERE replica = $1;

-- name: meta
SELECT key, value FROM {schema}.meta;

-- name: told_errors
SELECT saga_type, saga_id, error FROM {schema}.told_errors;

-- name: losses
SELECT key, value FROM {schema}.meta WHERE key >= 'lost/' AND key < 'lost0';

-- name: offsets
SELECT topic, partition, next FROM {schema}.offsets WHERE next IS NOT NULL;

-- name: settings
-- One row at least: what every batch is compared with, and each pause (R72).
SELECT s.number, s.lanes, p.scope, p.actor, p.reason, p.at, p.under_way
FROM {schema}.settings s LEFT JOIN {schema}.pauses p ON true ORDER BY p.at, p.scope;

-- name: register
INSERT INTO {schema}.definitions AS d (saga_type, version, fingerprint, description) VALUES ($1, $2, $3, $4)
ON CONFLICT (saga_type, version) DO UPDATE SET fingerprint = excluded.fingerprint, description = excluded.description
WHERE d.description IS NULL AND d.fingerprint IN (excluded.fingerprint, $5);

-- name: definitions
SELECT saga_type, version, fingerprint, description FROM {schema}.definitions;

-- name: join
-- What the ended lives knew of an outage is ours to end, and to remember.
INSERT INTO {schema}.replicas
  (name, program, knows, definitions, began_at, clock, "window", outage_ended_at, outage_on)
SELECT $1, $2, $6, $3, $4, coalesce(max(r.clock), 0), $5, coalesce(max(r.outage_ended_at), 0),
       coalesce(bool_or(r.outage_on AND r.state <> 'live'), false)
FROM {schema}.replicas r RETURNING replica;

-- name: join_beat
INSERT INTO {schema}.beats (replica, beat) VALUES ($1, 0);

-- name: join_lanes
-- Whoever changes a row of `sagas` holds this row's lock, shared: the sums below are exact while we hold it (R72).
UPDATE {schema}.settings SET lanes = CASE lanes WHEN 0 THEN $1 ELSE lanes END;

-- name: join_ended
-- Nobody counts for them any more: the sums below are made up without them.
UPDATE {schema}.replicas SET outage_on = false, in_flight = 0, pending = 0
WHERE state <> 'live' AND (outage_on OR in_flight <> 0 OR pending <> 0);

-- name: join_forget
-- Ended lives of which nothing waits to be published: the old ones, and all but so many where a process dies and is
-- started again for days. Every batch adds up all rows.
DELETE FROM {schema}.replicas r
WHERE r.state <> 'live' AND NOT EXISTS (SELECT 1 FROM {schema}.outbox o WHERE o.writer = r.replica)
  AND (greatest(r.clock, r.began_at) < $1
       OR r.replica < (SELECT min(newest.replica) FROM (
            SELECT replica FROM {schema}.replicas WHERE state <> 'live' ORDER BY replica DESC LIMIT $2) newest));

-- name: join_forget_beats
DELETE FROM {schema}.beats b WHERE NOT EXISTS (SELECT 1 FROM {schema}.replicas r WHERE r.replica = b.replica);

-- name: join_sums
-- What is not counted by anybody yet is ours.
UPDATE {schema}.replicas r
SET in_flight = (SELECT count(*) FROM {schema}.sagas WHERE state IN ('RUNNING', 'COMPENSATING') AND held IS NULL)
              - (SELECT sum(in_flight) FROM {schema}.replicas),
    pending = (SELECT count(*) FROM {schema}.sagas WHERE state = 'PENDING' AND held IS NULL)
            - (SELECT sum(pending) FROM {schema}.replicas)
WHERE replica = $1;

-- name: beat
UPDATE {schema}.beats SET beat = beat + 1 WHERE replica = $1;

-- name: peers
SELECT r.replica, r.name, b.beat FROM {schema}.replicas r JOIN {schema}.beats b USING (replica)
WHERE r.state = 'live' ORDER BY r.replica;

-- name: sums
SELECT sum(in_flight)::bigint, sum(pending)::bigint, sum(unsent)::bigint, min("window") FILTER (WHERE state = 'live')
FROM {schema}.replicas;

-- name: clock
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, (SELECT max(clock) FROM {schema}.replicas);

-- name: lock_lives
-- In one order, so that two who judge each other do not wait for each other.
SELECT replica, state FROM {schema}.replicas WHERE replica = ANY ($1::bigint[]) ORDER BY replica FOR UPDATE;

-- name: bury
-- Compare and set: its beat is the one that was seen.
UPDATE {schema}.replicas r SET state = 'dead', heir = $1
WHERE r.replica = $2 AND r.state = 'live'
  AND EXISTS (SELECT 1 FROM {schema}.beats b WHERE b.replica = $2 AND b.beat = $3);

-- name: take_over
-- What a life has counted becomes its judge's.
WITH dead AS (SELECT in_flight, pending, outage_on FROM {schema}.replicas WHERE replica = $2),
     gone AS (UPDATE {schema}.replicas SET in_flight = 0, pending = 0, outage_on = false WHERE replica = $2)
UPDATE {schema}.replicas r
SET in_flight = r.in_flight + dead.in_flight, pending = r.pending + dead.pending,
    outage_on = r.outage_on OR dead.outage_on
FROM dead WHERE r.replica = $1;

-- name: leave
UPDATE {schema}.replicas SET state = 'gone' WHERE replica = $1 AND state = 'live';

-- name: life_of
-- Waits for the transaction that may still hold the row: every batch begins with it (R62, R68).
SELECT state, batch FROM {schema}.replicas WHERE replica = $1 FOR UPDATE;

-- name: has_later_lives
SELECT EXISTS (SELECT 1 FROM {schema}.replicas WHERE replica > $1);

-- name: follow
-- Ended lives that nobody alive follows.
UPDATE {schema}.replicas r SET heir = $1
WHERE r.state <> 'live' AND r.heir IS DISTINCT FROM $1
  AND NOT EXISTS (SELECT 1 FROM {schema}.replicas h WHERE h.replica = r.heir AND h.state = 'live');

-- name: inherited
SELECT replica FROM {schema}.replicas WHERE heir = $1 AND state <> 'live';

-- name: left_behind
SELECT writer, seq, created_at, messages, content FROM {schema}.outbox WHERE writer = ANY ($1::bigint[])
ORDER BY writer, seq;

-- name: owe
-- Messages of theirs count as ours from now on.
WITH theirs AS (UPDATE {schema}.replicas SET unsent = 0 WHERE replica = ANY ($2::bigint[]))
UPDATE {schema}.replicas SET unsent = unsent + $3 WHERE replica = $1;

-- name: horizon_partitions
SELECT topic, partition, drained_at FROM {schema}.offsets WHERE drained_at > 0;

-- name: horizon_topics
SELECT topic, partitions, counted_at FROM {schema}.topics;

-- name: horizon
-- One statement: a row that is being marked as withheld must be in one of the two.
SELECT (SELECT min(wake_at) FROM {schema}.sagas WHERE wake_at IS NOT NULL),
       (SELECT min(created_at) FROM {schema}.outbox WHERE topic IS NULL),
       (SELECT max(outage_ended_at) FROM {schema}.replicas),
       (SELECT json_object_agg(h.topic, h.at)::text FROM
         (SELECT topic, min(created_at) AS at FROM {schema}.outbox WHERE topic IS NOT NULL GROUP BY topic) h);

-- name: withhold
UPDATE {schema}.outbox o SET topic = u.t FROM unnest($1::bigint[], $2::bigint[], $3::text[]) u(w, s, t)
WHERE (o.writer, o.seq) = (u.w, u.s);
