-- One more `change`, 3: present, but in a row that cannot be used. A check cannot be altered, so the table is made anew.
CREATE TABLE staged_anew (
    snapshot   INTEGER NOT NULL REFERENCES snapshot (id),
    key        TEXT NOT NULL,
    change     INTEGER NOT NULL CHECK (change BETWEEN 0 AND 3),
    attributes TEXT,
    digest     BLOB,
    PRIMARY KEY (snapshot, key),
    CHECK ((change = 0) = (attributes IS NOT NULL AND length(digest) = 16))
) STRICT, WITHOUT ROWID;
INSERT INTO staged_anew (snapshot, key, change, attributes, digest)
SELECT snapshot, key, change, attributes, digest FROM staged;
DROP TABLE staged;
ALTER TABLE staged_anew RENAME TO staged;
