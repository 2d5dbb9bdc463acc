-- The application of the demo and the end-to-end tests: its own users, roles and memberships, as somebody else designed them.
CREATE TABLE users (
    id          INTEGER PRIMARY KEY,
    username    TEXT NOT NULL UNIQUE,
    full_name   TEXT NOT NULL,
    email       TEXT,
    department  TEXT,
    title       TEXT,
    manager     TEXT,
    status      TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled'))
);

CREATE TABLE roles (
    name        TEXT PRIMARY KEY,
    description TEXT NOT NULL
);

CREATE TABLE memberships (
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role        TEXT NOT NULL REFERENCES roles (name),
    PRIMARY KEY (user_id, role)
);

INSERT INTO roles (name, description) VALUES
    ('staff',          'May sign in'),
    ('crm',            'Customers and offers'),
    ('ledger',         'Books and invoices'),
    ('source-code',    'Repositories'),
    ('project-apollo', 'Documents of project Apollo');

-- Who lived here before Usher came: it must stay untouched.
INSERT INTO users (username, full_name, status) VALUES ('admin', 'Administrator', 'active');
INSERT INTO memberships (user_id, role) SELECT id, 'staff' FROM users WHERE username = 'admin';

-- What happened to users and memberships, in order: shows an operation done twice.
CREATE TABLE history (
    at          INTEGER PRIMARY KEY,
    what        TEXT NOT NULL,
    username    TEXT NOT NULL,
    detail      TEXT
);
CREATE TRIGGER user_made AFTER INSERT ON users BEGIN
    INSERT INTO history (what, username) VALUES ('create', new.username);
END;
CREATE TRIGGER user_changed AFTER UPDATE ON users BEGIN
    INSERT INTO history (what, username, detail)
    VALUES (CASE WHEN old.status = new.status THEN 'update' ELSE new.status END, new.username, old.username);
END;
CREATE TRIGGER user_gone AFTER DELETE ON users BEGIN
    INSERT INTO history (what, username) VALUES ('delete', old.username);
END;
CREATE TRIGGER membership_made AFTER INSERT ON memberships BEGIN
    INSERT INTO history (what, username, detail) SELECT 'grant', username, new.role FROM users WHERE id = new.user_id;
END;
CREATE TRIGGER membership_gone AFTER DELETE ON memberships BEGIN
    INSERT INTO history (what, username, detail)
    SELECT 'revoke', coalesce((SELECT username FROM users WHERE id = old.user_id), 'deleted'), old.role;
END;
