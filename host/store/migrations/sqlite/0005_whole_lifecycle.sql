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

-- Since when an account is missing: its target has it no more, though nobody here deleted it.
ALTER TABLE account ADD COLUMN missing_us INTEGER;
CREATE INDEX account_missing ON account (target, external_id) WHERE missing_us IS NOT NULL;

-- One walk through the accounts of a target. State: 0 listing, 1 accepted (it takes effect, whatever happens), 2 done, 3 refused or never
-- finished. `links`: accounts that are exactly one identity's by the rules are linked.
CREATE TABLE reconcile (
    id       INTEGER PRIMARY KEY,
    target   INTEGER NOT NULL REFERENCES target (id),
    state    INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
    links    INTEGER NOT NULL DEFAULT 0 CHECK (links IN (0, 1)),
    actor    TEXT NOT NULL,
    began_us INTEGER NOT NULL,
    at_us    INTEGER NOT NULL,
    listed   INTEGER NOT NULL DEFAULT 0,
    updated  INTEGER NOT NULL DEFAULT 0,
    drifted  INTEGER NOT NULL DEFAULT 0,
    missing  INTEGER NOT NULL DEFAULT 0,
    linked   INTEGER NOT NULL DEFAULT 0,
    put_off  INTEGER NOT NULL DEFAULT 0,
    reason   TEXT
) STRICT;
CREATE INDEX reconcile_of_target ON reconcile (target, id);
CREATE INDEX reconcile_accepted ON reconcile (id) WHERE state = 1;

-- What it changes, staged. Change: 0 the account as it is now, 1 it is missing, 2 an account nobody owns (or that another one should own),
-- 3 such a one is no longer to be told.
CREATE TABLE reconcile_change (
    reconcile    INTEGER NOT NULL REFERENCES reconcile (id),
    external_id  TEXT NOT NULL,
    change       INTEGER NOT NULL CHECK (change BETWEEN 0 AND 3),
    account      INTEGER,
    state        INTEGER,
    attributes   TEXT,
    entitlements TEXT,
    version      TEXT,
    drift        TEXT,
    plan_again   INTEGER NOT NULL DEFAULT 0,
    candidates   TEXT,
    one_identity INTEGER,
    one_kind     TEXT,
    one_facts    INTEGER,
    PRIMARY KEY (reconcile, external_id, change)
) STRICT, WITHOUT ROWID;

-- Who holds which entitlement, as listed, until the accounts have been listed.
CREATE TABLE reconcile_holding (
    reconcile   INTEGER NOT NULL REFERENCES reconcile (id),
    external_id TEXT NOT NULL,
    entitlement TEXT NOT NULL,
    parameters  TEXT NOT NULL,
    PRIMARY KEY (reconcile, external_id, entitlement)
) STRICT, WITHOUT ROWID;

-- Accounts that nobody owns, and those that another identity should own than does (`account`). `one_*`: the one identity whose it is by the
-- rules, as its facts were then; `candidates` all of them. `former`: who owned it before a person unlinked it. `decided_*`: a person has looked.
CREATE TABLE found_account (
    id           INTEGER PRIMARY KEY,
    target       INTEGER NOT NULL REFERENCES target (id),
    external_id  TEXT NOT NULL,
    account      INTEGER REFERENCES account (id),
    state        INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
    attributes   TEXT NOT NULL,
    entitlements TEXT NOT NULL,
    version      TEXT,
    candidates   TEXT NOT NULL DEFAULT '[]',
    one_identity INTEGER REFERENCES identity (id),
    one_kind     TEXT,
    one_facts    INTEGER,
    former       INTEGER REFERENCES identity (id),
    since_us     INTEGER NOT NULL,
    decided_us   INTEGER,
    decided_by   TEXT,
    reason       TEXT,
    UNIQUE (target, external_id),
    CHECK ((one_identity IS NULL) = (one_kind IS NULL) AND (one_identity IS NULL) = (one_facts IS NULL)),
    CHECK ((decided_us IS NULL) = (decided_by IS NULL))
) STRICT;
CREATE INDEX found_account_claim ON found_account (one_identity, target, one_kind) WHERE one_identity IS NOT NULL;
CREATE INDEX found_account_former ON found_account (former) WHERE former IS NOT NULL;
CREATE INDEX found_account_owned ON found_account (account) WHERE account IS NOT NULL;
CREATE INDEX found_account_several ON found_account (id) WHERE one_identity IS NULL AND candidates <> '[]';
