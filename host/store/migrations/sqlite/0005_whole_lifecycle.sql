-- Several records of one person, what is held back by budgets, accounts that nobody owns.

-- What tells that a record belongs to a person who is known already, folded; of another record with the same one. NULL: none.
ALTER TABLE source_record ADD COLUMN join_key TEXT;
CREATE INDEX source_record_join ON source_record (join_key) WHERE join_key IS NOT NULL;
ALTER TABLE staged ADD COLUMN join_key TEXT;

-- Who made a version of a document active. NULL: it is older than this column; the audit tells.
ALTER TABLE document ADD COLUMN actor TEXT;

-- One row: how far people were looked through for what the active documents change. `policy` and `targets` are the active versions; everybody up
-- to the identity `reached` is as they want them, and everybody is when it is NULL. `base_policy` and `base_targets` are the versions as which
-- everybody was before the look began, -1 where a look was not finished.
CREATE TABLE replanning (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    policy       INTEGER NOT NULL,
    targets      INTEGER NOT NULL,
    base_policy  INTEGER NOT NULL,
    base_targets INTEGER NOT NULL,
    reached      INTEGER
) STRICT;
INSERT INTO replanning (id, policy, targets, base_policy, base_targets, reached)
SELECT 1, coalesce(max(CASE WHEN kind = 0 THEN version END), 0), coalesce(max(CASE WHEN kind = 1 THEN version END), 0), -1, -1, 0
FROM document;
-- Nobody asks for it any more.
DROP INDEX identity_planned_under;
