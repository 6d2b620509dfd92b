-- compatible_from: 2
-- One batch, in one call (R65). The order of its parts is the order of locks, and it is the same for everybody. A part
-- that is NULL is not there. Each count that is not what it must be ends the call with a SQLSTATE of its own, what
-- conflicted in its DETAIL as JSON, and then nothing is written:
--   SG001 the life is over · SG002 offsets · SG003 sagas · SG004 ids · SG005 settings · SG006 acts
--   SG007 this life's batches are not as many as were acknowledged: the server lost commits
-- Plans are nailed: they may be made while the tables are empty, and the nested loop takes rows in the order of the
-- arrays, which the caller sorts. Without jit=off the forbidden scans' costs make each call be compiled.
CREATE FUNCTION {schema}.saga_commit_1(
  -- ① The life, and the number of this batch in it; how many sagas under way and pending it adds; messages unsent.
  p_replica bigint, p_batch bigint, p_clock bigint, p_window integer,
  p_outage_ended_at bigint, p_outage_on boolean, -- NULL: as it was
  p_in_flight bigint, p_pending bigint, p_unsent bigint,
  -- ② What it was decided by; whether it changes that.
  p_settings bigint, p_raises_settings boolean, p_lanes integer,
  -- ③ Offsets, sorted; topics.
  o_topic text[] = NULL, o_partition integer[] = NULL, o_expected bigint[] = NULL, o_next bigint[] = NULL,
  o_drained bigint[] = NULL, t_topic text[] = NULL, t_partitions integer[] = NULL, t_counted bigint[] = NULL,
  t_scattered boolean[] = NULL,
  -- ④ Sagas that change, sorted by key; those that were looked at and left as they were (R66).
  c_key bigint[] = NULL, c_read integer[] = NULL, c_state text[] = NULL, c_step integer[] = NULL,
  c_steps text[] = NULL, c_wake bigint[] = NULL, c_error text[] = NULL, c_parked text[] = NULL,
  c_version integer[] = NULL, c_log_seq integer[] = NULL, c_updated bigint[] = NULL, c_held text[] = NULL,
  c_hold text[] = NULL, v_key bigint[] = NULL, v_version integer[] = NULL,
  -- ⑤ New sagas, sorted by type and id.
  n_type text[] = NULL, n_id text[] = NULL, n_hash bigint[] = NULL, n_definition integer[] = NULL,
  n_state text[] = NULL, n_step integer[] = NULL, n_data text[] = NULL, n_steps text[] = NULL, n_wake bigint[] = NULL,
  n_error text[] = NULL, n_parked text[] = NULL, n_version integer[] = NULL, n_log_seq integer[] = NULL,
  n_request_hash bytea[] = NULL, n_created bigint[] = NULL, n_updated bigint[] = NULL, n_held text[] = NULL,
  n_hold text[] = NULL,
  -- ⑥ The log; a key of -n is the n-th new saga's.
  l_key bigint[] = NULL, l_seq integer[] = NULL, l_step text[] = NULL, l_status text[] = NULL,
  l_attempt integer[] = NULL, l_at bigint[] = NULL, l_detail text[] = NULL,
  -- ⑦ The outbox: what is new, what is published, what stays of rows of which something will not be sent.
  m_messages integer = NULL, m_content bytea = NULL, d_writer bigint[] = NULL, d_seq bigint[] = NULL,
  r_writer bigint[] = NULL, r_seq bigint[] = NULL, r_messages integer[] = NULL, r_content bytea[] = NULL,
  -- ⑧ Acts, pauses, and notes for `meta`.
  a_act text[] = NULL, a_outcome text[] = NULL, a_message text[] = NULL, p_scope text[] = NULL, p_actor text[] = NULL,
  p_reason text[] = NULL, p_at bigint[] = NULL, p_under_way boolean[] = NULL, p_lifted text[] = NULL,
  g_key text[] = NULL, g_value text[] = NULL,
  OUT new_keys bigint[], OUT all_in_flight bigint, OUT all_pending bigint, OUT all_unsent bigint, OUT least_window integer
) LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET enable_material = off
SET plan_cache_mode = force_generic_plan SET jit = off SET lock_timeout = '100ms'
AS $commit$
DECLARE
  v_found bigint;
  v_done  bigint;
BEGIN
  -- ①
  UPDATE {schema}.replicas r
  SET batch = r.batch + 1, clock = greatest(r.clock, p_clock), "window" = p_window,
      in_flight = r.in_flight + p_in_flight, pending = r.pending + p_pending, unsent = p_unsent,
      outage_ended_at = coalesce(p_outage_ended_at, r.outage_ended_at), outage_on = coalesce(p_outage_on, r.outage_on)
  WHERE r.replica = p_replica AND r.state = 'live' RETURNING r.batch INTO v_done;
  IF v_done IS NULL THEN
    RAISE EXCEPTION 'this life of the replica is over' USING ERRCODE = 'SG001';
  END IF;
  IF v_done <> p_batch THEN
    RAISE EXCEPTION 'the server lost commits' USING ERRCODE = 'SG007', DETAIL = (v_done - 1)::text;
  END IF;

  -- ② Whoever changes them waits for the batches that were decided before, and they for it.
  IF p_raises_settings THEN
    UPDATE {schema}.settings s SET number = s.number + 1, lanes = coalesce(p_lanes, s.lanes)
    WHERE s.one AND s.number = p_settings;
  ELSE
    PERFORM 1 FROM {schema}.settings s WHERE s.one AND s.number = p_settings FOR SHARE;
  END IF;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the settings were changed meanwhile' USING ERRCODE = 'SG005';
  END IF;

  -- ③
  IF o_topic IS NOT NULL THEN
    INSERT INTO {schema}.offsets (topic, partition)
    SELECT u.t, u.p FROM unnest(o_topic, o_partition, o_expected) u(t, p, e) WHERE u.e IS NULL ON CONFLICT DO NOTHING;
    PERFORM 1 FROM unnest(o_topic, o_partition) u(t, p) JOIN {schema}.offsets o ON (o.topic, o.partition) = (u.t, u.p)
    ORDER BY o.topic, o.partition FOR NO KEY UPDATE OF o;
    UPDATE {schema}.offsets o SET next = u.n, drained_at = greatest(o.drained_at, u.d)
    FROM unnest(o_topic, o_partition, o_expected, o_next, o_drained) u(t, p, e, n, d)
    WHERE (o.topic, o.partition) = (u.t, u.p) AND o.next IS NOT DISTINCT FROM u.e;
    GET DIAGNOSTICS v_done = ROW_COUNT;
    IF v_done <> cardinality(o_topic) THEN
      RAISE EXCEPTION 'another owner has read these partitions meanwhile' USING ERRCODE = 'SG002';
    END IF;
  END IF;
  IF t_topic IS NOT NULL THEN
    INSERT INTO {schema}.topics AS t (topic, partitions, counted_at, scattered)
    SELECT * FROM unnest(t_topic, t_partitions, t_counted, t_scattered)
    ON CONFLICT (topic) DO UPDATE
    SET partitions = excluded.partitions, counted_at = greatest(t.counted_at, excluded.counted_at),
        scattered = t.scattered OR excluded.scattered;
  END IF;

  -- ④
  IF c_key IS NOT NULL THEN
    UPDATE {schema}.sagas s
    SET state = u.state, current_step = u.step, steps = u.steps, wake_at = u.wake, error = u.error, parked = u.parked,
        version = u.version, log_seq = u.log_seq, updated_at = u.updated, held = u.held, hold = u.hold
    FROM unnest(c_key, c_read, c_state, c_step, c_steps, c_wake, c_error, c_parked, c_version, c_log_seq, c_updated,
                c_held, c_hold)
         u(k, r, state, step, steps, wake, error, parked, version, log_seq, updated, held, hold)
    WHERE s.saga_key = u.k AND s.version = u.r;
    GET DIAGNOSTICS v_done = ROW_COUNT;
    IF v_done <> cardinality(c_key) THEN
      RAISE EXCEPTION 'a saga was changed meanwhile' USING ERRCODE = 'SG003', DETAIL = (
        SELECT coalesce(json_agg(u.k), '[]')::text FROM unnest(c_key) u(k)
        WHERE NOT EXISTS (SELECT 1 FROM {schema}.sagas s
                          WHERE s.saga_key = u.k AND s.xmin = pg_current_xact_id()::xid));
    END IF;
  END IF;
  IF v_key IS NOT NULL THEN
    SELECT count(*) INTO v_found
    FROM unnest(v_key, v_version) u(k, v) JOIN {schema}.sagas s ON s.saga_key = u.k AND s.version = u.v;
    IF v_found <> cardinality(v_key) THEN
      RAISE EXCEPTION 'a saga was changed meanwhile, and what was ignored may be wanted' USING ERRCODE = 'SG003', DETAIL = (
        SELECT json_agg(u.k)::text FROM unnest(v_key, v_version) u(k, v)
        WHERE NOT EXISTS (SELECT 1 FROM {schema}.sagas s WHERE s.saga_key = u.k AND s.version = u.v));
    END IF;
  END IF;

  -- ⑤
  IF n_id IS NOT NULL THEN
    WITH inserted AS (
      INSERT INTO {schema}.sagas AS s (
        saga_type, saga_id, hash, definition_version, state, current_step, data, steps, wake_at, error, parked, version,
        log_seq, request_hash, created_at, updated_at, held, hold)
      SELECT * FROM unnest(n_type, n_id, n_hash, n_definition, n_state, n_step, n_data, n_steps, n_wake, n_error,
                           n_parked, n_version, n_log_seq, n_request_hash, n_created, n_updated, n_held, n_hold)
      ON CONFLICT DO NOTHING RETURNING s.saga_key
    )
    SELECT array_agg(i.saga_key ORDER BY i.saga_key) INTO new_keys FROM inserted i;
    IF coalesce(cardinality(new_keys), 0) <> cardinality(n_id) THEN
      RAISE EXCEPTION 'a new saga''s id was taken meanwhile' USING ERRCODE = 'SG004', DETAIL = (
        SELECT json_agg(json_build_array(u.t, u.i))::text FROM unnest(n_type, n_id) u(t, i)
        WHERE NOT EXISTS (SELECT 1 FROM {schema}.sagas s WHERE s.saga_type = u.t AND s.saga_id = u.i
                          AND s.saga_key = ANY (new_keys)));
    END IF;
  END IF;

  -- ⑥
  IF l_key IS NOT NULL THEN
    INSERT INTO {schema}.step_log (saga_key, seq, step, status, attempt, at, detail)
    SELECT CASE WHEN u.k < 0 THEN new_keys[-u.k] ELSE u.k END, u.seq, u.step, u.status, u.attempt, u.at, u.detail
    FROM unnest(l_key, l_seq, l_step, l_status, l_attempt, l_at, l_detail)
         u(k, seq, step, status, attempt, at, detail);
  END IF;

  -- ⑦
  IF m_content IS NOT NULL THEN
    INSERT INTO {schema}.outbox (writer, seq, created_at, messages, content)
    VALUES (p_replica, p_batch, p_clock, m_messages, m_content);
  END IF;
  IF d_seq IS NOT NULL THEN
    DELETE FROM {schema}.outbox o USING unnest(d_writer, d_seq) u(w, s) WHERE (o.writer, o.seq) = (u.w, u.s);
  END IF;
  IF r_seq IS NOT NULL THEN
    UPDATE {schema}.outbox o SET messages = u.m, content = u.c
    FROM unnest(r_writer, r_seq, r_messages, r_content) u(w, s, m, c) WHERE (o.writer, o.seq) = (u.w, u.s);
  END IF;

  -- ⑧
  IF a_act IS NOT NULL THEN
    UPDATE {schema}.acts a SET outcome = u.outcome, message = u.message, decided_at = p_clock
    FROM unnest(a_act, a_outcome, a_message) u(act, outcome, message) WHERE a.act_id = u.act AND a.outcome IS NULL;
    GET DIAGNOSTICS v_done = ROW_COUNT;
    IF v_done <> cardinality(a_act) THEN
      RAISE EXCEPTION 'an act was decided meanwhile' USING ERRCODE = 'SG006';
    END IF;
  END IF;
  IF p_scope IS NOT NULL THEN
    INSERT INTO {schema}.pauses (scope, actor, reason, at, under_way)
    SELECT * FROM unnest(p_scope, p_actor, p_reason, p_at, p_under_way)
    ON CONFLICT (scope) DO UPDATE
    SET actor = excluded.actor, reason = excluded.reason, at = excluded.at, under_way = excluded.under_way;
  END IF;
  IF p_lifted IS NOT NULL THEN
    DELETE FROM {schema}.pauses p WHERE p.scope = ANY (p_lifted);
  END IF;
  IF g_key IS NOT NULL THEN
    INSERT INTO {schema}.meta (key, value) SELECT * FROM unnest(g_key, g_value)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value;
  END IF;

  SELECT sum(r.in_flight), sum(r.pending), sum(r.unsent), min(r."window") FILTER (WHERE r.state = 'live')
  INTO all_in_flight, all_pending, all_unsent, least_window FROM {schema}.replicas r;
END
$commit$;
