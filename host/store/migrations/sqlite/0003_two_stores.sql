-- What two databases and several writers need: counters and audit heads per writer, rests of targets, keys, checkpoints.

-- `frozen`: why nothing may run, since `frozen_us`. `works_from`: the oldest schema version a program may know to work with this one.
ALTER TABLE meta ADD COLUMN frozen TEXT;
ALTER TABLE meta ADD COLUMN frozen_us INTEGER;
ALTER TABLE meta ADD COLUMN works_from INTEGER NOT NULL DEFAULT 3;

-- A writer is one opening of the store by one process. It counts for itself (`facts`, `observed`, `high_water_us`), so that writers do not
-- wait for each other; `meta` keeps what closed writers counted. `seen_us` is its heartbeat; `closed_us` is set when it leaves or when others
-- take its work over, and from then on nothing of it is recorded. `head_n` and `head_hash` are the end of its audit chain.
-- `lease_us`: for how long after a heartbeat others leave its work alone. `serves`: it runs operations, so the others leave it its share.
-- `after_writer`, `after_n`: the audit row whose hash is its `genesis`.
ALTER TABLE writer ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE writer ADD COLUMN schema_version INTEGER NOT NULL DEFAULT 2;
ALTER TABLE writer ADD COLUMN seen_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE writer ADD COLUMN lease_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE writer ADD COLUMN serves INTEGER NOT NULL DEFAULT 0 CHECK (serves IN (0, 1));
ALTER TABLE writer ADD COLUMN closed_us INTEGER;
ALTER TABLE writer ADD COLUMN high_water_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE writer ADD COLUMN facts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE writer ADD COLUMN observed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE writer ADD COLUMN head_n INTEGER NOT NULL DEFAULT 0;
ALTER TABLE writer ADD COLUMN head_hash BLOB;
ALTER TABLE writer ADD COLUMN after_writer INTEGER;
ALTER TABLE writer ADD COLUMN after_n INTEGER;
UPDATE writer SET closed_us = opened_us, head_hash = genesis;
UPDATE writer SET head_n = l.n, head_hash = l.hash
FROM (SELECT a.writer, a.n, a.hash FROM audit a JOIN (SELECT max(seq) AS seq FROM audit GROUP BY writer) m ON m.seq = a.seq) AS l
WHERE writer.id = l.writer;
UPDATE writer SET after_writer = b.writer, after_n = b.n
FROM (SELECT writer, min(seq) AS seq FROM audit GROUP BY writer) AS f JOIN audit b ON b.seq = f.seq - 1
WHERE writer.id = f.writer;
CREATE INDEX writer_open ON writer (id) WHERE closed_us IS NULL;

-- A target that must be left alone for a while, for every writer.
ALTER TABLE target ADD COLUMN paused_until_us INTEGER;
ALTER TABLE target ADD COLUMN pause_reason TEXT;

-- `audit_key`: the key of what the audit says of this identity, itself encrypted; destroyed by erasure.
-- `replan`: steps wait for an operation under way; its outcome makes the identity dirty.
ALTER TABLE identity ADD COLUMN audit_key BLOB;
ALTER TABLE identity ADD COLUMN replan INTEGER NOT NULL DEFAULT 0 CHECK (replan IN (0, 1));

-- What the work does, beside the work, so that no outcome has to parse it.
ALTER TABLE operation ADD COLUMN verb TEXT NOT NULL DEFAULT '';
UPDATE operation SET verb = work ->> 'do';

-- Cause and payload, encrypted under the identity's key; then `cause` and `payload` are empty.
ALTER TABLE audit ADD COLUMN sealed BLOB;

-- The key that encrypts everything else here, itself encrypted under the operator's key, which is named by its fingerprint.
CREATE TABLE data_key (
    id          INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 16),
    sealed      BLOB NOT NULL,
    created_us  INTEGER NOT NULL
) STRICT;

CREATE TABLE secret (
    name       TEXT NOT NULL PRIMARY KEY,
    data_key   INTEGER NOT NULL REFERENCES data_key (id),
    version    INTEGER NOT NULL CHECK (version > 0),
    sealed     BLOB NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Ed25519; `sealed` is the seed.
CREATE TABLE signing_key (
    id         INTEGER PRIMARY KEY,
    public     BLOB NOT NULL UNIQUE CHECK (length(public) = 32),
    data_key   INTEGER NOT NULL REFERENCES data_key (id),
    sealed     BLOB NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

-- The heads of the audit chains at a moment, signed. `body` is what is signed, letter for letter.
CREATE TABLE checkpoint (
    id          INTEGER PRIMARY KEY,
    at_us       INTEGER NOT NULL,
    signing_key INTEGER NOT NULL REFERENCES signing_key (id),
    body        TEXT NOT NULL,
    signature   BLOB NOT NULL CHECK (length(signature) = 64)
) STRICT;

-- Up to which row of each chain the newest checkpoints reach.
CREATE TABLE sealed_head (
    writer INTEGER NOT NULL PRIMARY KEY REFERENCES writer (id),
    n      INTEGER NOT NULL CHECK (n > 0)
) STRICT;

-- Work that one writer does for all (planning, sealing): whose it is, and until when.
CREATE TABLE duty (
    name     TEXT NOT NULL PRIMARY KEY,
    writer   INTEGER NOT NULL REFERENCES writer (id),
    until_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
