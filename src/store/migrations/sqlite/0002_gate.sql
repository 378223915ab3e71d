-- The gate: protected environments, approvals, and how each deployment stands to them.

ALTER TABLE projects ADD COLUMN allow_self_approval INTEGER NOT NULL DEFAULT 0 CHECK (allow_self_approval IN (0, 1));

ALTER TABLE deployments ADD COLUMN gate TEXT NOT NULL DEFAULT 'open'
    CHECK (gate IN ('open', 'held', 'released', 'bypassed'));
ALTER TABLE deployments ADD COLUMN failure_reason TEXT CHECK (failure_reason IN ('deployment_rejected'));
-- What waits is little, of whatever is recorded; it is looked for after every change of rules and members.
CREATE INDEX deployments_blocked ON deployments (id) WHERE status = 'blocked';

-- A project's by the environment's name, a group's by the tier.
CREATE TABLE protected_environments (
    id                      INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id              INTEGER REFERENCES projects (id) ON DELETE CASCADE,
    group_id                INTEGER REFERENCES groups (id) ON DELETE CASCADE,
    name                    TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    required_approval_count INTEGER NOT NULL CHECK (required_approval_count BETWEEN 0 AND 5),
    created_at              INTEGER NOT NULL,
    updated_at              INTEGER NOT NULL,
    version                 INTEGER NOT NULL,
    CHECK ((project_id IS NULL) <> (group_id IS NULL)),
    UNIQUE (project_id, name),
    UNIQUE (group_id, name)
) STRICT;

-- The entries of a protection, in the order of their ids. Who is deleted leaves every one of them.
CREATE TABLE deploy_access_levels (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    protection_id     INTEGER NOT NULL REFERENCES protected_environments (id) ON DELETE CASCADE,
    user_id           INTEGER REFERENCES users (id) ON DELETE CASCADE,
    group_id          INTEGER REFERENCES groups (id) ON DELETE CASCADE,
    access_level      INTEGER CHECK (access_level IN (20, 30, 40, 60)),
    group_inheritance TEXT    NOT NULL CHECK (group_inheritance IN ('direct', 'inherited')),
    CHECK ((user_id IS NOT NULL) + (group_id IS NOT NULL) + (access_level IS NOT NULL) = 1)
) STRICT;
CREATE INDEX deploy_access_levels_in_order ON deploy_access_levels (protection_id, id);
CREATE INDEX deploy_access_levels_of_user ON deploy_access_levels (user_id);
CREATE INDEX deploy_access_levels_of_group ON deploy_access_levels (group_id);

CREATE TABLE approval_rules (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    protection_id      INTEGER NOT NULL REFERENCES protected_environments (id) ON DELETE CASCADE,
    user_id            INTEGER REFERENCES users (id) ON DELETE CASCADE,
    group_id           INTEGER REFERENCES groups (id) ON DELETE CASCADE,
    access_level       INTEGER CHECK (access_level IN (20, 30, 40, 60)),
    group_inheritance  TEXT    NOT NULL CHECK (group_inheritance IN ('direct', 'inherited')),
    required_approvals INTEGER NOT NULL CHECK (required_approvals BETWEEN 1 AND 5),
    CHECK ((user_id IS NOT NULL) + (group_id IS NOT NULL) + (access_level IS NOT NULL) = 1)
) STRICT;
CREATE INDEX approval_rules_in_order ON approval_rules (protection_id, id);
CREATE INDEX approval_rules_of_user ON approval_rules (user_id);
CREATE INDEX approval_rules_of_group ON approval_rules (group_id);

-- One decision of each person about each deployment. `pinned` are the ids of the rules that had the name
-- `represented_as`, separated by blanks; `rule_id` is the rule that the decision counted for when the deployment left
-- the gate.
CREATE TABLE approvals (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    deployment_id  INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    user_id        INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    status         TEXT    NOT NULL CHECK (status IN ('approved', 'rejected')),
    comment        TEXT    CHECK (length(comment) <= 255),
    represented_as TEXT    NOT NULL,
    pinned         TEXT    NOT NULL,
    rule_id        INTEGER REFERENCES approval_rules (id) ON DELETE SET NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    UNIQUE (deployment_id, user_id)
) STRICT;
CREATE INDEX approvals_of_user ON approvals (user_id, deployment_id);
CREATE INDEX approvals_of_rule ON approvals (rule_id);
