//! The file's format, as it is written; `gatehouse apply --example` prints a file that shows all of it.

use serde::Deserialize;

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
        ];
        assert_eq!(counts, [3, 4, 3]);
    }

    #[test]
    fn an_empty_file_wants_nothing() {
        let file = File::read("").unwrap();
        assert!(file.users.is_empty() && file.environments.is_empty());
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
