-- What the fingerprint is of, so that a refusal can say what differs (R30). NULL where it was stored before this.
ALTER TABLE definitions ADD COLUMN description TEXT;
