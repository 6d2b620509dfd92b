-- Every statement of the SQLite store, each with its name and what it is for.

-- name: new_store
-- A store names itself once, when it is created.
INSERT INTO meta (key, value) VALUES ('store_id', ?), ('clock', '0') ON CONFLICT DO NOTHING;

-- name: meta
SELECT key, value FROM meta;

-- name: tick
-- The newest moment this store has seen; its clock never goes behind it (R27).
UPDATE meta SET value = ? WHERE key = 'clock';

-- name: note
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: versions_of
SELECT saga_key, version FROM sagas WHERE saga_key IN (?ids);

-- name: next_key
SELECT coalesce(max(saga_key), 0) + 1 FROM sagas;

-- name: load
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM sagas WHERE saga_type = ? AND saga_id IN (?ids);

-- name: get
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM sagas WHERE saga_type = ? AND saga_id = ?;

-- Of what is unfinished only: SQLite takes a partial index where it is named and its own condition is repeated, and
-- reads every saga there ever was where it is not.

-- name: pending
-- Not those that are held, or of a paused type.
SELECT saga_type, saga_id FROM sagas INDEXED BY sagas_unfinished
WHERE state = 'PENDING' AND state NOT IN ('COMPLETED', 'COMPENSATED')
  AND held IS NULL AND saga_type NOT IN (SELECT value FROM json_each(?2))
ORDER BY saga_key LIMIT ?1;

-- name: held
-- What is being undone first, and then the oldest: the index has them in this order.
SELECT saga_type, saga_id FROM sagas WHERE held = ? ORDER BY state, saga_key LIMIT ?;

-- name: count_held
SELECT held, state, count(*) FROM sagas WHERE held IS NOT NULL GROUP BY held, state;

-- name: count_pending_of
SELECT count(*) FROM sagas INDEXED BY sagas_unfinished
WHERE state = 'PENDING' AND state NOT IN ('COMPLETED', 'COMPENSATED')
  AND held IS NULL AND saga_type IN (SELECT value FROM json_each(?));

-- name: pauses
SELECT scope, actor, reason, at, under_way FROM pauses ORDER BY at, scope;

-- name: set_pause
INSERT INTO pauses (scope, actor, reason, at, under_way) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (scope) DO UPDATE
SET actor = excluded.actor, reason = excluded.reason, at = excluded.at, under_way = excluded.under_way;

-- name: lift_pause
DELETE FROM pauses WHERE scope = ?;

-- name: due
SELECT saga_type, saga_id FROM sagas WHERE wake_at <= ? ORDER BY wake_at LIMIT ?;

-- name: next_wake_at
SELECT min(wake_at) FROM sagas WHERE wake_at IS NOT NULL;

-- name: insert_saga
INSERT INTO sagas (saga_key, saga_type, saga_id, definition_version, state, current_step, data, steps, wake_at, error,
                   parked, version, log_seq, request_hash, created_at, updated_at, held, hold, trace)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: update_saga
-- Compare and set: no row changes where the version is not the one that was read.
UPDATE sagas SET state = ?, current_step = ?, steps = ?, wake_at = ?, error = ?, parked = ?, version = ?, log_seq = ?,
                 updated_at = ?, held = ?, hold = ?
WHERE saga_key = ? AND version = ?;

-- name: insert_log
INSERT INTO step_log (saga_key, seq, step, status, attempt, at, detail) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: insert_outbox
INSERT INTO outbox (writer, created_at, messages, content) VALUES (?, ?, ?, ?) RETURNING outbox_id;

-- name: delete_outbox
DELETE FROM outbox WHERE outbox_id = ?;

-- name: rewrite_outbox
UPDATE outbox SET messages = ?, content = ? WHERE outbox_id = ?;

-- name: outbox
SELECT outbox_id, created_at, content FROM outbox ORDER BY outbox_id;

-- name: insert_offset
INSERT INTO offsets (topic, partition, next) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: move_offset
UPDATE offsets SET next = ? WHERE topic = ? AND partition = ? AND next = ?;

-- name: offsets
SELECT topic, partition, next FROM offsets;

-- name: count_states
SELECT state, count(*) FROM sagas INDEXED BY sagas_unfinished
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') GROUP BY state;

-- name: versions
SELECT DISTINCT saga_type, definition_version FROM sagas INDEXED BY sagas_unfinished
WHERE state NOT IN ('COMPLETED', 'COMPENSATED');

-- name: unfinished_of
SELECT saga_type, saga_id FROM sagas INDEXED BY sagas_unfinished
WHERE state IN ('PENDING', 'RUNNING', 'COMPENSATING') AND state NOT IN ('COMPLETED', 'COMPENSATED') AND saga_type = ? AND definition_version = ? LIMIT ?;

-- name: register
INSERT INTO definitions (saga_type, version, fingerprint, description) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET fingerprint = excluded.fingerprint, description = excluded.description
WHERE description IS NULL AND fingerprint IN (excluded.fingerprint, ?5);

-- name: definitions
SELECT saga_type, version, fingerprint, description FROM definitions;

-- name: waiting_acts
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version
FROM acts WHERE outcome IS NULL ORDER BY act_seq LIMIT ?;

-- name: insert_act
-- The same act id twice is one act (R25).
INSERT INTO acts (act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: note_act
-- An act that is done already: it is kept with the others, and waits for nobody.
INSERT INTO acts (act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
                  outcome, message, decided_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'done', ?11, ?10) ON CONFLICT DO NOTHING;

-- name: tell_act
UPDATE acts SET message = ? WHERE act_id = ?;

-- name: decide_act
UPDATE acts SET outcome = ?, message = ?, decided_at = ? WHERE act_id = ? AND outcome IS NULL;

-- name: act
SELECT outcome, message, decided_at FROM acts WHERE act_id = ?;

-- name: acts_by_id
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM acts WHERE act_id IN (SELECT value FROM json_each(?));

-- name: list_acts
-- Newest first. Every start over HTTP is an act, so each narrower question has a statement that an index answers.
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM acts WHERE (?1 IS NULL OR saga_type = ?1)
ORDER BY act_seq DESC LIMIT ?2;

-- name: list_waiting_acts
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM acts WHERE outcome IS NULL AND (?1 IS NULL OR saga_type = ?1)
ORDER BY act_seq DESC LIMIT ?2;

-- name: list_acts_of_bulk
-- Their ids begin with the bulk act's and a slash, and `0` comes after the slash.
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM acts
WHERE act_id >= ?3 || '/' AND act_id < ?3 || '0' AND (?1 IS NULL OR saga_type = ?1) AND (NOT ?4 OR outcome IS NULL)
ORDER BY act_seq DESC LIMIT ?2;

-- name: list_acts_of
SELECT act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM acts
WHERE saga_id = ?3 AND (?1 IS NULL OR saga_type = ?1) AND (NOT ?4 OR outcome IS NULL)
  AND (?5 IS NULL OR substr(act_id, 1, length(?5) + 1) = ?5 || '/')
ORDER BY act_seq DESC LIMIT ?2;

-- name: find
-- A saga by its id alone: operators seldom know the type. The index is by type and id, so the few types that there
-- are come first: without them every saga would be read.
WITH RECURSIVE types (name) AS (
  SELECT min(saga_type) FROM sagas
  UNION ALL
  SELECT (SELECT min(saga_type) FROM sagas WHERE saga_type > name) FROM types WHERE name IS NOT NULL
)
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM types CROSS JOIN sagas ON saga_type = name
WHERE saga_id = ?1 AND (?2 IS NULL OR name = ?2);

-- name: find_by_prefix
-- The first ids that begin with a text, type by type: a range of the index, however many sagas there are. Every
-- character that an id may have comes before `~`.
WITH RECURSIVE types (name) AS (
  SELECT min(saga_type) FROM sagas
  UNION ALL
  SELECT (SELECT min(saga_type) FROM sagas WHERE saga_type > name) FROM types WHERE name IS NOT NULL
)
SELECT saga_type, saga_id FROM types CROSS JOIN sagas ON saga_type = name
WHERE saga_id >= ?1 AND saga_id < ?1 || '~' AND (?2 IS NULL OR name = ?2) LIMIT ?3;

-- name: log
SELECT seq, step, status, attempt, at, detail FROM step_log WHERE saga_key = ? ORDER BY seq;

-- name: open_keys
-- The sagas that go on by themselves.
SELECT saga_key FROM sagas INDEXED BY sagas_unfinished
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') AND state IN ('PENDING', 'RUNNING', 'COMPENSATING') LIMIT ?;

-- name: ended_among
-- Which of these keys, or of those accepted between two others, have ended or are parked.
WITH looked_at (name) AS (
  SELECT value FROM json_each(?1)
  UNION ALL
  SELECT saga_key FROM sagas WHERE saga_key >= ?2 AND saga_key < ?3
)
SELECT saga_key, saga_type, saga_id, state, coalesce(json_extract(parked, '$.detail'), error), updated_at - created_at
FROM looked_at CROSS JOIN sagas ON saga_key = name
WHERE state IN ('COMPLETED', 'COMPENSATED', 'PARKED') ORDER BY updated_at, saga_key;

-- part: passes_filter
(?4 IS NULL OR +saga_type = ?4) AND (?14 IS NULL OR (+saga_id >= ?14 AND +saga_id < ?14 || '~'))
  AND (?5 IS NULL OR instr(lower(coalesce(json_extract(parked, '$.detail'), error)), lower(?5)) > 0
    OR (state IN ('RUNNING', 'COMPENSATING')
      AND instr(lower(json_extract(steps, '$[' || (current_step - 1) || '].error')), lower(?5)) > 0))
  AND (NOT ?7 OR held IS NOT NULL) AND created_at >= ?8 AND created_at < ?9
  AND (?10 IS NULL OR json_extract(parked, '$.reason') = ?10)
  AND (?11 IS NULL OR data -> ?11 IN (SELECT value FROM json_each(?12)))
  AND (?13 IS NULL OR saga_type || '/' || definition_version || '/' || current_step IN (SELECT value FROM json_each(?13)))

-- name: list_newest
-- Newest first along the primary key: it stops at its limit, however many sagas there are.
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM sagas
WHERE saga_key >= ?1 AND saga_key < ?2 AND state IN (SELECT value FROM json_each(?3))
  AND {passes_filter}
ORDER BY saga_key DESC LIMIT ?6;

-- name: list_unfinished
-- The same among what is unfinished: a handful beside millions that are not.
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM sagas INDEXED BY sagas_unfinished
WHERE state NOT IN ('COMPLETED', 'COMPENSATED')
  AND saga_key >= ?1 AND saga_key < ?2 AND state IN (SELECT value FROM json_each(?3))
  AND {passes_filter}
ORDER BY saga_key DESC LIMIT ?6;

-- name: timers
-- What happens next by itself, the soonest first, from after one saga's.
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM sagas
WHERE wake_at IS NOT NULL AND (wake_at, saga_key) > (?1, ?2) AND (?3 IS NULL OR +saga_type = ?3)
ORDER BY wake_at, saga_key LIMIT ?4;

-- name: open_marks
-- How far each saga has come that has not ended: what differs from the last look has changed.
SELECT saga_key, log_seq FROM sagas INDEXED BY sagas_unfinished WHERE state NOT IN ('COMPLETED', 'COMPENSATED')
LIMIT ?1;

-- name: marks_of
-- How far some sagas have come, whichever they are.
SELECT saga_type, saga_id, log_seq
FROM json_each(?1) CROSS JOIN sagas ON saga_type = value ->> 0 AND saga_id = value ->> 1;

-- name: changed_sagas
-- Sagas by their keys, and those accepted between two others; the newest where there are too many.
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM sagas
WHERE saga_key IN (SELECT value FROM json_each(?1)) OR (saga_key >= ?2 AND saga_key < ?3)
ORDER BY saga_key DESC LIMIT ?4;

-- name: free_bytes
-- How much of the file is free to be written again.
SELECT freelist_count * page_size FROM pragma_freelist_count(), pragma_page_size();

-- name: first_key
SELECT coalesce((SELECT saga_key FROM sagas ORDER BY saga_key LIMIT 1), 0);

-- name: created_from
-- The first saga at or after a key. Keys and creation times grow together, so a moment is found by bisection.
SELECT saga_key, created_at FROM sagas WHERE saga_key >= ? ORDER BY saga_key LIMIT 1;

-- name: count_all
SELECT count(*) FROM sagas;

-- name: count_by_state
-- Reads every row: for a screen that asks seldom.
SELECT state, count(*) FROM sagas GROUP BY state;

-- name: durations
-- How long the newest finished sagas took, in milliseconds.
SELECT updated_at - created_at FROM sagas WHERE state IN ('COMPLETED', 'COMPENSATED') ORDER BY saga_key DESC LIMIT ?;

-- name: outbox_age
SELECT count(*), coalesce(sum(messages), 0), min(created_at) FROM outbox;

-- name: schema_version
SELECT coalesce(max(version), 0) FROM schema_version;

-- name: upkeep_turn
-- Whoever owns the store looks after it.
SELECT true;

-- name: purge_candidates
SELECT saga_key, saga_type, saga_id, state, request_hash, created_at, updated_at
FROM sagas WHERE saga_key >= ? ORDER BY saga_key LIMIT ?;

-- name: insert_purged
INSERT INTO purged (digest, saga_type, saga_id, state, request_hash, created_at, ended_at, purged_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: purge_log
DELETE FROM step_log WHERE saga_key IN (SELECT value FROM json_each(?));

-- name: purge_sagas
-- The state is asked for again: whatever else went wrong, an unfinished saga stays.
DELETE FROM sagas WHERE saga_key IN (SELECT value FROM json_each(?)) AND state IN ('COMPLETED', 'COMPENSATED')
RETURNING saga_key;

-- name: any_purged
SELECT EXISTS (SELECT 1 FROM purged);

-- name: load_purged
SELECT saga_type, saga_id, state, request_hash, created_at, ended_at, purged_at
FROM purged WHERE digest IN (SELECT value FROM json_each(?));

-- name: forget_purged
-- The oldest first; only so many rows are looked at.
DELETE FROM purged WHERE purged_key IN (
  SELECT purged_key FROM (SELECT purged_key, purged_at FROM purged ORDER BY purged_key LIMIT ?2) WHERE purged_at < ?1
);

-- name: old_acts
-- Acts of sagas that are still here stay with them, as part of their history.
SELECT act_seq, decided_at,
       EXISTS (SELECT 1 FROM sagas WHERE sagas.saga_type = acts.saga_type AND sagas.saga_id = acts.saga_id)
FROM acts WHERE act_seq >= ? ORDER BY act_seq LIMIT ?;

-- name: delete_acts
DELETE FROM acts WHERE act_seq IN (SELECT value FROM json_each(?));

-- name: insert_purge
INSERT INTO purges (purge_id, ended_before, saga_type, states, actor, created_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: waiting_purges
SELECT purge_id, ended_before, saga_type, states, from_key FROM purges WHERE ended_at IS NULL ORDER BY purge_seq;

-- name: note_purge
UPDATE purges SET purged = purged + ?, from_key = ?, ended_at = ? WHERE purge_id = ?;

-- name: purge_from
SELECT from_key FROM purges WHERE purge_id = ? AND ended_at IS NULL;

-- name: purge
SELECT purged, ended_at FROM purges WHERE purge_id = ?;

-- name: count_purgeable
-- Reads every saga that was accepted before the cut.
SELECT count(*) FROM sagas
WHERE saga_key < ?1 AND state IN (SELECT value FROM json_each(?2)) AND updated_at < ?3 AND (?4 IS NULL OR +saga_type = ?4);

-- name: count_purged
SELECT count(*) FROM purged;

-- name: oldest_unfinished
SELECT saga_type, saga_id, state, created_at FROM sagas INDEXED BY sagas_unfinished
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') ORDER BY saga_key LIMIT 1;

-- name: outbox_first
-- The oldest batches that wait to be published.
SELECT outbox_id, created_at, messages, content FROM outbox ORDER BY outbox_id LIMIT ?;

-- name: outbox_with
-- The first batch that holds a text: a command's id stands in its headers as it is.
SELECT created_at, content FROM outbox WHERE instr(content, ?) > 0 ORDER BY outbox_id LIMIT 1;

-- name: overdue
-- Timers that should have fired before a moment: how many, at most so many, and the first.
SELECT count(*), min(wake_at) FROM (SELECT wake_at FROM sagas WHERE wake_at <= ? LIMIT ?);

-- name: count_types
-- How many unfinished sagas of each type are in each state.
SELECT saga_type, state, count(*) FROM sagas INDEXED BY sagas_unfinished
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') GROUP BY saga_type, state;

-- name: waiting_steps
-- At which steps the sagas of one state are, oldest first and at most so many: never a million rows.
SELECT saga_type, definition_version, current_step, count(*), min(saga_key) FROM (
  SELECT saga_type, definition_version, current_step, saga_key, held FROM sagas INDEXED BY sagas_unfinished
  WHERE state = ?1 AND state NOT IN ('COMPLETED', 'COMPENSATED') ORDER BY saga_key LIMIT ?2
) WHERE held IS NULL GROUP BY saga_type, definition_version, current_step;

-- name: parked_at
-- At which steps parked sagas stopped, and whether they were being undone; the oldest only.
SELECT saga_type, definition_version, current_step, undoing, count(*) FROM (
  SELECT saga_type, definition_version, current_step, json_extract(parked, '$.from_state') = 'COMPENSATING' AS undoing
  FROM sagas INDEXED BY sagas_unfinished
  WHERE state = 'PARKED' AND state NOT IN ('COMPLETED', 'COMPENSATED') ORDER BY saga_key LIMIT ?
) GROUP BY 1, 2, 3, 4;

-- name: by_key
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM sagas WHERE saga_key = ?;

-- name: parked_reasons
SELECT json_extract(parked, '$.reason'), count(*) FROM (
  SELECT parked FROM sagas INDEXED BY sagas_unfinished
  WHERE state = 'PARKED' AND state NOT IN ('COMPLETED', 'COMPENSATED') ORDER BY saga_key LIMIT ?
) GROUP BY 1 ORDER BY 2 DESC;

-- name: acts_not_taken
SELECT count(*), min(created_at) FROM (SELECT created_at FROM acts WHERE outcome IS NULL ORDER BY act_seq LIMIT ?);

-- name: unfinished_among
SELECT saga_type, saga_id FROM sagas
WHERE saga_type = ? AND saga_id IN (SELECT value FROM json_each(?)) AND state NOT IN ('COMPLETED', 'COMPENSATED');

-- name: ahead_of
-- How many sagas were accepted before one that waits to be admitted, and wait too; at most so many are counted.
SELECT count(*) FROM (
  SELECT 1 FROM sagas INDEXED BY sagas_unfinished
  WHERE state = 'PENDING' AND state NOT IN ('COMPLETED', 'COMPENSATED') AND saga_key < ? LIMIT ?
);

-- name: note_loss
-- A position that Kafka had no more, the newest of each partition: kept so that the loss is not only a line of a log.
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: losses
SELECT key, value FROM meta WHERE key >= 'lost/' AND key < 'lost0';

-- name: outage_on
-- Nothing is known of the broker: waits begin when it has been heard of (R21).
INSERT INTO meta (key, value) VALUES ('outage', 'on') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: forget_told_errors
DELETE FROM told_errors;

-- name: told_errors
SELECT saga_type, saga_id, error FROM told_errors;

-- name: note_error
INSERT INTO told_errors (saga_type, saga_id, error) VALUES (?, ?, ?);

-- name: set_offset
-- A restore says where to read on (R59); nobody owns the store meanwhile.
INSERT INTO offsets (topic, partition, next) VALUES (?, ?, ?)
ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next;

-- name: unfinished_keys
-- Every saga that has not ended, a page at a time.
SELECT saga_key, saga_type, saga_id FROM sagas INDEXED BY sagas_unfinished
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') AND saga_key > ? ORDER BY saga_key LIMIT ?;

-- name: has_waiting_acts
SELECT count(*) FROM acts WHERE outcome IS NULL;

-- name: open_failures
-- What is parked, and what waits to be tried again, by its words and its step; the oldest of each state only.
SELECT kind, saga_type, definition_version, step, undoing, error, cause, count(*), min(saga_id), min(updated_at), max(updated_at),
       sum(count(*)) OVER ()
FROM (
  SELECT 'parked' AS kind, saga_type, definition_version, current_step AS step,
         json_extract(parked, '$.from_state') = 'COMPENSATING' AS undoing, json_extract(parked, '$.detail') AS error,
         json_extract(parked, '$.reason') AS cause, saga_id, updated_at
  FROM (SELECT * FROM sagas INDEXED BY sagas_unfinished
        WHERE state = 'PARKED' AND state NOT IN ('COMPLETED', 'COMPENSATED') ORDER BY saga_key LIMIT ?1)
  UNION ALL
  SELECT 'retrying', saga_type, definition_version, current_step, state = 'COMPENSATING',
         json_extract(steps, '$[' || (current_step - 1) || '].error'), NULL, saga_id, updated_at
  FROM (SELECT * FROM sagas WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT ?1)
  WHERE json_extract(steps, '$[' || (current_step - 1) || '].error') IS NOT NULL
)
GROUP BY kind, saga_type, definition_version, step, undoing, error, cause
ORDER BY count(*) DESC, kind, error LIMIT ?2;

-- name: undone_failures
-- Why sagas were undone, by the words and the last step that failed; of those with keys between two others.
SELECT 'undone', saga_type, definition_version, step, false, error, NULL, count(*), min(saga_id), min(updated_at), max(updated_at),
       sum(count(*)) OVER ()
FROM (
  SELECT saga_type, definition_version, error, saga_id, updated_at,
         coalesce((SELECT max(key) + 1 FROM json_each(steps) WHERE json_extract(value, '$.error') IS NOT NULL), 0) AS step
  FROM sagas WHERE saga_key >= ?1 AND saga_key < ?2 AND state = 'COMPENSATED'
)
GROUP BY saga_type, definition_version, step, error ORDER BY count(*) DESC, error LIMIT ?3;

-- name: ended_by_minute
SELECT updated_at / 60000, state, count(*) FROM sagas
WHERE saga_key >= ?1 AND saga_key < ?2 AND state IN ('COMPLETED', 'COMPENSATED') GROUP BY 1, 2;

-- name: logs_between
SELECT saga_key, seq, step, status, attempt, at, '{}' FROM step_log WHERE saga_key >= ?1 AND saga_key < ?2
ORDER BY saga_key, seq;

-- name: versions_between
SELECT saga_key, saga_type, definition_version FROM sagas WHERE saga_key >= ?1 AND saga_key < ?2;

-- name: acts_before
SELECT act_seq, act_id, saga_type, saga_id, verb, arguments, actor, reason, expected_state, expected_version, created_at,
       outcome, message, decided_at
FROM acts
WHERE act_seq >= ?6 AND act_seq < ?1 AND (?2 IS NULL OR actor = ?2) AND (?3 IS NULL OR verb = ?3)
  AND (?4 IS NULL OR coalesce(outcome, 'waiting') = ?4)
ORDER BY act_seq DESC LIMIT ?5;

-- name: next_act
SELECT coalesce(max(act_seq), 0) + 1 FROM acts;

-- name: unfinished_by_version
SELECT saga_type, definition_version, state, count(*) FROM sagas INDEXED BY sagas_unfinished
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') GROUP BY 1, 2, 3;

-- name: oldest_moving
-- Those that have been under way for the longest time.
SELECT saga_key, saga_type, saga_id, definition_version, state, data, steps, error, parked, version, log_seq,
       request_hash, created_at, updated_at, held, hold, trace
FROM sagas INDEXED BY sagas_unfinished
WHERE state NOT IN ('COMPLETED', 'COMPENSATED') AND state IN ('RUNNING', 'COMPENSATING') ORDER BY saga_key LIMIT ?;
