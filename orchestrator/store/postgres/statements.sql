-- What is asked beside the replicas, in PostgreSQL's words; names, parameters and columns are those of SQLite's
-- statements. `{schema}` stands for the schema's name. Lists come as JSON and become arrays, which an index is used for.

-- name: meta
SELECT key, value FROM {schema}.meta
UNION ALL SELECT 'clock', coalesce(max(clock), 0)::text FROM {schema}.replicas;

-- name: next_key
SELECT coalesce(max(saga_key), 0) + 1 FROM {schema}.sagas;

-- name: get
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM {schema}.sagas WHERE saga_type = $1 AND saga_id = $2;

-- name: count_held
SELECT held, state, count(*) FROM {schema}.sagas WHERE held IS NOT NULL GROUP BY held, state;

-- name: pauses
SELECT scope, actor, reason, at, under_way FROM {schema}.pauses ORDER BY at, scope;

-- name: offsets
SELECT topic, partition, next FROM {schema}.offsets WHERE next IS NOT NULL;

-- name: count_states
SELECT state, count(*) FROM {schema}.sagas WHERE state NOT IN ('COMPLETED', 'COMPENSATED') GROUP BY state;

-- name: versions
SELECT DISTINCT saga_type, definition_version FROM {schema}.sagas WHERE state NOT IN ('COMPLETED', 'COMPENSATED');

-- name: definitions
SELECT saga_type, version, fingerprint, description FROM {schema}.definitions;

-- name: insert_act
-- The same act id twice is one act (R25). All at once: the columns come as arrays.
INSERT INTO {schema}.acts (act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version,
                           created_at, hash)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::integer[], $10::bigint[], $11::bigint[])
ON CONFLICT DO NOTHING;

-- name: note_act
-- An act that is done already: it is kept with the others, and waits for nobody.
INSERT INTO {schema}.acts (act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version,
                           created_at, outcome, message, decided_at, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'done', $11, $10, $12) ON CONFLICT DO NOTHING;

-- name: tell_act
UPDATE {schema}.acts SET message = $1 WHERE act_id = $2;

-- name: announce_acts
-- Sent with the transaction's end; never by one that commits a batch (R74).
SELECT pg_notify('saga_acts', '');

-- name: acts_by_id
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM {schema}.acts WHERE act_id = ANY (ARRAY(SELECT json_array_elements_text($1::json)));

-- name: list_acts
-- Newest first. Every start over HTTP is an act, so each narrower question has a statement that an index answers.
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM {schema}.acts WHERE ($1::text IS NULL OR saga_type = $1)
ORDER BY act_seq DESC LIMIT $2;

-- name: list_waiting_acts
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM {schema}.acts WHERE outcome IS NULL AND ($1::text IS NULL OR saga_type = $1)
ORDER BY act_seq DESC LIMIT $2;

-- name: list_acts_of_bulk
-- Their ids begin with the bulk act's and a slash, and `0` comes after the slash. Sorted after they are found: the
-- planner would else walk all acts by their number, in the hope to meet some of these soon.
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM (
  SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
         outcome, message, decided_at, act_seq
  FROM {schema}.acts
  WHERE act_id >= $3::text || '/' AND act_id < $3 || '0' AND ($1::text IS NULL OR saga_type = $1)
    AND (NOT $4::boolean OR outcome IS NULL)
  OFFSET 0
) found ORDER BY act_seq DESC LIMIT $2;

-- name: list_acts_of
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM {schema}.acts
WHERE saga_id = $3 AND ($1::text IS NULL OR saga_type = $1) AND (NOT $4::boolean OR outcome IS NULL)
  AND ($5::text IS NULL OR starts_with(act_id, $5 || '/'))
ORDER BY act_seq DESC LIMIT $2;

-- name: find
-- A saga by its id alone: operators seldom know the type. The index is by type and id, so the few types that there
-- are come first: without them every saga would be read.
WITH RECURSIVE types (name) AS (
  SELECT min(saga_type) FROM {schema}.sagas
  UNION ALL
  SELECT (SELECT min(saga_type) FROM {schema}.sagas WHERE saga_type > name) FROM types WHERE name IS NOT NULL
)
SELECT saga.* FROM types CROSS JOIN LATERAL (
  SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
         request_hash, created_at, updated_at, held, hold, trace
  FROM {schema}.sagas WHERE saga_type = name AND saga_id = $1 LIMIT 1
) saga
WHERE $2::text IS NULL OR name = $2 ORDER BY saga_type;

-- name: find_by_prefix
-- The first ids that begin with a text, type by type: a range of the index, however many sagas there are. Every
-- character that an id may have comes before `~`.
WITH RECURSIVE types (name) AS (
  SELECT min(saga_type) FROM {schema}.sagas
  UNION ALL
  SELECT (SELECT min(saga_type) FROM {schema}.sagas WHERE saga_type > name) FROM types WHERE name IS NOT NULL
)
SELECT saga.* FROM types CROSS JOIN LATERAL (
  SELECT saga_type, saga_id FROM {schema}.sagas
  WHERE saga_type = name AND saga_id >= $1 AND saga_id < $1 || '~' ORDER BY saga_id LIMIT $3
) saga
WHERE $2::text IS NULL OR name = $2 ORDER BY saga_type, saga_id LIMIT $3;

-- name: log
SELECT seq, step, status, attempt, at, detail FROM {schema}.step_log WHERE saga_key = $1 ORDER BY seq;

-- name: open_keys
-- The sagas that go on by themselves.
SELECT saga_key FROM {schema}.sagas
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') AND state IN ('PENDING', 'RUNNING', 'COMPENSATING') LIMIT $1;

-- name: ended_among
-- Which of these keys, or of those accepted between two others, have ended or are parked.
SELECT saga_key, saga_type, saga_id, state, coalesce(replace(parked, '\u0000', '\ufffd')::json ->> 'detail', error),
       updated_at - created_at
FROM {schema}.sagas
WHERE (saga_key = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint)) OR (saga_key >= $2 AND saga_key < $3))
  AND state IN ('COMPLETED', 'COMPENSATED', 'PARKED')
ORDER BY updated_at, saga_key;

-- name: timers
-- What happens next by itself, the soonest first, from after one saga's.
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM {schema}.sagas
WHERE wake_at IS NOT NULL AND (wake_at, saga_key) > ($1::bigint, $2::bigint) AND ($3::text IS NULL OR saga_type = $3)
ORDER BY wake_at, saga_key LIMIT $4;

-- name: open_marks
-- How far each saga has come that has not ended: what differs from the last look has changed.
SELECT saga_key, log_seq FROM {schema}.sagas WHERE state NOT IN ('COMPLETED', 'COMPENSATED') LIMIT $1;

-- name: marks_of
-- How far some sagas have come, whichever they are.
SELECT saga_type, saga_id, log_seq
FROM json_array_elements($1::json) JOIN {schema}.sagas ON saga_type = value ->> 0 AND saga_id = value ->> 1;

-- name: changed_sagas
-- Sagas by their keys, and those accepted between two others; the newest where there are too many.
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM {schema}.sagas
WHERE saga_key = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint)) OR (saga_key >= $2 AND saga_key < $3)
ORDER BY saga_key DESC LIMIT $4;

-- part: passes_filter
($4::text IS NULL OR saga_type = $4) AND ($14::text IS NULL OR (saga_id >= $14 AND saga_id < $14 || '~'))
  AND ($5::text IS NULL
       OR position(lower($5) IN lower(coalesce(replace(parked, '\u0000', '\ufffd')::json ->> 'detail', error))) > 0
       OR (state IN ('RUNNING', 'COMPENSATING') AND position(lower($5) IN lower(
             replace(steps, '\u0000', '\ufffd')::json -> (current_step - 1) ->> 'error')) > 0))
  AND (NOT $7::boolean OR held IS NOT NULL) AND created_at >= $8 AND created_at < $9
  AND ($10::text IS NULL OR replace(parked, '\u0000', '\ufffd')::json ->> 'reason' = $10)
  AND ($11::text IS NULL
       OR (data::json #> string_to_array(substr($11, 3), '.'))::text
          = ANY (ARRAY(SELECT json_array_elements_text($12::json))))
  AND ($13::text IS NULL
       OR saga_type || '/' || definition_version || '/' || current_step
          = ANY (ARRAY(SELECT json_array_elements_text($13::json))))

-- name: list_newest
-- Newest first along the primary key: it stops at its limit, however many sagas there are.
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM {schema}.sagas
WHERE saga_key >= $1 AND saga_key < $2 AND state = ANY (ARRAY(SELECT json_array_elements_text($3::json)))
  AND {passes_filter}
ORDER BY saga_key DESC LIMIT $6;

-- name: list_unfinished
-- The same among what is unfinished: a handful beside millions that are not. State by state, since only so the index of
-- these has them in order: else the planner reads all sagas backwards, and finds the page where the open ones are.
SELECT saga.* FROM json_array_elements_text($3::json) states (wanted) CROSS JOIN LATERAL (
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM {schema}.sagas
WHERE state NOT IN ('COMPLETED', 'COMPENSATED')
  AND saga_key >= $1 AND saga_key < $2 AND state = wanted
  AND {passes_filter}
ORDER BY saga_key DESC LIMIT $6
) saga ORDER BY saga_key DESC LIMIT $6;

-- name: first_key
SELECT coalesce((SELECT saga_key FROM {schema}.sagas ORDER BY saga_key LIMIT 1), 0);

-- name: created_from
-- The first saga at or after a key. Keys and times grow together but for the slack (R75), so a moment is found by
-- bisection.
SELECT saga_key, created_at FROM {schema}.sagas WHERE saga_key >= $1 ORDER BY saga_key LIMIT 1;

-- name: count_all
-- Of many the server's own estimate: to count them is to read them all.
SELECT CASE WHEN reltuples > 1000000 THEN reltuples::bigint ELSE (SELECT count(*) FROM {schema}.sagas) END
FROM pg_class WHERE oid = '{schema}.sagas'::regclass;

-- name: count_by_state
-- Reads every row: for a screen that asks seldom.
SELECT state, count(*) FROM {schema}.sagas GROUP BY state;

-- name: durations
-- How long the newest finished sagas took, in milliseconds.
SELECT updated_at - created_at FROM {schema}.sagas WHERE state IN ('COMPLETED', 'COMPENSATED')
ORDER BY saga_key DESC LIMIT $1;

-- name: outbox_age
SELECT count(*), coalesce(sum(messages), 0)::bigint, min(created_at) FROM {schema}.outbox;

-- name: upkeep_turn
-- One process at a time, and whoever is busy elsewhere does not wait for it (R75).
SELECT pg_try_advisory_xact_lock(hashtextextended('kafka-saga upkeep {schema}', 0));

-- name: purge_candidates
SELECT saga_key, saga_type, saga_id, state, request_hash, created_at, updated_at
FROM {schema}.sagas WHERE saga_key >= $1 ORDER BY saga_key LIMIT $2;

-- name: purge_sagas
-- A saga that somebody looks at now is left for the next time.
DELETE FROM {schema}.sagas WHERE saga_key IN (
  SELECT saga_key FROM {schema}.sagas
  WHERE saga_key = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint)) AND state IN ('COMPLETED', 'COMPENSATED')
  ORDER BY saga_key FOR UPDATE SKIP LOCKED
) RETURNING saga_key;

-- name: insert_purged
-- All at once: the columns come as arrays.
INSERT INTO {schema}.purged (digest, saga_type, saga_id, state, request_hash, created_at, ended_at, purged_at)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::bigint[],
                     $8::bigint[]);

-- name: purge_log
DELETE FROM {schema}.step_log WHERE saga_key = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint));

-- name: load_purged
SELECT saga_type, saga_id, state, request_hash, created_at, ended_at, purged_at
FROM {schema}.purged WHERE digest = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint)) ORDER BY purged_key;

-- name: forget_purged
-- The oldest first; only so many rows are looked at.
DELETE FROM {schema}.purged WHERE purged_key IN (
  SELECT purged_key FROM (SELECT purged_key, purged_at FROM {schema}.purged ORDER BY purged_key LIMIT $2) oldest
  WHERE purged_at < $1
);

-- name: old_acts
-- Acts of sagas that are still here stay with them, as part of their history.
SELECT act_seq, decided_at, EXISTS (
  SELECT 1 FROM {schema}.sagas s WHERE s.saga_type = acts.saga_type AND s.saga_id = acts.saga_id
)
FROM {schema}.acts WHERE act_seq >= $1 ORDER BY act_seq LIMIT $2;

-- name: delete_acts
DELETE FROM {schema}.acts WHERE act_seq = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint));

-- name: insert_purge
INSERT INTO {schema}.purges (purge_id, ended_before, saga_type, states, actor, created_at)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: waiting_purges
SELECT purge_id, ended_before, saga_type, states, from_key FROM {schema}.purges WHERE ended_at IS NULL
ORDER BY purge_seq;

-- name: note_purge
UPDATE {schema}.purges SET purged = purged + $1, from_key = $2, ended_at = $3 WHERE purge_id = $4;

-- name: purge_from
SELECT from_key FROM {schema}.purges WHERE purge_id = $1 AND ended_at IS NULL;

-- name: purge
SELECT purged, ended_at FROM {schema}.purges WHERE purge_id = $1;

-- name: count_purgeable
-- Reads every saga that was accepted before the cut.
SELECT count(*) FROM {schema}.sagas
WHERE saga_key < $1 AND state = ANY (ARRAY(SELECT json_array_elements_text($2::json))) AND updated_at < $3
  AND ($4::text IS NULL OR saga_type = $4);

-- name: count_purged
SELECT count(*) FROM {schema}.purged;

-- name: oldest_unfinished
-- State by state, as `list_unfinished`.
SELECT saga.saga_type, saga.saga_id, saga.state, saga.created_at
FROM (VALUES ('PENDING'), ('RUNNING'), ('COMPENSATING'), ('PARKED')) states (wanted) CROSS JOIN LATERAL (
  SELECT saga_key, saga_type, saga_id, state, created_at FROM {schema}.sagas
  WHERE state NOT IN ('COMPLETED', 'COMPENSATED') AND state = wanted ORDER BY saga_key LIMIT 1
) saga ORDER BY saga.saga_key LIMIT 1;

-- name: outbox_first
-- The oldest batches that wait to be published.
SELECT writer || '/' || seq, created_at, messages, content FROM {schema}.outbox
ORDER BY created_at, writer, seq LIMIT $1;

-- name: outbox_with
-- The first batch that holds a text: a command's id stands in its headers as it is.
SELECT created_at, content FROM {schema}.outbox WHERE position($1::bytea IN content) > 0
ORDER BY created_at, writer, seq LIMIT 1;

-- name: overdue
-- Timers that should have fired before a moment: how many, at most so many, and the first.
SELECT count(*), min(wake_at) FROM (
  SELECT wake_at FROM {schema}.sagas WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2
) due;

-- name: count_types
-- How many unfinished sagas of each type are in each state.
SELECT saga_type, state, count(*) FROM {schema}.sagas
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') GROUP BY saga_type, state;

-- name: waiting_steps
-- At which steps the sagas of one state are, oldest first and at most so many: never a million rows.
SELECT saga_type, definition_version, current_step, count(*), min(saga_key) FROM (
  SELECT saga_type, definition_version, current_step, saga_key, held FROM {schema}.sagas
  WHERE state = $1 AND state NOT IN ('COMPLETED', 'COMPENSATED') ORDER BY saga_key LIMIT $2
) oldest WHERE held IS NULL GROUP BY saga_type, definition_version, current_step
ORDER BY saga_type, definition_version, current_step;

-- name: parked_at
-- At which steps parked sagas stopped, and whether they were being undone; the oldest only.
SELECT saga_type, definition_version, current_step, undoing, count(*) FROM (
  SELECT saga_type, definition_version, current_step,
         replace(parked, '\u0000', '\ufffd')::json ->> 'from_state' = 'COMPENSATING' AS undoing
  FROM {schema}.sagas
  WHERE state = 'PARKED' AND state NOT IN ('COMPLETED', 'COMPENSATED') ORDER BY saga_key LIMIT $1
) stopped GROUP BY 1, 2, 3, 4;

-- name: by_key
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM {schema}.sagas WHERE saga_key = $1;

-- name: parked_reasons
SELECT replace(parked, '\u0000', '\ufffd')::json ->> 'reason', count(*) FROM (
  SELECT parked FROM {schema}.sagas
  WHERE state = 'PARKED' AND state NOT IN ('COMPLETED', 'COMPENSATED') ORDER BY saga_key LIMIT $1
) oldest GROUP BY 1 ORDER BY 2 DESC, 1;

-- name: acts_not_taken
SELECT count(*), min(created_at) FROM (
  SELECT created_at FROM {schema}.acts WHERE outcome IS NULL ORDER BY act_seq LIMIT $1
) waiting;

-- name: unfinished_among
SELECT saga_type, saga_id FROM {schema}.sagas
WHERE saga_type = $1 AND saga_id = ANY (ARRAY(SELECT json_array_elements_text($2::json)))
  AND state NOT IN ('COMPLETED', 'COMPENSATED');

-- name: ahead_of
-- How many sagas were accepted before one that waits to be admitted, and wait too; at most so many are counted.
SELECT count(*) FROM (
  SELECT 1 FROM {schema}.sagas
  WHERE state = 'PENDING' AND state NOT IN ('COMPLETED', 'COMPENSATED') AND saga_key < $1 LIMIT $2
) earlier;

-- name: losses
SELECT key, value FROM {schema}.meta WHERE key >= 'lost/' AND key < 'lost0';

-- name: schema_version
SELECT coalesce(max(number), 0), coalesce(max(compatible_from), 0) FROM {schema}.migrations;

-- name: tables_there
-- Of a schema in which there is no store.
SELECT relname::text FROM pg_class
WHERE relnamespace = to_regnamespace('{schema}') AND relkind IN ('r', 'p', 'f', 'v', 'm') ORDER BY 1;

-- name: schemas_with_a_store
-- In this database, told by tables that no other product has together.
SELECT n.nspname::text FROM pg_namespace n
WHERE (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r'
         AND c.relname IN ('migrations', 'replicas', 'beats', 'sagas', 'step_log', 'outbox')) = 6
ORDER BY 1;

-- name: beats
-- The lives that say that they live. Whether they do is told by their beats (R61).
SELECT r.replica, r.name, coalesce(b.beat, 0) FROM {schema}.replicas r LEFT JOIN {schema}.beats b USING (replica)
WHERE r.state = 'live' ORDER BY r.name, r.replica;

-- name: server
SELECT current_setting('server_version'), current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on',
       current_setting('synchronous_commit'), current_setting('max_connections')::integer,
       (SELECT sum(numbackends)::integer FROM pg_stat_database), pg_is_in_recovery();

-- name: oldest_transaction
-- Of those that this role may see; while one is open, no row that died since is cleaned up.
SELECT pid, application_name, (extract(epoch FROM clock_timestamp() - xact_start) * 1000)::bigint FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
ORDER BY xact_start, pid LIMIT 1;

-- name: table_sizes
SELECT c.relname, pg_total_relation_size(c.oid), coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0)
FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relnamespace = to_regnamespace('{schema}') AND c.relkind = 'r' ORDER BY 2 DESC, 1;

-- name: lives
-- The newest life of each name, with what it has not published; and those that left something behind.
SELECT r.replica, r.name, r.state, r.batch, r.clock, coalesce(sum(o.messages), 0)::bigint, min(o.created_at)
FROM {schema}.replicas r LEFT JOIN {schema}.outbox o ON o.writer = r.replica
WHERE r.state = 'live' OR o.writer IS NOT NULL
   OR r.replica IN (SELECT max(replica) FROM {schema}.replicas GROUP BY name)
GROUP BY r.replica ORDER BY r.name, r.replica;

-- name: scattered
SELECT topic FROM {schema}.topics WHERE scattered ORDER BY topic;

-- name: undrained
-- Reply partitions that are not known to be read up to a moment: while there is one, no timer that was due then fires
-- (R70).
SELECT t.topic, p, coalesce(o.drained_at, 0)
FROM {schema}.topics t CROSS JOIN generate_series(0, t.partitions - 1) p
     LEFT JOIN {schema}.offsets o ON o.topic = t.topic AND o.partition = p
WHERE t.topic = ANY (ARRAY(SELECT json_array_elements_text($1::json))) AND coalesce(o.drained_at, 0) < $2
ORDER BY 3, 1, 2 LIMIT $3;

-- name: uncounted
-- Reply topics whose partitions were not counted since, or never.
SELECT wanted.topic FROM json_array_elements_text($1::json) wanted (topic)
LEFT JOIN {schema}.topics t ON t.topic = wanted.topic WHERE coalesce(t.counted_at, 0) < $2 ORDER BY 1;

-- name: oldest_writer
-- Whose messages have not been published for the longest time. What one topic refuses holds only that topic's timers.
SELECT o.writer, r.name, r.state, o.created_at FROM {schema}.outbox o LEFT JOIN {schema}.replicas r ON r.replica = o.writer
WHERE o.topic IS NULL ORDER BY o.created_at, o.writer, o.seq LIMIT 1;

-- A store that is moved here (docs/operating.md).

-- name: copy_turn
SELECT pg_try_advisory_lock(hashtextextended('kafka-saga copy {schema}', 0));

-- name: lock_replicas
-- No orchestrator begins a life meanwhile.
LOCK TABLE {schema}.replicas IN EXCLUSIVE MODE;

-- name: used_by
-- What is there already.
SELECT name FROM (VALUES
  ('replicas', EXISTS (SELECT 1 FROM {schema}.replicas)), ('sagas', EXISTS (SELECT 1 FROM {schema}.sagas)),
  ('offsets', EXISTS (SELECT 1 FROM {schema}.offsets)), ('messages', EXISTS (SELECT 1 FROM {schema}.outbox)),
  ('acts', EXISTS (SELECT 1 FROM {schema}.acts)), ('purged sagas', EXISTS (SELECT 1 FROM {schema}.purged))
) used (name, is_there) WHERE is_there;

-- name: empty_copy
-- What an earlier run has copied.
TRUNCATE {schema}.replicas, {schema}.sagas, {schema}.step_log, {schema}.outbox, {schema}.offsets, {schema}.acts,
         {schema}.pauses, {schema}.purged, {schema}.purges, {schema}.told_errors, {schema}.definitions;

-- name: count_replicas
SELECT count(*) FROM {schema}.replicas;

-- name: insert_predecessor
-- The file's owner, as a replica that has gone.
INSERT INTO {schema}.replicas (name, state, program, definitions, began_at, clock) VALUES ($1, 'gone', $2, '[]', $3, 0)
RETURNING replica;

-- name: complete_predecessor
-- Its clock, what it knew of outages, and what it had in hand.
UPDATE {schema}.replicas SET clock = $2, outage_ended_at = $3, outage_on = $4,
  batch = (SELECT coalesce(max(seq), 0) FROM {schema}.outbox),
  unsent = (SELECT coalesce(sum(messages), 0) FROM {schema}.outbox),
  in_flight = (SELECT count(*) FROM {schema}.sagas WHERE state IN ('RUNNING', 'COMPENSATING') AND held IS NULL),
  pending = (SELECT count(*) FROM {schema}.sagas WHERE state = 'PENDING' AND held IS NULL)
WHERE replica = $1;

-- name: go_on_counting
-- Keys that the server gives come after those that were given before.
SELECT setval(pg_get_serial_sequence('{schema}.sagas', 'saga_key'), (SELECT coalesce(max(saga_key), 0) + 1 FROM {schema}.sagas), false),
       setval(pg_get_serial_sequence('{schema}.acts', 'act_seq'), (SELECT coalesce(max(act_seq), 0) + 1 FROM {schema}.acts), false),
       setval(pg_get_serial_sequence('{schema}.purged', 'purged_key'), (SELECT coalesce(max(purged_key), 0) + 1 FROM {schema}.purged), false),
       setval(pg_get_serial_sequence('{schema}.purges', 'purge_seq'), (SELECT coalesce(max(purge_seq), 0) + 1 FROM {schema}.purges), false);

-- name: note
INSERT INTO {schema}.meta (key, value) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: forget_note
DELETE FROM {schema}.meta WHERE key = $1;

-- name: analyze
ANALYZE {schema}.sagas, {schema}.step_log, {schema}.acts, {schema}.outbox;

-- A new life of a store that its server's own tools have put back (R59).

-- name: outage_on
UPDATE {schema}.replicas SET outage_on = true WHERE state = 'live';

-- name: forget_told_errors
DELETE FROM {schema}.told_errors;

-- name: note_error
INSERT INTO {schema}.told_errors (saga_type, saga_id, error) SELECT * FROM unnest($1::text[], $2::text[], $3::text[]);

-- name: set_offset
-- What was read of a partition before is known of it no more (R69).
INSERT INTO {schema}.offsets (topic, partition, next) SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[])
ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next, drained_at = 0;

-- name: unfinished_keys
-- Every saga that has not ended, a page at a time.
SELECT saga_key, saga_type, saga_id FROM {schema}.sagas
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') AND saga_key > $1 ORDER BY saga_key LIMIT $2;

-- name: end_lives
-- Replicas of before: what one of them still sends meets this (R62).
UPDATE {schema}.replicas SET state = 'dead' WHERE state = 'live' AND replica <> $1;

-- name: open_failures
-- What is parked, and what waits to be tried again, by its words and its step; the oldest of each state only.
SELECT kind, saga_type, definition_version, step, undoing, error, cause, count(*), min(saga_id), min(updated_at), max(updated_at),
       (sum(count(*)) OVER ())::bigint
FROM (
  SELECT 'parked' AS kind, saga_type, definition_version, current_step AS step,
         replace(parked, '\u0000', '\ufffd')::json ->> 'from_state' = 'COMPENSATING' AS undoing,
         replace(parked, '\u0000', '\ufffd')::json ->> 'detail' AS error,
         replace(parked, '\u0000', '\ufffd')::json ->> 'reason' AS cause, saga_id, updated_at
  FROM (SELECT * FROM {schema}.sagas
        WHERE state = 'PARKED' AND state NOT IN ('COMPLETED', 'COMPENSATED') ORDER BY saga_key LIMIT $1) parked
  UNION ALL
  SELECT 'retrying', saga_type, definition_version, current_step, state = 'COMPENSATING',
         replace(steps, '\u0000', '\ufffd')::json -> (current_step - 1) ->> 'error', NULL, saga_id, updated_at
  FROM (SELECT * FROM {schema}.sagas WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT $1) waiting
  WHERE replace(steps, '\u0000', '\ufffd')::json -> (current_step - 1) ->> 'error' IS NOT NULL
) failed
GROUP BY kind, saga_type, definition_version, step, undoing, error, cause
ORDER BY count(*) DESC, kind, error LIMIT $2;

-- name: undone_failures
-- Why sagas were undone, by the words and the last step that failed; of those with keys between two others.
SELECT 'undone', saga_type, definition_version, step, false, error, NULL::text, count(*), min(saga_id), min(updated_at), max(updated_at),
       (sum(count(*)) OVER ())::bigint
FROM (
  SELECT saga_type, definition_version, error, saga_id, updated_at, coalesce((
    SELECT max(number) FROM json_array_elements(replace(steps, '\u0000', '\ufffd')::json) WITH ORDINALITY step (value, number)
    WHERE value ->> 'error' IS NOT NULL), 0) AS step
  FROM {schema}.sagas WHERE saga_key >= $1 AND saga_key < $2 AND state = 'COMPENSATED'
) undone
GROUP BY saga_type, definition_version, step, error ORDER BY count(*) DESC, error LIMIT $3;

-- name: ended_by_minute
SELECT updated_at / 60000, state, count(*) FROM {schema}.sagas
WHERE saga_key >= $1 AND saga_key < $2 AND state IN ('COMPLETED', 'COMPENSATED') GROUP BY 1, 2;

-- name: logs_between
SELECT saga_key, seq, step, status, attempt, at, '{}' FROM {schema}.step_log WHERE saga_key >= $1 AND saga_key < $2
ORDER BY saga_key, seq;

-- name: versions_between
SELECT saga_key, saga_type, definition_version FROM {schema}.sagas WHERE saga_key >= $1 AND saga_key < $2;

-- name: acts_before
SELECT act_seq, act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM {schema}.acts
WHERE act_seq >= $6 AND act_seq < $1 AND ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR verb = $3)
  AND ($4::text IS NULL OR coalesce(outcome, 'waiting') = $4)
ORDER BY act_seq DESC LIMIT $5;

-- name: next_act
SELECT coalesce(max(act_seq), 0) + 1 FROM {schema}.acts;

-- name: unfinished_by_version
SELECT saga_type, definition_version, state, count(*) FROM {schema}.sagas
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') GROUP BY 1, 2, 3;

-- name: oldest_moving
-- Those that have been under way for the longest time.
SELECT saga.* FROM (VALUES ('RUNNING'), ('COMPENSATING')) states (wanted) CROSS JOIN LATERAL (
  SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
         request_hash, created_at, updated_at, held, hold, trace
  FROM {schema}.sagas WHERE state NOT IN ('COMPLETED', 'COMPENSATED') AND state = wanted ORDER BY saga_key LIMIT $1
) saga ORDER BY saga_key LIMIT $1;
