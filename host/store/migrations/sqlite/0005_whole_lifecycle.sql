-- Several records of one person, what is held back by budgets, accounts that nobody owns.

-- What tells that a record belongs to a person who is known already, folded; of another record with the same one. NULL: none.
ALTER TABLE source_record ADD COLUMN join_key TEXT;
CREATE INDEX source_record_join ON source_record (join_key) WHERE join_key IS NOT NULL;
ALTER TABLE staged ADD COLUMN join_key TEXT;
