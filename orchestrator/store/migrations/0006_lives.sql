-- Why sagas failed in a life of before, as their events told it: a store that was restored from a backup has to do
-- them again, and a step that was undone meanwhile answers only that it was (R59).
CREATE TABLE told_errors (
  saga_type TEXT NOT NULL,
  saga_id   TEXT NOT NULL,
  error     TEXT NOT NULL,
  PRIMARY KEY (saga_type, saga_id)
) WITHOUT ROWID;
