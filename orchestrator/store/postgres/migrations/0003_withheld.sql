-- compatible_from: 2
-- The topic that refuses what is left of a row, where that is all that is left: others' timers do not wait for it (R73).
ALTER TABLE {schema}.outbox ADD COLUMN topic text COLLATE "C";
