-- compatible_from: 2
-- The trace that a saga belongs to, as W3C writes it: a timer, or another replica, goes on with it. NULL: in none.
ALTER TABLE {schema}.sagas ADD COLUMN trace text;

-- As `saga_commit_1`, for a batch with new sagas that have one: it is called for such batches only.
CREATE FUNCTION {schema}.saga_commit_2(
  p_replica bigint, p_batch bigint, p_clock bigint, p_window integer, p_outage_ended_at bigint, p_outage_on boolean,
  p_in_flight bigint, p_pending bigint, p_unsent bigint, p_settings bigint, p_raises_settings boolean,
  p_lanes integer, o_topic text[], o_partition integer[], o_expected bigint[], o_next bigint[], o_drained bigint[],
  t_topic text[], t_partitions integer[], t_counted bigint[], t_scattered boolean[], c_key bigint[], c_read integer[],
  c_state text[], c_step integer[], c_steps text[], c_wake bigint[], c_error text[], c_parked text[],
  c_version integer[], c_log_seq integer[], c_updated bigint[], c_held text[], c_hold text[], v_key bigint[],
  v_version integer[], n_type text[], n_id text[], n_hash bigint[], n_definition integer[], n_state text[],
  n_step integer[], n_data text[], n_steps text[], n_wake bigint[], n_error text[], n_parked text[],
  n_version integer[], n_log_seq integer[], n_request_hash bytea[], n_created bigint[], n_updated bigint[],
  n_held text[], n_hold text[], l_key bigint[], l_seq integer[], l_step text[], l_status text[], l_attempt integer[],
  l_at bigint[], l_detail text[], m_messages integer, m_content bytea, d_writer bigint[], d_seq bigint[],
  r_writer bigint[], r_seq bigint[], r_messages integer[], r_content bytea[], a_act text[], a_outcome text[],
  a_message text[], p_scope text[], p_actor text[], p_reason text[], p_at bigint[], p_under_way boolean[],
  p_lifted text[], g_key text[], g_value text[],
  n_trace text[],
  OUT new_keys bigint[], OUT all_in_flight bigint, OUT all_pending bigint, OUT all_unsent bigint, OUT least_window integer
) LANGUAGE plpgsql AS $commit$
BEGIN
  SELECT c.new_keys, c.all_in_flight, c.all_pending, c.all_unsent, c.least_window
  INTO new_keys, all_in_flight, all_pending, all_unsent, least_window
  FROM {schema}.saga_commit_1(
    p_replica, p_batch, p_clock, p_window, p_outage_ended_at, p_outage_on, p_in_flight, p_pending, p_unsent,
    p_settings, p_raises_settings, p_lanes, o_topic, o_partition, o_expected, o_next, o_drained, t_topic,
    t_partitions, t_counted, t_scattered, c_key, c_read, c_state, c_step, c_steps, c_wake, c_error, c_parked,
    c_version, c_log_seq, c_updated, c_held, c_hold, v_key, v_version, n_type, n_id, n_hash, n_definition, n_state,
    n_step, n_data, n_steps, n_wake, n_error, n_parked, n_version, n_log_seq, n_request_hash, n_created, n_updated,
    n_held, n_hold, l_key, l_seq, l_step, l_status, l_attempt, l_at, l_detail, m_messages, m_content, d_writer, d_seq,
    r_writer, r_seq, r_messages, r_content, a_act, a_outcome, a_message, p_scope, p_actor, p_reason, p_at,
    p_under_way, p_lifted, g_key, g_value
  ) c;
  UPDATE {schema}.sagas s SET trace = u.trace
  FROM unnest(new_keys, n_trace) u(key, trace) WHERE s.saga_key = u.key AND u.trace IS NOT NULL;
END
$commit$;
