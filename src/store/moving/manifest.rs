//! All that is kept and moved: every table with its columns. A test compares it with the schemas of both engines, so that
//! none is forgotten.
//!
//! Not in it: `installation` and `leases`, which are about one database and not about what is recorded.

/// The oldest schema whose exports can be taken: what later migrations added is at its default then, and means what it
/// says. A migration that fills a column from others, or drops one, has to raise it, or to teach the import as much.
pub const OLDEST_SCHEMA: i64 = 3;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of 64 bits.
    Integer,
    /// A floating-point number of 64 bits.
    Real,
    /// Yes or no.
    Boolean,
    /// Unicode without NUL.
    Text,
    /// Bytes.
    Bytes,
}

/// A column.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may hold nothing.
    pub nullable: bool,
    /// The schema that it came with.
    pub since: i64,
}

impl Column {
    const fn or_null(self) -> Self {
        Self {
            nullable: true,
            ..self
        }
    }

    const fn since(self, since: i64) -> Self {
        Self { since, ..self }
    }
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        nullable: false,
        since: 1,
    }
}

const fn integer(name: &'static str) -> Column {
    column(name, Kind::Integer)
}

const fn real(name: &'static str) -> Column {
    column(name, Kind::Real)
}

const fn boolean(name: &'static str) -> Column {
    column(name, Kind::Boolean)
}

const fn text(name: &'static str) -> Column {
    column(name, Kind::Text)
}

const fn bytes(name: &'static str) -> Column {
    column(name, Kind::Bytes)
}

/// A table.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The schema that it came with.
    pub since: i64,
    /// The columns that its rows are ordered by; no two rows have the same values in them.
    pub order: &'static [&'static str],
    /// Whether the database gives each row an `id` that no row had before.
    pub gives_ids: bool,
    /// Its columns.
    pub columns: &'static [Column],
}

impl Table {
    /// The columns that it has in a schema.
    pub fn columns_in(&self, schema: i64) -> Vec<&'static Column> {
        self.columns
            .iter()
            .filter(|column| column.since <= schema)
            .collect()
    }
}

/// The tables that there are in a schema, each behind those that it refers to. Within `groups`, a parent is before its
/// children by their paths.
pub fn tables_in(schema: i64) -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(move |table| table.since <= schema)
}

/// The tables as they are now.
pub static TABLES: &[Table] = &[
    Table {
        name: "directory",
        since: 1,
        order: &["id"],
        gives_ids: false,
        columns: &[integer("id"), integer("changes")],
    },
    Table {
        name: "users",
        since: 1,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            text("username"),
            text("username_key"),
            text("name"),
            text("email").or_null(),
            text("public_email").or_null(),
            text("avatar_url").or_null(),
            text("state"),
            boolean("admin"),
            boolean("external"),
            integer("created_at"),
            integer("version"),
            text("bio").since(3),
            text("location").since(3),
            text("skype").since(3),
            text("linkedin").since(3),
            text("twitter").since(3),
            text("website_url").since(3),
            text("organization").since(3),
        ],
    },
    Table {
        name: "groups",
        since: 1,
        order: &["full_path_key"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("parent_id").or_null(),
            text("path"),
            text("full_path"),
            text("full_path_key"),
            text("name"),
            text("full_name"),
            text("description"),
            text("visibility"),
            integer("created_at"),
            integer("version"),
        ],
    },
    Table {
        name: "group_ancestors",
        since: 1,
        order: &["group_id", "ancestor_id"],
        gives_ids: false,
        columns: &[integer("group_id"), integer("ancestor_id")],
    },
    Table {
        name: "projects",
        since: 1,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("group_id"),
            text("path"),
            text("full_path"),
            text("full_path_key"),
            text("name"),
            text("description"),
            text("visibility"),
            text("default_branch"),
            boolean("archived"),
            integer("creator_id"),
            integer("created_at"),
            integer("updated_at"),
            integer("version"),
            integer("last_iid"),
            integer("last_event"),
            integer("latest_at"),
            boolean("allow_self_approval").since(2),
            boolean("forward_deployment_enabled").since(3),
            boolean("forward_deployment_rollback_allowed").since(3),
            text("repository_path").or_null().since(3),
            integer("changes").since(4),
        ],
    },
    Table {
        name: "memberships",
        since: 1,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("user_id"),
            integer("project_id").or_null(),
            integer("group_id").or_null(),
            integer("access_level"),
            integer("created_at"),
            integer("version"),
        ],
    },
    Table {
        name: "group_shares",
        since: 1,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("shared_project_id").or_null(),
            integer("shared_group_id").or_null(),
            integer("group_id"),
            integer("access_level"),
            integer("created_at"),
            integer("version"),
        ],
    },
    Table {
        name: "environments",
        since: 1,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("project_id"),
            text("name"),
            text("name_key"),
            text("folderless_key"),
            text("slug"),
            text("external_url").or_null(),
            text("state"),
            text("tier"),
            text("description").or_null(),
            text("auto_stop_setting"),
            integer("created_at"),
            integer("updated_at"),
            integer("version"),
        ],
    },
    Table {
        name: "deployments",
        since: 1,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("project_id"),
            integer("iid"),
            integer("environment_id"),
            text("ref"),
            boolean("tag"),
            text("sha"),
            integer("user_id"),
            text("status"),
            integer("created_at"),
            integer("updated_at"),
            integer("finished_at"),
            integer("version"),
            text("gate").since(2),
            text("failure_reason").or_null().since(2),
            integer("job_id").or_null().since(3),
            text("commit_sha").or_null().since(3),
        ],
    },
    Table {
        name: "tokens",
        since: 1,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("user_id"),
            text("name"),
            text("scopes"),
            text("secret_hash"),
            integer("created_at"),
            integer("expires_at").or_null(),
            integer("revoked_at").or_null(),
            integer("last_used_at").or_null(),
            integer("deployment_id").or_null().since(3),
        ],
    },
    Table {
        name: "events",
        since: 1,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("project_id"),
            integer("seq"),
            text("kind"),
            integer("actor_id"),
            integer("created_at"),
            text("payload"),
        ],
    },
    Table {
        name: "requests",
        since: 1,
        order: &["user_id", "request_id"],
        gives_ids: false,
        columns: &[
            integer("user_id"),
            text("request_id"),
            text("fingerprint"),
            bytes("answer"),
            integer("created_at"),
        ],
    },
    Table {
        name: "protected_environments",
        since: 2,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("project_id").or_null(),
            integer("group_id").or_null(),
            text("name"),
            integer("required_approval_count"),
            integer("created_at"),
            integer("updated_at"),
            integer("version"),
        ],
    },
    Table {
        name: "deploy_access_levels",
        since: 2,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("protection_id"),
            integer("user_id").or_null(),
            integer("group_id").or_null(),
            integer("access_level").or_null(),
            text("group_inheritance"),
        ],
    },
    Table {
        name: "approval_rules",
        since: 2,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("protection_id"),
            integer("user_id").or_null(),
            integer("group_id").or_null(),
            integer("access_level").or_null(),
            text("group_inheritance"),
            integer("required_approvals"),
        ],
    },
    Table {
        name: "approvals",
        since: 2,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("deployment_id"),
            integer("user_id"),
            text("status"),
            text("comment").or_null(),
            text("represented_as"),
            text("pinned"),
            integer("rule_id").or_null(),
            integer("created_at"),
            integer("updated_at"),
        ],
    },
    Table {
        name: "commits",
        since: 3,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("project_id"),
            text("sha"),
            text("parent_shas"),
            text("message"),
            text("author_name"),
            text("author_email"),
            integer("authored_at"),
            integer("authored_offset"),
            text("committer_name"),
            text("committer_email"),
            integer("committed_at"),
            integer("committed_offset"),
            text("web_url").or_null(),
        ],
    },
    Table {
        name: "deployment_commits",
        since: 3,
        order: &["deployment_id", "position"],
        gives_ids: false,
        columns: &[
            integer("deployment_id"),
            integer("position"),
            integer("commit_id"),
        ],
    },
    Table {
        name: "jobs",
        since: 3,
        order: &["deployment_id"],
        gives_ids: false,
        columns: &[
            integer("deployment_id"),
            integer("project_id"),
            integer("job_id"),
            integer("sequence"),
            text("status"),
            text("stage"),
            text("name"),
            real("coverage").or_null(),
            boolean("allow_failure"),
            integer("created_at"),
            integer("started_at").or_null(),
            integer("finished_at").or_null(),
            integer("erased_at").or_null(),
            integer("queued_millis").or_null(),
            text("failure_reason"),
            integer("user_id"),
            text("web_url").or_null(),
            text("tag_list"),
            boolean("ci_job_token_scope_enabled"),
            text("pipeline"),
            text("runner").or_null(),
        ],
    },
    Table {
        name: "merge_requests",
        since: 3,
        order: &["id"],
        gives_ids: true,
        columns: &[
            integer("id"),
            integer("project_id"),
            integer("iid"),
            text("title"),
            text("title_key"),
            text("state"),
            boolean("draft"),
            integer("created_at"),
            integer("updated_at"),
            integer("merged_at").or_null(),
            integer("closed_at").or_null(),
            integer("prepared_at").or_null(),
            integer("merge_after").or_null(),
            integer("author_id").or_null(),
            integer("merged_by_id").or_null(),
            integer("closed_by_id").or_null(),
            text("target_branch"),
            text("source_branch"),
            integer("source_project_id").or_null(),
            text("sha"),
            text("merge_commit_sha"),
            text("squash_commit_sha"),
            text("milestone").or_null(),
            text("milestone_title").or_null(),
            integer("milestone_due").or_null(),
            integer("label_priority").or_null(),
            integer("upvotes"),
            integer("downvotes"),
            integer("user_notes_count"),
            integer("version"),
            text("details"),
            text("description"),
            text("description_key"),
        ],
    },
    Table {
        name: "merge_request_people",
        since: 3,
        order: &["merge_request_id", "role", "position"],
        gives_ids: false,
        columns: &[
            integer("merge_request_id"),
            text("role"),
            integer("position"),
            integer("user_id"),
        ],
    },
    Table {
        name: "merge_request_labels",
        since: 3,
        order: &["merge_request_id", "name"],
        gives_ids: false,
        columns: &[
            integer("merge_request_id"),
            text("name"),
            text("color"),
            text("text_color"),
            text("description"),
            integer("priority").or_null(),
        ],
    },
    Table {
        name: "merge_request_reactions",
        since: 3,
        order: &["merge_request_id", "user_id", "name"],
        gives_ids: false,
        columns: &[integer("merge_request_id"), integer("user_id"), text("name")],
    },
    Table {
        name: "merge_request_commits",
        since: 3,
        order: &["merge_request_id", "kind", "sha"],
        gives_ids: false,
        columns: &[
            integer("merge_request_id"),
            integer("project_id"),
            text("sha"),
            text("kind"),
        ],
    },
    Table {
        name: "deployment_merge_requests",
        since: 3,
        order: &["deployment_id", "merge_request_id"],
        gives_ids: false,
        columns: &[
            integer("deployment_id"),
            integer("merge_request_id"),
            integer("environment_id"),
        ],
    },
    Table {
        name: "link_work",
        since: 3,
        order: &["deployment_id"],
        gives_ids: false,
        columns: &[integer("deployment_id"), integer("attempts"), integer("due_at")],
    },
];
