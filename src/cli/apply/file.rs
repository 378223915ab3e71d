//! The file's format, as it is written; `gatehouse apply --example` prints a file that shows all of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};

/// A file that shows every kind of entry; also the organisation of `gatehouse demo`.
pub const EXAMPLE: &str = include_str!("example.toml");

/// A whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    pub(super) users: Vec<User>,
    pub(super) groups: Vec<Group>,
    pub(super) projects: Vec<Project>,
    pub(super) members: Vec<Member>,
    pub(super) shares: Vec<Share>,
    pub(super) environments: Vec<Environment>,
    pub(super) merge_requests: Vec<MergeRequest>,
    pub(super) protected_environments: Vec<ProtectedEnvironment>,
}

impl File {
    /// Reads a file. The error names line and key.
    pub fn read(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub username: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub public_email: Option<String>,
    pub avatar_url: Option<String>,
    pub admin: Option<bool>,
    pub external: Option<bool>,
    pub state: Option<String>,
    pub bio: Option<String>,
    pub location: Option<String>,
    pub skype: Option<String>,
    pub linkedin: Option<String>,
    pub twitter: Option<String>,
    pub website_url: Option<String>,
    pub organization: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub path: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub visibility: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Project {
    pub path: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub visibility: Option<String>,
    pub default_branch: Option<String>,
    pub archived: Option<bool>,
    pub allow_pipeline_trigger_approve_deployment: Option<bool>,
    pub ci_forward_deployment_enabled: Option<bool>,
    pub ci_forward_deployment_rollback_allowed: Option<bool>,
    pub repository: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    #[serde(rename = "in")]
    pub container: String,
    pub user: String,
    pub access: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Share {
    #[serde(rename = "in")]
    pub container: String,
    pub group: String,
    pub access: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Environment {
    pub project: String,
    pub name: String,
    pub tier: Option<String>,
    pub external_url: Option<String>,
    pub description: Option<String>,
    pub auto_stop_setting: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProtectedEnvironment {
    #[serde(rename = "in")]
    pub container: String,
    pub name: String,
    pub deploy_access_levels: Vec<ProtectionEntry>,
    pub required_approval_count: Option<i32>,
    pub approval_rules: Option<Vec<ProtectionEntry>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProtectionEntry {
    pub user: Option<String>,
    pub group: Option<String>,
    pub role: Option<String>,
    pub group_inheritance: Option<String>,
    pub required_approvals: Option<i32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MergeRequest {
    pub project: String,
    pub iid: i64,
    pub title: String,
    pub state: String,
    pub source_branch: String,
    pub target_branch: String,
    pub description: Option<String>,
    pub web_url: Option<String>,
    pub author: Option<String>,
    pub assignees: Option<Vec<String>>,
    pub reviewers: Option<Vec<String>>,
    pub merged_by: Option<String>,
    pub closed_by: Option<String>,
    pub labels: Option<Vec<Label>>,
    pub milestone: Option<Milestone>,
    pub sha: Option<String>,
    pub merge_commit_sha: Option<String>,
    pub squash_commit_sha: Option<String>,
    pub cherry_pick_shas: Option<Vec<String>>,
    pub created_at: Option<Moment>,
    pub updated_at: Option<Moment>,
    pub merged_at: Option<Moment>,
    pub closed_at: Option<Moment>,
    pub prepared_at: Option<Moment>,
    pub merge_after: Option<Moment>,
    pub merge_status: Option<String>,
    pub detailed_merge_status: Option<String>,
    pub time_estimate: Option<i64>,
    pub total_time_spent: Option<i64>,
    pub upvotes: Option<i64>,
    pub downvotes: Option<i64>,
    pub user_notes_count: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Label {
    pub name: String,
    pub color: Option<String>,
    pub text_color: Option<String>,
    pub description: Option<String>,
    pub priority: Option<i32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Milestone {
    pub id: i64,
    pub iid: i64,
    pub title: String,
    pub description: Option<String>,
    pub closed: Option<bool>,
    pub start_date: Option<Day>,
    pub due_date: Option<Day>,
    pub web_url: Option<String>,
}

/// TOML has times of its own; texts are taken as well.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Native(toml::value::Datetime),
    Text(String),
}

impl Written {
    fn text(self) -> String {
        match self {
            Self::Native(native) => native.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// A time with its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub DateTime<Utc>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let bad = "it is not a time with its offset, like 2026-01-31T12:00:00Z";
        let written = Written::deserialize(input).map_err(|_| D::Error::custom(bad))?;
        let time = DateTime::parse_from_rfc3339(&written.text()).map_err(|_| D::Error::custom(bad))?;
        Ok(Self(time.to_utc()))
    }
}

/// A day, which the server checks; empty: none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Day(pub String);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let bad = |_| D::Error::custom("it is not a day, like 2026-01-31");
        Ok(Self(Written::deserialize(input).map_err(bad)?.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_read_and_shows_every_kind_of_entry() {
        let file = File::read(EXAMPLE).unwrap();
        let counts = [
            file.users.len(),
            file.groups.len(),
            file.projects.len(),
            file.members.len(),
        ];
        assert_eq!(counts, [10, 5, 2, 11]);
        let counts = [
            file.shares.len(),
            file.environments.len(),
            file.protected_environments.len(),
            file.merge_requests.len(),
        ];
        assert_eq!(counts, [3, 4, 3, 2]);
    }

    #[test]
    fn an_empty_file_wants_nothing() {
        let file = File::read("").unwrap();
        assert!(file.users.is_empty() && file.environments.is_empty());
    }

    #[test]
    fn times_are_taken_as_toml_writes_them_and_as_texts() {
        let read = |times: &str| {
            let start = "[[merge_requests]]\nproject = \"a/b\"\niid = 1\ntitle = \"x\"\nstate = \"opened\"\n\
                         source_branch = \"x\"\ntarget_branch = \"main\"\n";
            File::read(&format!("{start}{times}")).map(|file| file.merge_requests[0].clone())
        };
        let noon = DateTime::parse_from_rfc3339("2026-01-31T12:00:00Z")
            .unwrap()
            .to_utc();
        for written in [
            "2026-01-31T12:00:00Z",
            "2026-01-31 13:00:00+01:00",
            "\"2026-01-31T12:00:00Z\"",
            "\"2026-01-31T14:00:00.000+02:00\"",
        ] {
            let merge_request = read(&format!("merged_at = {written}")).unwrap();
            assert_eq!(merge_request.merged_at, Some(Moment(noon)), "{written}");
        }
        for written in ["2026-01-31", "2026-01-31T12:00:00", "\"yesterday\"", "12"] {
            let error = read(&format!("merged_at = {written}")).unwrap_err();
            assert!(
                error.contains("line 8") && error.contains("merged_at") && error.contains("with its offset"),
                "{error}"
            );
        }
        for (written, day) in [
            ("2026-02-01", "2026-02-01"),
            ("\"2026-02-01\"", "2026-02-01"),
            ("\"\"", ""),
        ] {
            let milestone = format!("milestone = {{ id = 1, iid = 1, title = \"M\", due_date = {written} }}");
            let milestone = read(&milestone).unwrap().milestone.unwrap();
            assert_eq!(milestone.due_date, Some(Day(day.to_owned())), "{written}");
        }
    }

    #[test]
    fn a_key_that_is_unknown_missing_or_of_another_type_is_refused_with_line_and_key() {
        for (text, line, key) in [
            ("[[users]]\nusername = \"ana\"\nadmn = true", "line 3", "admn"),
            ("[[user]]\nusername = \"ana\"", "line 1", "user"),
            ("\n[[members]]\nin = \"acme\"\nuser = \"ana\"", "line 2", "access"),
            (
                "[[users]]\nusername = \"ana\"\nadmin = \"yes\"",
                "line 3",
                "admin",
            ),
            ("[[users]]\nusername = ana", "line 2", "username"),
            (
                "[[protected_environments]]\nin = \"a\"\nname = \"b\"",
                "line 1",
                "deploy_access_levels",
            ),
            (
                "[[protected_environments]]\nin = \"a\"\nname = \"b\"\ndeploy_access_levels = [{ roles = \"x\" }]",
                "line 4",
                "roles",
            ),
        ] {
            let error = File::read(text).unwrap_err();
            assert!(error.contains(line) && error.contains(key), "{error}");
        }
    }
}
