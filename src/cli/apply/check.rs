//! What can be told of a file without asking the server: words, paths, repetitions. Every problem is reported at once.

use std::collections::HashMap;

use super::{
    entry::{
        Container, Environment, Group, Member, MergeRequest, Profile, Project, ProtectedEnvironment,
        ProtectionEntry, Share, Subject, User,
    },
    file,
};
use crate::{
    cli::word::Word,
    pb::v1::{EnvironmentTier, GroupInheritance},
};

/// The most approvals that a rule, or a protected environment without rules, may ask for (contract 1.6).
const APPROVALS_MAX: i32 = 5;

/// A file whose entries are known to be well formed, in the order in which they are applied.
#[derive(Debug)]
pub struct Wanted {
    pub(super) users: Vec<User>,
    pub(super) groups: Vec<Group>,
    pub(super) projects: Vec<Project>,
    pub(super) shares: Vec<Share>,
    pub(super) members: Vec<Member>,
    pub(super) environments: Vec<Environment>,
    pub(super) merge_requests: Vec<MergeRequest>,
    pub(super) protected_environments: Vec<ProtectedEnvironment>,
    /// What entries refer to that is not in the file, and so must be on the server.
    pub(super) references: Vec<Reference>,
}

/// A name of something that the file does not describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Where it stands: `members[2].user`.
    pub place: String,
    pub kind: Kind,
    pub name: String,
}

/// What a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    User,
    Group,
    Project,
    /// A group or a project.
    Container,
}

/// Checks a file. The error has a line for every problem, each beginning with its place.
pub fn check(file: file::File) -> Result<Wanted, String> {
    let mut check = Check::default();
    check.declare(
        "users",
        Kind::User,
        file.users.iter().map(|user| user.username.as_str()),
    );
    check.declare(
        "groups",
        Kind::Group,
        file.groups.iter().map(|group| group.path.as_str()),
    );
    check.declare(
        "projects",
        Kind::Project,
        file.projects.iter().map(|project| project.path.as_str()),
    );

    let mut groups: Vec<_> = numbered("groups", file.groups)
        .map(|(place, raw)| check.group(place, raw))
        .collect();
    // Parents first; the order is otherwise the file's.
    groups.sort_by_key(|group| group.path.matches('/').count());
    let wanted = Wanted {
        users: numbered("users", file.users)
            .map(|(place, raw)| check.user(place, raw))
            .collect(),
        groups,
        projects: numbered("projects", file.projects)
            .map(|(place, raw)| check.project(place, raw))
            .collect(),
        shares: numbered("shares", file.shares)
            .filter_map(|(place, raw)| check.share(place, raw))
            .collect(),
        members: numbered("members", file.members)
            .filter_map(|(place, raw)| check.member(place, raw))
            .collect(),
        environments: numbered("environments", file.environments)
            .map(|(place, raw)| check.environment(place, raw))
            .collect(),
        merge_requests: numbered("merge_requests", file.merge_requests)
            .filter_map(|(place, raw)| check.merge_request(place, raw))
            .collect(),
        protected_environments: numbered("protected_environments", file.protected_environments)
            .map(|(place, raw)| check.protected_environment(place, raw))
            .collect(),
        references: check.references,
    };
    if check.problems.is_empty() {
        Ok(wanted)
    } else {
        Err(check.problems.join("\n"))
    }
}

/// Every entry of a kind with its place, `users[0]` first.
fn numbered<T>(kind: &'static str, entries: Vec<T>) -> impl Iterator<Item = (String, T)> {
    entries
        .into_iter()
        .enumerate()
        .map(move |(number, entry)| (format!("{kind}[{number}]"), entry))
}

#[derive(Default)]
struct Check {
    /// What the file describes, by kind and name in lower case, and where.
    declared: HashMap<(Kind, String), String>,
    /// The memberships, shares, environments, merge requests and protected environments seen so far, and where.
    seen: HashMap<[String; 3], String>,
    references: Vec<Reference>,
    problems: Vec<String>,
}

impl Check {
    fn declare<'a>(&mut self, kind: &'static str, of: Kind, names: impl Iterator<Item = &'a str>) {
        for (number, name) in names.enumerate() {
            let place = format!("{kind}[{number}]");
            let rival = match of {
                Kind::Group => Kind::Project,
                Kind::Project => Kind::Group,
                other => other,
            };
            let known = [of, rival]
                .into_iter()
                .find_map(|kind| self.declared.get(&(kind, name.to_lowercase())));
            if let Some(first) = known {
                self.problems
                    .push(format!("{place}: {name:?} is in {first} already"));
            } else {
                self.declared.insert((of, name.to_lowercase()), place);
            }
        }
    }

    fn user(&mut self, place: String, raw: file::User) -> User {
        let state = self.word(&place, "state", raw.state.as_deref());
        if raw.username.is_empty() {
            self.problems.push(format!("{place}.username: it is empty"));
        }
        User {
            place,
            username: raw.username,
            name: raw.name,
            email: raw.email,
            public_email: raw.public_email,
            avatar_url: raw.avatar_url,
            admin: raw.admin,
            external: raw.external,
            state,
            profile: Profile {
                bio: raw.bio,
                location: raw.location,
                skype: raw.skype,
                linkedin: raw.linkedin,
                twitter: raw.twitter,
                website_url: raw.website_url,
                organization: raw.organization,
            },
        }
    }

    fn group(&mut self, place: String, raw: file::Group) -> Group {
        let visibility = self.word(&place, "visibility", raw.visibility.as_deref());
        if self.path(&place, &raw.path)
            && let Some((parent, _)) = raw.path.rsplit_once('/')
        {
            self.refer(&place, "path", Kind::Group, parent);
        }
        Group {
            place,
            path: raw.path,
            name: raw.name,
            description: raw.description,
            visibility,
        }
    }

    fn project(&mut self, place: String, raw: file::Project) -> Project {
        let visibility = self.word(&place, "visibility", raw.visibility.as_deref());
        if self.path(&place, &raw.path) {
            match raw.path.rsplit_once('/') {
                Some((group, _)) => self.refer(&place, "path", Kind::Group, group),
                None => self.problems.push(format!(
                    "{place}.path: {:?} does not begin with a group",
                    raw.path
                )),
            }
        }
        Project {
            place,
            path: raw.path,
            name: raw.name,
            description: raw.description,
            visibility,
            default_branch: raw.default_branch,
            archived: raw.archived,
            allow_self_approval: raw.allow_pipeline_trigger_approve_deployment,
            forward_deployment_enabled: raw.ci_forward_deployment_enabled,
            forward_deployment_rollback_allowed: raw.ci_forward_deployment_rollback_allowed,
            repository: raw.repository,
        }
    }

    fn member(&mut self, place: String, raw: file::Member) -> Option<Member> {
        self.once(
            &place,
            ["member", &raw.container.to_lowercase(), &raw.user.to_lowercase()],
        );
        let container = self.container(&place, raw.container);
        self.refer(&place, "user", Kind::User, &raw.user);
        let access = self.word(&place, "access", Some(&raw.access))?;
        Some(Member {
            place,
            container,
            user: raw.user,
            access,
        })
    }

    fn share(&mut self, place: String, raw: file::Share) -> Option<Share> {
        self.once(
            &place,
            ["share", &raw.container.to_lowercase(), &raw.group.to_lowercase()],
        );
        let container = self.container(&place, raw.container);
        self.refer(&place, "group", Kind::Group, &raw.group);
        let access = self.word(&place, "access", Some(&raw.access))?;
        Some(Share {
            place,
            container,
            group: raw.group,
            access,
        })
    }

    fn environment(&mut self, place: String, raw: file::Environment) -> Environment {
        self.once(&place, ["environment", &raw.project.to_lowercase(), &raw.name]);
        self.refer(&place, "project", Kind::Project, &raw.project);
        let tier = self.word(&place, "tier", raw.tier.as_deref());
        let auto_stop_setting = self.word(&place, "auto_stop_setting", raw.auto_stop_setting.as_deref());
        Environment {
            place,
            project: raw.project,
            name: raw.name,
            tier,
            external_url: raw.external_url,
            description: raw.description,
            auto_stop_setting,
        }
    }

    fn merge_request(&mut self, place: String, raw: file::MergeRequest) -> Option<MergeRequest> {
        let iid = raw.iid.to_string();
        self.once(&place, ["merge request", &raw.project.to_lowercase(), &iid]);
        self.refer(&place, "project", Kind::Project, &raw.project);
        if raw.iid < 1 {
            self.problems.push(format!("{place}.iid: {iid} is not positive"));
        }
        for (key, person) in [
            ("author", &raw.author),
            ("merged_by", &raw.merged_by),
            ("closed_by", &raw.closed_by),
        ] {
            // An empty one is nobody.
            if let Some(username) = person.as_deref().filter(|name| !name.is_empty()) {
                self.refer(&place, key, Kind::User, username);
            }
        }
        for (key, people) in [("assignees", &raw.assignees), ("reviewers", &raw.reviewers)] {
            for username in people.iter().flatten() {
                self.refer(&place, key, Kind::User, username);
            }
        }
        let state = self.word(&place, "state", Some(&raw.state))?;
        Some(MergeRequest { place, state, raw })
    }

    fn protected_environment(
        &mut self,
        place: String,
        raw: file::ProtectedEnvironment,
    ) -> ProtectedEnvironment {
        self.once(
            &place,
            ["protected environment", &raw.container.to_lowercase(), &raw.name],
        );
        let container = self.container(&place, raw.container);
        if let Container::Group(_) = container {
            // A group protects tiers.
            self.word::<EnvironmentTier>(&place, "name", Some(&raw.name));
        }
        if raw.deploy_access_levels.is_empty() {
            self.problems
                .push(format!("{place}.deploy_access_levels: it is empty"));
        }
        if let Some(count) = raw.required_approval_count {
            self.count(&place, "required_approval_count", 0, count);
        }
        let levels = numbered("deploy_access_levels", raw.deploy_access_levels)
            .filter_map(|(number, level)| self.deploy_access_level(&format!("{place}.{number}"), level))
            .collect();
        let rules = raw.approval_rules.map(|rules| {
            numbered("approval_rules", rules)
                .filter_map(|(number, rule)| self.approval_rule(&format!("{place}.{number}"), rule))
                .collect()
        });
        ProtectedEnvironment {
            place,
            container,
            name: raw.name,
            deploy_access_levels: levels,
            required_approval_count: raw.required_approval_count,
            approval_rules: rules,
        }
    }

    fn deploy_access_level(&mut self, place: &str, raw: file::ProtectionEntry) -> Option<ProtectionEntry> {
        if raw.required_approvals.is_some() {
            self.problems.push(format!(
                "{place}.required_approvals: it goes with an approval rule only"
            ));
        }
        Some(ProtectionEntry {
            subject: self.subject(place, raw)?,
            required_approvals: None,
        })
    }

    fn approval_rule(&mut self, place: &str, raw: file::ProtectionEntry) -> Option<ProtectionEntry> {
        let required_approvals = raw.required_approvals.unwrap_or(1);
        self.count(place, "required_approvals", 1, required_approvals);
        Some(ProtectionEntry {
            subject: self.subject(place, raw)?,
            required_approvals: Some(required_approvals),
        })
    }

    /// Who an entry of a protected environment is about.
    fn subject(&mut self, place: &str, raw: file::ProtectionEntry) -> Option<Subject> {
        let inheritance = self.word(place, "group_inheritance", raw.group_inheritance.as_deref());
        if raw.group_inheritance.is_some() && raw.group.is_none() {
            self.problems
                .push(format!("{place}.group_inheritance: it goes with a group only"));
        }
        match (raw.user, raw.group, raw.role) {
            (Some(username), None, None) => {
                self.refer(place, "user", Kind::User, &username);
                Some(Subject::User(username))
            }
            (None, Some(path), None) => {
                self.refer(place, "group", Kind::Group, &path);
                Some(Subject::Group(
                    path,
                    inheritance.unwrap_or(GroupInheritance::Direct),
                ))
            }
            (None, None, Some(role)) => self.word(place, "role", Some(&role)).map(Subject::Role),
            _ => {
                self.problems.push(format!(
                    "{place}: exactly one of user, group, role must be present"
                ));
                None
            }
        }
    }

    /// Whether there may be so many approvals.
    fn count(&mut self, place: &str, key: &str, least: i32, count: i32) {
        if !(least..=APPROVALS_MAX).contains(&count) {
            self.problems.push(format!(
                "{place}.{key}: {count} is not between {least} and {APPROVALS_MAX}"
            ));
        }
    }

    /// Reads a word, if there is one.
    fn word<W: Word>(&mut self, place: &str, key: &str, text: Option<&str>) -> Option<W> {
        match text.map(W::read)? {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problems.push(format!("{place}.{key}: {problem}"));
                None
            }
        }
    }

    /// Whether every segment of a path could be one.
    fn path(&mut self, place: &str, path: &str) -> bool {
        let fits = |segment: &str| {
            !segment.is_empty()
                && segment
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        };
        let good = path.split('/').all(fits);
        if !good {
            let rule = "letters, digits, '_', '-' and '.', in segments joined by '/'";
            self.problems
                .push(format!("{place}.path: {path:?} is not a path ({rule})"));
        }
        good
    }

    /// What a membership or share is in; whether an unknown path is a group or a project, the server will tell.
    fn container(&mut self, place: &str, path: String) -> Container {
        let declares = |kind| self.declared.contains_key(&(kind, path.to_lowercase()));
        if declares(Kind::Project) {
            Container::Project(path)
        } else if declares(Kind::Group) {
            Container::Group(path)
        } else {
            self.refer(place, "in", Kind::Container, &path);
            Container::Unsettled(path)
        }
    }

    /// Notes a name, unless the file describes what it is of.
    fn refer(&mut self, place: &str, key: &str, kind: Kind, name: &str) {
        if !self.declared.contains_key(&(kind, name.to_lowercase())) {
            self.references.push(Reference {
                place: format!("{place}.{key}"),
                kind,
                name: name.to_owned(),
            });
        }
    }

    /// Refuses a second entry for the same thing.
    fn once(&mut self, place: &str, key: [&str; 3]) {
        if let Some(first) = self.seen.insert(key.map(str::to_owned), place.to_owned()) {
            self.problems.push(format!("{place}: it repeats {first}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Wanted, String> {
        check(file::File::read(text).unwrap())
    }

    #[test]
    fn the_example_is_complete_in_itself() {
        let wanted = checked(file::EXAMPLE).unwrap();
        assert_eq!(wanted.references, []);
        assert_eq!(
            wanted.projects[0].path, "acme/shop/web",
            "the documented calls are about project 1"
        );
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let member = "[[members]]\nin = \"acme\"\nuser = \"ana\"\naccess = ";
        let levels = "minimal, guest, planner, reporter, developer, maintainer, owner";
        let merge_request = |iid: &str, state: &str| {
            format!(
                "[[merge_requests]]\nproject = \"acme/web\"\niid = {iid}\nstate = \"{state}\"\ntitle = \"x\"\n\
                 source_branch = \"x\"\ntarget_branch = \"main\"\n"
            )
        };
        for (text, problem) in [
            (format!("{member}\"boss\""), format!("members[0].access: \"boss\" is not an access level ({levels})")),
            (format!("{member}\"guest\"\n{member}\"owner\""), "members[1]: it repeats members[0]".to_owned()),
            (
                "[[users]]\nusername = \"ana\"\nstate = \"gone\"".to_owned(),
                "users[0].state: \"gone\" is not a state (active, blocked)".to_owned(),
            ),
            (
                "[[users]]\nusername = \"ana\"\n[[users]]\nusername = \"Ana\"".to_owned(),
                "users[1]: \"Ana\" is in users[0] already".to_owned(),
            ),
            (
                "[[groups]]\npath = \"acme/web\"\n[[projects]]\npath = \"acme/web\"".to_owned(),
                "projects[0]: \"acme/web\" is in groups[0] already".to_owned(),
            ),
            (
                "[[projects]]\npath = \"web\"".to_owned(),
                "projects[0].path: \"web\" does not begin with a group".to_owned(),
            ),
            (
                "[[groups]]\npath = \"/acme\"".to_owned(),
                "groups[0].path: \"/acme\" is not a path (letters, digits, '_', '-' and '.', in segments joined by '/')"
                    .to_owned(),
            ),
            (
                "[[environments]]\nproject = \"acme/web\"\nname = \"x\"\ntier = \"prod\"".to_owned(),
                "environments[0].tier: \"prod\" is not a tier (production, staging, testing, development, other)"
                    .to_owned(),
            ),
            (
                merge_request("0", "opened"),
                "merge_requests[0].iid: 0 is not positive".to_owned(),
            ),
            (
                merge_request("1", "open"),
                "merge_requests[0].state: \"open\" is not a state (opened, closed, locked, merged)".to_owned(),
            ),
            (
                merge_request("1", "opened") + &merge_request("1", "merged"),
                "merge_requests[1]: it repeats merge_requests[0]".to_owned(),
            ),
        ] {
            assert_eq!(checked(&text).unwrap_err(), problem);
        }
    }

    #[test]
    fn every_problem_of_a_protection_is_reported_with_its_place() {
        let one = "exactly one of user, group, role must be present";
        for (levels, rules, problem) in [
            ("", "", "protected_environments[0].deploy_access_levels: it is empty".to_owned()),
            ("{}", "", format!("protected_environments[0].deploy_access_levels[0]: {one}")),
            (
                "{ role = \"maintainer\" }",
                "{ user = \"ana\", role = \"admin\" }",
                format!("protected_environments[0].approval_rules[0]: {one}"),
            ),
            (
                "{ role = \"maintainer\", required_approvals = 2 }",
                "",
                "protected_environments[0].deploy_access_levels[0].required_approvals: it goes with an approval rule only"
                    .to_owned(),
            ),
            (
                "{ role = \"maintainer\" }",
                "{ role = \"admin\", required_approvals = 6 }",
                "protected_environments[0].approval_rules[0].required_approvals: 6 is not between 1 and 5".to_owned(),
            ),
            (
                "{ user = \"ana\", group_inheritance = \"direct\" }",
                "",
                "protected_environments[0].deploy_access_levels[0].group_inheritance: it goes with a group only"
                    .to_owned(),
            ),
        ] {
            let text = format!(
                "[[protected_environments]]\nin = \"acme/web\"\nname = \"live\"\n\
                 deploy_access_levels = [{levels}]\napproval_rules = [{rules}]"
            );
            assert_eq!(checked(&text).unwrap_err(), problem, "{text}");
        }
    }

    #[test]
    fn all_problems_come_at_once() {
        let problems =
            checked("[[groups]]\npath = \"a\"\nvisibility = \"x\"\n[[groups]]\npath = \"\"").unwrap_err();
        assert_eq!(problems.lines().count(), 2, "{problems}");
    }

    #[test]
    fn groups_are_applied_parents_first() {
        let wanted =
            checked("[[groups]]\npath = \"a/b/c\"\n[[groups]]\npath = \"a\"\n[[groups]]\npath = \"a/b\"");
        let paths: Vec<_> = wanted
            .unwrap()
            .groups
            .into_iter()
            .map(|group| group.path)
            .collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c"]);
    }

    #[test]
    fn a_name_is_looked_up_on_the_server_only_if_the_file_does_not_have_it() {
        let wanted = checked(
            "[[users]]\nusername = \"ana\"\n\
             [[projects]]\npath = \"acme/web\"\n\
             [[members]]\nin = \"ACME/web\"\nuser = \"Ana\"\naccess = \"guest\"\n\
             [[members]]\nin = \"acme\"\nuser = \"bo\"\naccess = \"guest\"",
        )
        .unwrap();
        let places: Vec<_> = wanted
            .references
            .iter()
            .map(|reference| reference.place.as_str())
            .collect();
        assert_eq!(places, ["projects[0].path", "members[1].in", "members[1].user"]);
        assert_eq!(
            wanted.members[0].container,
            Container::Project("ACME/web".to_owned())
        );
        assert_eq!(
            wanted.members[1].container,
            Container::Unsettled("acme".to_owned())
        );
    }
}
