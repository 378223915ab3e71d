-- What shipped: the jobs and commits of deployments, repositories, and the merge requests that deployments brought.

ALTER TABLE users ADD COLUMN bio          TEXT NOT NULL DEFAULT '' CHECK (length(bio) <= 1000);
ALTER TABLE users ADD COLUMN location     TEXT NOT NULL DEFAULT '' CHECK (length(location) <= 255);
ALTER TABLE users ADD COLUMN skype        TEXT NOT NULL DEFAULT '' CHECK (length(skype) <= 255);
ALTER TABLE users ADD COLUMN linkedin     TEXT NOT NULL DEFAULT '' CHECK (length(linkedin) <= 255);
ALTER TABLE users ADD COLUMN twitter      TEXT NOT NULL DEFAULT '' CHECK (length(twitter) <= 255);
ALTER TABLE users ADD COLUMN website_url  TEXT NOT NULL DEFAULT '' CHECK (length(website_url) <= 255);
ALTER TABLE users ADD COLUMN organization TEXT NOT NULL DEFAULT '' CHECK (length(organization) <= 255);

ALTER TABLE projects ADD COLUMN forward_deployment_enabled INTEGER NOT NULL DEFAULT 1
    CHECK (forward_deployment_enabled IN (0, 1));
ALTER TABLE projects ADD COLUMN forward_deployment_rollback_allowed INTEGER NOT NULL DEFAULT 1
    CHECK (forward_deployment_rollback_allowed IN (0, 1));
-- Below the server's repository root.
ALTER TABLE projects ADD COLUMN repository_path TEXT CHECK (length(repository_path) BETWEEN 1 AND 1024);

-- `job_id` is the CI system's; what it is, is in `jobs`. `commit_sha` is the full id, where it is known.
ALTER TABLE deployments ADD COLUMN job_id INTEGER;
ALTER TABLE deployments ADD COLUMN commit_sha TEXT CHECK (length(commit_sha) IN (40, 64));
UPDATE deployments SET commit_sha = lower(sha) WHERE length(sha) IN (40, 64);

-- A job's token is a token that ends with the job: then the row is deleted.
ALTER TABLE tokens ADD COLUMN deployment_id INTEGER REFERENCES deployments (id) ON DELETE CASCADE;
CREATE INDEX tokens_of_deployment ON tokens (deployment_id) WHERE deployment_id IS NOT NULL;

-- Commits as they were first seen; what has an id never changes. `parent_shas` are separated by blanks, offsets are minutes
-- ahead of UTC.
CREATE TABLE commits (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id       INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    sha              TEXT    NOT NULL CHECK (length(sha) IN (40, 64)),
    parent_shas      TEXT    NOT NULL,
    message          TEXT    NOT NULL,
    author_name      TEXT    NOT NULL,
    author_email     TEXT    NOT NULL,
    authored_at      INTEGER NOT NULL,
    authored_offset  INTEGER NOT NULL,
    committer_name   TEXT    NOT NULL,
    committer_email  TEXT    NOT NULL,
    committed_at     INTEGER NOT NULL,
    committed_offset INTEGER NOT NULL,
    web_url          TEXT,
    UNIQUE (project_id, sha)
) STRICT;

-- The commits that were sent with a deployment, in the order in which they were sent.
CREATE TABLE deployment_commits (
    deployment_id INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    position      INTEGER NOT NULL,
    commit_id     INTEGER NOT NULL REFERENCES commits (id) ON DELETE CASCADE,
    PRIMARY KEY (deployment_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX deployment_commits_of_commit ON deployment_commits (commit_id);

-- The job that carries a deployment out. Its pipeline and runner are kept as it knows them. `user_id` has no foreign key:
-- a job outlives the user on whose behalf it ran.
CREATE TABLE jobs (
    deployment_id              INTEGER PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE,
    project_id                 INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    job_id                     INTEGER NOT NULL CHECK (job_id > 0),
    sequence                   INTEGER NOT NULL CHECK (sequence >= 0),
    status                     TEXT    NOT NULL CHECK (status IN (
        'created', 'waiting_for_resource', 'preparing', 'waiting_for_callback', 'pending', 'running', 'success', 'failed',
        'canceling', 'canceled', 'skipped', 'manual', 'scheduled')),
    stage                      TEXT    NOT NULL CHECK (length(stage) <= 255),
    name                       TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    coverage                   REAL    CHECK (coverage BETWEEN 0 AND 100),
    allow_failure              INTEGER NOT NULL CHECK (allow_failure IN (0, 1)),
    created_at                 INTEGER NOT NULL,
    started_at                 INTEGER,
    finished_at                INTEGER,
    erased_at                  INTEGER,
    queued_millis              INTEGER,
    failure_reason             TEXT    NOT NULL CHECK (length(failure_reason) <= 100),
    user_id                    INTEGER NOT NULL,
    web_url                    TEXT,
    tag_list                   TEXT    NOT NULL, -- a JSON array of texts
    ci_job_token_scope_enabled INTEGER NOT NULL CHECK (ci_job_token_scope_enabled IN (0, 1)),
    pipeline                   TEXT    NOT NULL, -- a JSON object
    runner                     TEXT,             -- a JSON object
    UNIQUE (project_id, job_id)
) STRICT;

-- Merge requests as their forge reported them. The `_key` twins are in lower case, made by the program; `milestone_due` and
-- `label_priority` are what lists are sorted by.
CREATE TABLE merge_requests (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id          INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    iid                 INTEGER NOT NULL CHECK (iid > 0),
    title               TEXT    NOT NULL,
    title_key           TEXT    NOT NULL,
    state               TEXT    NOT NULL CHECK (state IN ('opened', 'closed', 'locked', 'merged')),
    draft               INTEGER NOT NULL CHECK (draft IN (0, 1)),
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    merged_at           INTEGER,
    closed_at           INTEGER,
    prepared_at         INTEGER,
    merge_after         INTEGER,
    author_id           INTEGER,
    merged_by_id        INTEGER,
    closed_by_id        INTEGER,
    target_branch       TEXT    NOT NULL,
    source_branch       TEXT    NOT NULL,
    source_project_id   INTEGER,
    sha                 TEXT    NOT NULL,
    merge_commit_sha    TEXT    NOT NULL,
    squash_commit_sha   TEXT    NOT NULL,
    milestone           TEXT,             -- a JSON object
    milestone_title     TEXT,
    milestone_due       INTEGER,          -- days since 1970
    label_priority      INTEGER,
    upvotes             INTEGER NOT NULL,
    downvotes           INTEGER NOT NULL,
    user_notes_count    INTEGER NOT NULL,
    version             INTEGER NOT NULL,
    details             TEXT    NOT NULL, -- a JSON object: everything that is only shown
    description         TEXT    NOT NULL, -- last: it may be long, and what is behind it is slow to reach
    description_key     TEXT    NOT NULL,
    UNIQUE (project_id, iid)
) STRICT;
CREATE INDEX merge_requests_by_id ON merge_requests (project_id, id);
CREATE INDEX merge_requests_by_creation ON merge_requests (project_id, created_at, id);
CREATE INDEX merge_requests_by_change ON merge_requests (project_id, updated_at, id);
CREATE INDEX merge_requests_by_target ON merge_requests (project_id, target_branch, state);

-- Who is to bring a merge request on, or to review it, in the order told.
CREATE TABLE merge_request_people (
    merge_request_id INTEGER NOT NULL REFERENCES merge_requests (id) ON DELETE CASCADE,
    role             TEXT    NOT NULL CHECK (role IN ('assignee', 'reviewer')),
    position         INTEGER NOT NULL,
    user_id          INTEGER NOT NULL,
    PRIMARY KEY (merge_request_id, role, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE merge_request_labels (
    merge_request_id INTEGER NOT NULL REFERENCES merge_requests (id) ON DELETE CASCADE,
    name             TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    color            TEXT    NOT NULL,
    text_color       TEXT    NOT NULL,
    description      TEXT    NOT NULL,
    priority         INTEGER,
    PRIMARY KEY (merge_request_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE merge_request_reactions (
    merge_request_id INTEGER NOT NULL REFERENCES merge_requests (id) ON DELETE CASCADE,
    user_id          INTEGER NOT NULL,
    name             TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    PRIMARY KEY (merge_request_id, user_id, name)
) STRICT, WITHOUT ROWID;

-- The commits by which a merge request is found in what a deployment brought; in lower case.
CREATE TABLE merge_request_commits (
    merge_request_id INTEGER NOT NULL REFERENCES merge_requests (id) ON DELETE CASCADE,
    project_id       INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    sha              TEXT    NOT NULL,
    kind             TEXT    NOT NULL CHECK (kind IN ('head', 'merge', 'squash', 'cherry_pick')),
    PRIMARY KEY (merge_request_id, kind, sha)
) STRICT, WITHOUT ROWID;
CREATE INDEX merge_request_commits_by_sha ON merge_request_commits (project_id, sha);

-- Which deployment shipped a merge request: in each environment the first.
CREATE TABLE deployment_merge_requests (
    deployment_id    INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    merge_request_id INTEGER NOT NULL REFERENCES merge_requests (id) ON DELETE CASCADE,
    environment_id   INTEGER NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    PRIMARY KEY (deployment_id, merge_request_id),
    UNIQUE (environment_id, merge_request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deployment_merge_requests_of_merge_request ON deployment_merge_requests (merge_request_id, deployment_id);

-- Deployments whose merge requests are still to be linked: written with the success, deleted with the links.
CREATE TABLE link_work (
    deployment_id INTEGER PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE,
    attempts      INTEGER NOT NULL,
    due_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX link_work_by_time ON link_work (due_at, deployment_id);
