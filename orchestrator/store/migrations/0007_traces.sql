-- The trace that a saga belongs to, as W3C writes it: a timer, or a later process, goes on with it. NULL: in none.
ALTER TABLE sagas ADD COLUMN trace TEXT;
