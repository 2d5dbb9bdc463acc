-- What people set about one identity, the names that are reserved, and what the last plan gave.

-- The roles the last plan gave that the next one must know: a JSON array.
ALTER TABLE identity ADD COLUMN held TEXT NOT NULL DEFAULT '[]';

-- Kind: 0 assignment, 1 security hold, 2 manual hold, 3 exception from a separation of duties. `name`: the role or the separation. `words`: why,
-- under the identity's key, as `ended_words`. An ended fact stays; only erasure takes it away.
CREATE TABLE personal_fact (
    id          INTEGER PRIMARY KEY,
    public_id   BLOB NOT NULL UNIQUE CHECK (length(public_id) = 16),
    identity    INTEGER NOT NULL REFERENCES identity (id),
    kind        INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3),
    name        TEXT,
    origin      INTEGER CHECK (origin IN (0, 1)),
    from_us     INTEGER,
    until_us    INTEGER,
    words       BLOB NOT NULL CHECK (length(words) > 0),
    added_by    TEXT NOT NULL,
    added_us    INTEGER NOT NULL,
    ended_by    TEXT,
    ended_us    INTEGER,
    ended_words BLOB CHECK (length(ended_words) > 0),
    CHECK ((kind IN (1, 2)) = (name IS NULL)),
    CHECK ((kind = 0) = (origin IS NOT NULL)),
    CHECK (kind NOT IN (1, 2) OR from_us IS NOT NULL),
    CHECK (kind <> 3 OR (from_us IS NULL AND until_us IS NOT NULL)),
    CHECK (from_us IS NULL OR until_us IS NULL OR from_us < until_us),
    CHECK ((ended_us IS NULL) = (ended_by IS NULL) AND (ended_us IS NULL) = (ended_words IS NULL))
) STRICT;
CREATE INDEX personal_fact_of_identity ON personal_fact (identity, ended_us);
CREATE INDEX personal_fact_of_role ON personal_fact (name, id) WHERE kind = 0 AND ended_us IS NULL;
CREATE INDEX personal_fact_security ON personal_fact (id) WHERE kind = 1 AND ended_us IS NULL;

-- What digests of names are made with, so that nobody who has only the tables can try names against them. Made with the first name.
CREATE TABLE name_key (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    data_key INTEGER NOT NULL REFERENCES data_key (id),
    sealed   BLOB NOT NULL
) STRICT;

-- A name of a target is one person's, whatever its case: `digest` is the HMAC-SHA-256 of the folded name under the key of names.
-- `barred_until_us`: released, and until then nobody else's; `bar_us`: for how long, when its person is erased. Then the name and whose it was
-- are gone, and the digest goes with the bar.
CREATE TABLE reservation (
    id              INTEGER PRIMARY KEY,
    identity        INTEGER REFERENCES identity (id),
    target          INTEGER NOT NULL REFERENCES target (id),
    kind            TEXT NOT NULL,
    attribute       TEXT NOT NULL,
    value           TEXT,
    digest          BLOB NOT NULL CHECK (length(digest) = 32),
    reserved_us     INTEGER NOT NULL,
    bar_us          INTEGER NOT NULL CHECK (bar_us >= 0),
    barred_until_us INTEGER,
    CHECK ((identity IS NULL) = (value IS NULL)),
    CHECK (identity IS NOT NULL OR barred_until_us IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX reservation_name ON reservation (target, attribute, digest);
CREATE UNIQUE INDEX reservation_slot ON reservation (identity, target, kind, attribute) WHERE barred_until_us IS NULL;
CREATE INDEX reservation_of_identity ON reservation (identity, barred_until_us);
CREATE INDEX reservation_barred ON reservation (barred_until_us) WHERE barred_until_us IS NOT NULL;
