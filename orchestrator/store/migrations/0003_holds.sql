-- Sagas that send nothing for the time being, and the pauses that operators ordered (docs/decisions/0009).
ALTER TABLE sagas ADD COLUMN held TEXT CHECK (held IS NULL OR wake_at IS NULL); -- operator, service:… or type:…
ALTER TABLE sagas ADD COLUMN hold TEXT CHECK ((hold IS NULL) = (held IS NULL)); -- who, why and since when: JSON

-- Few sagas are held, and all others cost this index nothing.
CREATE INDEX sagas_held ON sagas (held, state, saga_key) WHERE held IS NOT NULL;

CREATE TABLE pauses (
  scope     TEXT    PRIMARY KEY, -- service:payment, type:order
  actor     TEXT    NOT NULL,
  reason    TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  under_way INTEGER NOT NULL     -- whether sagas that have begun are held too
) WITHOUT ROWID;
