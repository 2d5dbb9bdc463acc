-- Several records of one person, what is held back by budgets, accounts that nobody owns.

-- What tells that a record belongs to a person who is known already, folded; of another record with the same one. NULL: none.
ALTER TABLE source_record ADD COLUMN join_key TEXT;
CREATE INDEX source_record_join ON source_record (join_key, identity) WHERE join_key IS NOT NULL;
ALTER TABLE staged ADD COLUMN join_key TEXT;
CREATE INDEX staged_join ON staged (snapshot, join_key) WHERE join_key IS NOT NULL;

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

-- Budgets. `changed_by`: what changed an identity last (`import 12`, `documents 7`, `clock`, a person at a moment); its operations are of that cause.
ALTER TABLE identity ADD COLUMN changed_by TEXT;

-- Operations of one cause that count under one budget of a target and may not run yet; each is held (state 3) and points here. `kind`: 0 disable,
-- 1 delete, 2 create. `cause`: as `identity.changed_by`; `several` for what was held one by one, `single` for what a person took out of another.
-- State: 0 gathering (planning has not come to rest), 1 held, 2 let go, 3 rejected. What is let go is made ready in chunks, and the row goes with the
-- last of it; `joins`: its operations go to that row likewise. `budget`: under which it was judged.
CREATE TABLE held_cause (
    id         INTEGER PRIMARY KEY,
    public_id  BLOB NOT NULL UNIQUE CHECK (length(public_id) = 16),
    target     INTEGER NOT NULL REFERENCES target (id),
    kind       INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),
    cause      TEXT NOT NULL,
    label      TEXT NOT NULL,
    state      INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
    since_us   INTEGER NOT NULL,
    joins      INTEGER REFERENCES held_cause (id),
    released   INTEGER NOT NULL DEFAULT 0 CHECK (released IN (0, 1)),
    budget     TEXT,
    why        TEXT NOT NULL,
    decided_by TEXT,
    decided_us INTEGER,
    reason     TEXT,
    CHECK (joins IS NULL OR state = 1),
    CHECK (released = 0 OR state = 2),
    CHECK (state <> 3 OR (decided_by IS NOT NULL AND decided_us IS NOT NULL AND reason IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX held_cause_gathering ON held_cause (cause, target, kind) WHERE state = 0;
CREATE INDEX held_cause_of ON held_cause (cause, target, kind) WHERE state IN (1, 3);
-- `released`: a person let it run beyond its budget, so it does not count there.
ALTER TABLE operation ADD COLUMN held_cause INTEGER REFERENCES held_cause (id);
ALTER TABLE operation ADD COLUMN released INTEGER NOT NULL DEFAULT 0 CHECK (released IN (0, 1));
CREATE INDEX operation_of_held_cause ON operation (held_cause, id) WHERE held_cause IS NOT NULL;
CREATE INDEX operation_counted ON operation (target, verb, ended_us)
    WHERE held_cause IS NULL AND released = 0 AND verb IN ('create', 'delete', 'disable');
-- How many accounts a target has, and when they were counted: shares are of that.
ALTER TABLE target ADD COLUMN accounts_counted INTEGER;
ALTER TABLE target ADD COLUMN accounts_counted_us INTEGER;

-- Stopping now. `cut_us`: a security hold waits for this attempt until then, and its host cuts it short; the next claim clears it.
-- `frozen_all`: a freeze that security holds do not pass either.
ALTER TABLE operation ADD COLUMN cut_us INTEGER;
CREATE INDEX operation_cut ON operation (writer) WHERE state = 2 AND cut_us IS NOT NULL;
ALTER TABLE meta ADD COLUMN frozen_all INTEGER NOT NULL DEFAULT 0 CHECK (frozen_all IN (0, 1));
-- `urgent`: a security hold is set, so this identity is planned before all others.
ALTER TABLE identity ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0 CHECK (urgent IN (0, 1));
UPDATE identity SET urgent = 1 WHERE id IN (SELECT identity FROM personal_fact WHERE kind = 1 AND ended_us IS NULL);
CREATE INDEX identity_urgent ON identity (id) WHERE urgent = 1 AND dirty = 1;
