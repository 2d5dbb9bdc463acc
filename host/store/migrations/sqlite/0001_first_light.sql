-- Integers inside, UUIDs (version 7) only as public ids. Times are microseconds since 1970 in UTC (`_us`).
-- States are the numbers of the enums in `usher_lifecycle` and `usher_store`; the CHECKs hold their range.

-- One row: what every commit raises.
CREATE TABLE meta (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    high_water_us INTEGER NOT NULL,
    facts         INTEGER NOT NULL DEFAULT 0,
    observed      INTEGER NOT NULL DEFAULT 0,
    rehearsal     INTEGER NOT NULL DEFAULT 0 CHECK (rehearsal IN (0, 1))
) STRICT;

CREATE TABLE setting (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A writer is one opening of the store: it fences outcomes and has its own audit chain. `genesis` is the hash of the
-- last audit row before it, so that a cut-off end of an earlier chain shows.
CREATE TABLE writer (
    id        INTEGER PRIMARY KEY,
    opened_us INTEGER NOT NULL,
    genesis   BLOB NOT NULL CHECK (length(genesis) = 32)
) STRICT;

CREATE TABLE document (
    id           INTEGER PRIMARY KEY,
    kind         INTEGER NOT NULL CHECK (kind IN (0, 1)),
    version      INTEGER NOT NULL CHECK (version > 0),
    text         TEXT NOT NULL,
    resolved     TEXT NOT NULL,
    activated_us INTEGER NOT NULL,
    UNIQUE (kind, version)
) STRICT;

-- `bytes` stands last, so that listing never reads it.
CREATE TABLE artifact (
    id         INTEGER PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    added_us   INTEGER NOT NULL,
    bytes      BLOB NOT NULL
) STRICT;

CREATE TABLE source (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE target (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- `base` is the snapshot of the source that was accepted last when this one began (0: none): the guard of acceptance.
CREATE TABLE snapshot (
    id          INTEGER PRIMARY KEY,
    public_id   BLOB NOT NULL UNIQUE CHECK (length(public_id) = 16),
    source      INTEGER NOT NULL REFERENCES source (id),
    origin      TEXT NOT NULL,
    file_digest BLOB NOT NULL CHECK (length(file_digest) = 32),
    rows        INTEGER NOT NULL,
    changes     INTEGER NOT NULL DEFAULT 0,
    absorbed    INTEGER NOT NULL DEFAULT 0,
    state       INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
    base        INTEGER NOT NULL,
    at_us       INTEGER NOT NULL,
    reason      TEXT
) STRICT;
CREATE INDEX snapshot_of_source ON snapshot (source, state);
CREATE INDEX snapshot_accepted ON snapshot (id) WHERE state = 1;

-- `change`: 0 upsert, 1 missing, 2 missing and confirmed. Rows leave as they are absorbed.
CREATE TABLE staged (
    snapshot   INTEGER NOT NULL REFERENCES snapshot (id),
    key        TEXT NOT NULL,
    change     INTEGER NOT NULL CHECK (change BETWEEN 0 AND 2),
    attributes TEXT,
    digest     BLOB,
    PRIMARY KEY (snapshot, key),
    CHECK ((change = 0) = (attributes IS NOT NULL AND length(digest) = 16))
) STRICT, WITHOUT ROWID;

-- `facts_version` guards plan commits: it grows when the facts, the accounts or the queue of the identity change.
-- `planned_under` is the sum of the policy and targets versions it was planned under; each activation raises that sum.
CREATE TABLE identity (
    id             INTEGER PRIMARY KEY,
    public_id      BLOB NOT NULL UNIQUE CHECK (length(public_id) = 16),
    facts_version  INTEGER NOT NULL DEFAULT 1,
    dirty          INTEGER NOT NULL DEFAULT 1 CHECK (dirty IN (0, 1)),
    state          INTEGER CHECK (state BETWEEN 0 AND 5),
    next_change_us INTEGER,
    planned_under  INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX identity_dirty ON identity (id) WHERE dirty = 1;
CREATE INDEX identity_next_change ON identity (next_change_us) WHERE dirty = 0 AND next_change_us IS NOT NULL;
CREATE INDEX identity_planned_under ON identity (planned_under) WHERE dirty = 0;

CREATE TABLE source_record (
    id                INTEGER PRIMARY KEY,
    source            INTEGER NOT NULL REFERENCES source (id),
    key               TEXT NOT NULL,
    identity          INTEGER NOT NULL REFERENCES identity (id),
    attributes        TEXT NOT NULL,
    digest            BLOB NOT NULL CHECK (length(digest) = 16),
    missing_snapshots INTEGER NOT NULL DEFAULT 0 CHECK (missing_snapshots >= 0),
    absent_since_us   INTEGER,
    UNIQUE (key, source)
) STRICT;
CREATE INDEX source_record_of_identity ON source_record (identity);

-- `written` is two digests, desired then observed. State: 0 absent, 1 enabled, 2 disabled, 3 unknown.
CREATE TABLE account (
    id           INTEGER PRIMARY KEY,
    identity     INTEGER NOT NULL REFERENCES identity (id),
    target       INTEGER NOT NULL REFERENCES target (id),
    kind         TEXT NOT NULL,
    state        INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 3),
    external_id  TEXT,
    attributes   TEXT NOT NULL DEFAULT '{}',
    entitlements TEXT NOT NULL DEFAULT '{}',
    version      TEXT,
    written      BLOB CHECK (written IS NULL OR length(written) = 32),
    observed_us  INTEGER,
    UNIQUE (identity, target, kind)
) STRICT;
-- The link: one account of a target belongs to one identity.
CREATE UNIQUE INDEX account_link ON account (target, external_id) WHERE external_id IS NOT NULL AND state <> 0;

-- State: 0 waiting, 1 ready, 2 claimed, 3 held, 4 done, 5 failed, 6 superseded; below 4 it is open. Only the first open operation
-- of an account is ever ready or claimed. `writer` and `attempts` are the fence of a claim.
CREATE TABLE operation (
    id               INTEGER PRIMARY KEY,
    public_id        BLOB NOT NULL UNIQUE CHECK (length(public_id) = 16),
    account          INTEGER NOT NULL REFERENCES account (id),
    target           INTEGER NOT NULL REFERENCES target (id),
    state            INTEGER NOT NULL CHECK (state BETWEEN 0 AND 6),
    priority         INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 4),
    due_us           INTEGER NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    settle           INTEGER NOT NULL DEFAULT 0 CHECK (settle IN (0, 1)),
    writer           INTEGER REFERENCES writer (id),
    claimed_us       INTEGER,
    unknown_since_us INTEGER,
    absence_us       INTEGER,
    ended_us         INTEGER,
    work             TEXT NOT NULL,
    cause            TEXT NOT NULL,
    message          TEXT,
    CHECK (state <> 2 OR (writer IS NOT NULL AND claimed_us IS NOT NULL AND attempts > 0))
) STRICT;
CREATE INDEX operation_ready ON operation (target, priority, due_us, id) WHERE state = 1;
CREATE INDEX operation_open ON operation (account, id) WHERE state < 4;

-- Append-only. `hash` covers the row, the public id of its identity and the hash before it in the same writer's chain.
CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY,
    writer   INTEGER NOT NULL REFERENCES writer (id),
    n        INTEGER NOT NULL CHECK (n > 0),
    at_us    INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    event    TEXT NOT NULL,
    identity INTEGER REFERENCES identity (id),
    cause    TEXT NOT NULL,
    payload  TEXT NOT NULL,
    hash     BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_of_identity ON audit (identity, seq) WHERE identity IS NOT NULL;
