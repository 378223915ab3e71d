-- The first schema. Times are whole milliseconds since 1970 (UTC). Texts that must be unique or found whatever their
-- case have a `_key` twin in lower case, made by the program. Enums are words. The database never makes a time.

-- One row: every change of users, groups, projects, memberships, shares and tokens takes it first. It is the lock.
CREATE TABLE directory (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    changes INTEGER NOT NULL
) STRICT;
INSERT INTO directory (id, changes) VALUES (1, 0);

CREATE TABLE users (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    username     TEXT    NOT NULL CHECK (length(username) BETWEEN 1 AND 255),
    username_key TEXT    NOT NULL UNIQUE,
    name         TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    email        TEXT    CHECK (length(email) <= 255),
    public_email TEXT    CHECK (length(public_email) <= 255),
    avatar_url   TEXT    CHECK (length(avatar_url) <= 255),
    state        TEXT    NOT NULL CHECK (state IN ('active', 'blocked')),
    admin        INTEGER NOT NULL CHECK (admin IN (0, 1)),
    external     INTEGER NOT NULL CHECK (external IN (0, 1)),
    created_at   INTEGER NOT NULL,
    version      INTEGER NOT NULL
) STRICT;
CREATE INDEX users_administrators ON users (id) WHERE admin;

CREATE TABLE tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    scopes       TEXT    NOT NULL,
    secret_hash  TEXT    NOT NULL UNIQUE CHECK (length(secret_hash) = 64),
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX tokens_of_user ON tokens (user_id, id);

CREATE TABLE groups (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    parent_id     INTEGER REFERENCES groups (id),
    path          TEXT    NOT NULL CHECK (length(path) BETWEEN 1 AND 255),
    full_path     TEXT    NOT NULL,
    full_path_key TEXT    NOT NULL UNIQUE,
    name          TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    full_name     TEXT    NOT NULL,
    description   TEXT    NOT NULL CHECK (length(description) <= 10000),
    visibility    TEXT    NOT NULL CHECK (visibility IN ('private', 'internal', 'public')),
    created_at    INTEGER NOT NULL,
    version       INTEGER NOT NULL
) STRICT;
CREATE INDEX groups_of_parent ON groups (parent_id, id);

-- Every group with itself and each group above it: membership is asked for in every call, the tree changes rarely.
CREATE TABLE group_ancestors (
    group_id    INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    ancestor_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, ancestor_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_ancestors_downward ON group_ancestors (ancestor_id, group_id);

-- `last_iid` and `last_event` number a project's deployments and events; `latest_at` keeps its times from running
-- backwards. Every write to a project takes this row first: it is the lock.
CREATE TABLE projects (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id       INTEGER NOT NULL REFERENCES groups (id),
    path           TEXT    NOT NULL CHECK (length(path) BETWEEN 1 AND 255),
    full_path      TEXT    NOT NULL,
    full_path_key  TEXT    NOT NULL UNIQUE,
    name           TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    description    TEXT    NOT NULL CHECK (length(description) <= 10000),
    visibility     TEXT    NOT NULL CHECK (visibility IN ('private', 'internal', 'public')),
    default_branch TEXT    NOT NULL CHECK (length(default_branch) BETWEEN 1 AND 255),
    archived       INTEGER NOT NULL CHECK (archived IN (0, 1)),
    creator_id     INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    last_iid       INTEGER NOT NULL,
    last_event     INTEGER NOT NULL,
    latest_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX projects_of_group ON projects (group_id, id);

CREATE TABLE memberships (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id   INTEGER REFERENCES projects (id) ON DELETE CASCADE,
    group_id     INTEGER REFERENCES groups (id) ON DELETE CASCADE,
    access_level INTEGER NOT NULL CHECK (access_level IN (5, 10, 15, 20, 30, 40, 50)),
    created_at   INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    CHECK ((project_id IS NULL) <> (group_id IS NULL)),
    UNIQUE (project_id, user_id),
    UNIQUE (group_id, user_id)
) STRICT;
CREATE INDEX memberships_of_user ON memberships (user_id);

CREATE TABLE group_shares (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    shared_project_id INTEGER REFERENCES projects (id) ON DELETE CASCADE,
    shared_group_id   INTEGER REFERENCES groups (id) ON DELETE CASCADE,
    group_id          INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    access_level      INTEGER NOT NULL CHECK (access_level IN (5, 10, 15, 20, 30, 40, 50)),
    created_at        INTEGER NOT NULL,
    version           INTEGER NOT NULL,
    CHECK ((shared_project_id IS NULL) <> (shared_group_id IS NULL)),
    UNIQUE (shared_project_id, group_id),
    UNIQUE (shared_group_id, group_id)
) STRICT;
CREATE INDEX group_shares_of_group ON group_shares (group_id);

CREATE TABLE environments (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id        INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name              TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    name_key          TEXT    NOT NULL,
    folderless_key    TEXT    NOT NULL, -- what is behind the first slash of name_key, or nothing
    slug              TEXT    NOT NULL CHECK (length(slug) BETWEEN 1 AND 24),
    external_url      TEXT    CHECK (length(external_url) <= 255),
    state             TEXT    NOT NULL CHECK (state IN ('available', 'stopping', 'stopped')),
    tier              TEXT    NOT NULL CHECK (tier IN ('production', 'staging', 'testing', 'development', 'other')),
    description       TEXT    CHECK (length(description) <= 10000),
    auto_stop_setting TEXT    NOT NULL CHECK (auto_stop_setting IN ('always', 'with_action')),
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    version           INTEGER NOT NULL,
    UNIQUE (project_id, name),
    UNIQUE (project_id, slug)
) STRICT;
CREATE INDEX environments_by_id ON environments (project_id, id);

-- `finished_at` is 9223372036854775807 for what has not finished: later than everything, so that it sorts and compares
-- as one number. `user_id` has no foreign key: a deployment outlives the user who recorded it.
CREATE TABLE deployments (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id     INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    iid            INTEGER NOT NULL,
    environment_id INTEGER NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    ref            TEXT    NOT NULL CHECK (length(ref) BETWEEN 1 AND 255),
    tag            INTEGER NOT NULL CHECK (tag IN (0, 1)),
    sha            TEXT    NOT NULL CHECK (length(sha) BETWEEN 1 AND 255),
    user_id        INTEGER NOT NULL,
    status         TEXT    NOT NULL
        CHECK (status IN ('created', 'running', 'success', 'failed', 'canceled', 'skipped', 'blocked')),
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    finished_at    INTEGER NOT NULL,
    version        INTEGER NOT NULL
) STRICT;
-- One index for each order (iid, updated_at, finished_at, ref) under each set of equality filters (none, environment,
-- status, both): whatever is asked, a page is read by walking one of them. id and created_at grow with iid.
CREATE UNIQUE INDEX deployments_p_iid      ON deployments (project_id, iid);
CREATE INDEX        deployments_p_updated  ON deployments (project_id, updated_at, iid);
CREATE INDEX        deployments_p_finished ON deployments (project_id, finished_at, iid);
CREATE INDEX        deployments_p_ref      ON deployments (project_id, ref, iid);
CREATE INDEX        deployments_e_iid      ON deployments (environment_id, iid);
CREATE INDEX        deployments_e_updated  ON deployments (environment_id, updated_at, iid);
CREATE INDEX        deployments_e_finished ON deployments (environment_id, finished_at, iid);
CREATE INDEX        deployments_e_ref      ON deployments (environment_id, ref, iid);
CREATE INDEX        deployments_ps_iid      ON deployments (project_id, status, iid);
CREATE INDEX        deployments_ps_updated  ON deployments (project_id, status, updated_at, iid);
CREATE INDEX        deployments_ps_finished ON deployments (project_id, status, finished_at, iid);
CREATE INDEX        deployments_ps_ref      ON deployments (project_id, status, ref, iid);
CREATE INDEX        deployments_es_iid      ON deployments (environment_id, status, iid);
CREATE INDEX        deployments_es_updated  ON deployments (environment_id, status, updated_at, iid);
CREATE INDEX        deployments_es_finished ON deployments (environment_id, status, finished_at, iid);
CREATE INDEX        deployments_es_ref      ON deployments (environment_id, status, ref, iid);

-- What happened in a project, in order: `seq` counts without gaps, and in the order of commits.
CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    seq        INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    actor_id   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    payload    TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_in_order ON events (project_id, seq);

-- Answers to requests that carried a request id, kept for a day so that a repeat gets the same.
CREATE TABLE requests (
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    request_id  TEXT    NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
    fingerprint TEXT    NOT NULL,
    answer      BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (user_id, request_id)
) STRICT;
CREATE INDEX requests_by_age ON requests (created_at);

-- What a grown store looks like, told to the planner once and for all: without it, it takes an index that knows the
-- project for as good as one that knows the project and the status, and reads a million rows to return twenty.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('deployments', 'deployments_p_iid',       '1000000 10000 1'),
    ('deployments', 'deployments_p_updated',   '1000000 10000 2 1'),
    ('deployments', 'deployments_p_finished',  '1000000 10000 2 1'),
    ('deployments', 'deployments_p_ref',       '1000000 10000 100 1'),
    ('deployments', 'deployments_e_iid',       '1000000 2000 1'),
    ('deployments', 'deployments_e_updated',   '1000000 2000 2 1'),
    ('deployments', 'deployments_e_finished',  '1000000 2000 2 1'),
    ('deployments', 'deployments_e_ref',       '1000000 2000 100 1'),
    ('deployments', 'deployments_ps_iid',      '1000000 10000 1500 1'),
    ('deployments', 'deployments_ps_updated',  '1000000 10000 1500 2 1'),
    ('deployments', 'deployments_ps_finished', '1000000 10000 1500 2 1'),
    ('deployments', 'deployments_ps_ref',      '1000000 10000 1500 100 1'),
    ('deployments', 'deployments_es_iid',      '1000000 2000 300 1'),
    ('deployments', 'deployments_es_updated',  '1000000 2000 300 2 1'),
    ('deployments', 'deployments_es_finished', '1000000 2000 300 2 1'),
    ('deployments', 'deployments_es_ref',      '1000000 2000 300 100 1');
