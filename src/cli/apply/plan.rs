//! What is to be done: the server is asked about every entry before anything is changed.

use std::collections::HashMap;

use tonic::{Code, Status};

use super::{
    check::{Kind, Reference, Wanted},
    entry::{
        Container, Difference, Entry, Environment, Group, Member, MergeRequest, Project,
        ProtectedEnvironment, Share, User,
    },
};
use crate::{
    cli::{
        Error,
        client::{Attempt as _, Refusal, Server, group, project, request_id, user},
        console,
    },
    pb::v1::{GetGroupRequest, GetProjectRequest, GetUserRequest},
};

/// An entry and what is to be done about it.
#[derive(Debug)]
struct Planned<'a, E> {
    entry: &'a E,
    step: Step,
}

/// What is to be done about an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Create,
    Change {
        differences: Vec<Difference>,
        etag: String,
    },
    Keep,
}

/// Everything that is to be done, in the order in which it is done.
#[derive(Debug)]
pub struct Plan<'a> {
    users: Vec<Planned<'a, User>>,
    groups: Vec<Planned<'a, Group>>,
    projects: Vec<Planned<'a, Project>>,
    shares: Vec<Planned<'a, Share>>,
    members: Vec<Planned<'a, Member>>,
    environments: Vec<Planned<'a, Environment>>,
    merge_requests: Vec<Planned<'a, MergeRequest>>,
    protected_environments: Vec<Planned<'a, ProtectedEnvironment>>,
    /// How much that is.
    pub counts: Counts,
}

impl<'a> Plan<'a> {
    /// Compares what is wanted with what the server has. Changes nothing.
    ///
    /// Fails if an entry refers to what is neither in the file nor on the server.
    pub async fn make(server: &Server, wanted: &'a mut Wanted) -> Result<Self, Error> {
        settle(server, wanted).await?;
        let mut counts = Counts::default();
        Ok(Self {
            users: plan(server, &wanted.users, &mut counts).await?,
            groups: plan(server, &wanted.groups, &mut counts).await?,
            projects: plan(server, &wanted.projects, &mut counts).await?,
            shares: plan(server, &wanted.shares, &mut counts).await?,
            members: plan(server, &wanted.members, &mut counts).await?,
            environments: plan(server, &wanted.environments, &mut counts).await?,
            merge_requests: plan(server, &wanted.merge_requests, &mut counts).await?,
            protected_environments: plan(server, &wanted.protected_environments, &mut counts).await?,
            counts,
        })
    }

    /// Prints what would be done.
    pub fn show(&self) {
        self.users.iter().for_each(show);
        self.groups.iter().for_each(show);
        self.projects.iter().for_each(show);
        self.shares.iter().for_each(show);
        self.members.iter().for_each(show);
        self.environments.iter().for_each(show);
        self.merge_requests.iter().for_each(show);
        self.protected_environments.iter().for_each(show);
    }

    /// Does it, printing each step once it is done. Stops at the first that fails; what was done stays.
    pub async fn carry_out(&self, server: &Server, tell: Tell) -> Result<(), Error> {
        carry_out(server, &self.users, tell).await?;
        carry_out(server, &self.groups, tell).await?;
        carry_out(server, &self.projects, tell).await?;
        carry_out(server, &self.shares, tell).await?;
        carry_out(server, &self.members, tell).await?;
        carry_out(server, &self.environments, tell).await?;
        carry_out(server, &self.merge_requests, tell).await?;
        carry_out(server, &self.protected_environments, tell).await
    }
}

/// Whether steps are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// Each.
    Steps,
    /// None.
    Nothing,
}

/// How many entries are to be created, changed and left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// To be created.
    pub created: usize,
    /// To be changed.
    pub changed: usize,
    /// As they should be.
    pub unchanged: usize,
}

impl Counts {
    fn add(&mut self, step: &Step) {
        match step {
            Step::Create => self.created += 1,
            Step::Change { .. } => self.changed += 1,
            Step::Keep => self.unchanged += 1,
        }
    }
}

/// Finds out what is to be done about every entry of a kind.
async fn plan<'a, E: Entry>(
    server: &Server,
    entries: &'a [E],
    counts: &mut Counts,
) -> Result<Vec<Planned<'a, E>>, Error> {
    let mut planned = Vec::with_capacity(entries.len());
    for entry in entries {
        // What an entry refers to is known to exist or to be in the file, so "not found" can only mean that the entry
        // itself, or something that is created before it, is still missing.
        let found = found(entry.find(server).await).attempt(|| place_of(entry))?;
        let step = step(entry, found.as_ref());
        counts.add(&step);
        planned.push(Planned { entry, step });
    }
    Ok(planned)
}

/// What is to be done about an entry, given what the server has.
fn step<E: Entry>(entry: &E, found: Option<&E::Found>) -> Step {
    let Some(found) = found else { return Step::Create };
    let differences = entry.differences(found);
    if differences.is_empty() {
        Step::Keep
    } else {
        Step::Change {
            differences,
            etag: E::etag(found).to_owned(),
        }
    }
}

/// "Not found" is an answer, not a failure.
fn found<T>(answer: Result<Option<T>, Status>) -> Result<Option<T>, Status> {
    match answer {
        Err(status) if status.code() == Code::NotFound => Ok(None),
        other => other,
    }
}

/// The entry, in an error.
fn place_of<E: Entry>(entry: &E) -> String {
    format!("{} ({})", entry.place(), entry.title())
}

async fn carry_out<E: Entry>(server: &Server, steps: &[Planned<'_, E>], tell: Tell) -> Result<(), Error> {
    for planned in steps {
        let entry = planned.entry;
        let done = match &planned.step {
            Step::Create => create(server, entry).await?,
            Step::Change { etag, .. } => change(server, entry, etag.clone()).await?,
            Step::Keep => None,
        };
        if tell == Tell::Steps {
            show(planned);
            for warning in done.as_ref().map(E::warnings).unwrap_or_default() {
                console::note(format_args!("warning: {}: {warning}", place_of(entry)));
            }
        }
    }
    Ok(())
}

/// Creates the entry, then changes what creating could not set: that a user is blocked, that a project is archived.
async fn create<E: Entry>(server: &Server, entry: &E) -> Result<Option<E::Found>, Error> {
    let created = entry
        .create(server, request_id()?)
        .await
        .attempt(|| place_of(entry))?;
    match step(entry, created.as_ref()) {
        Step::Change { etag, .. } => change(server, entry, etag).await,
        Step::Create | Step::Keep => Ok(created),
    }
}

async fn change<E: Entry>(server: &Server, entry: &E, etag: String) -> Result<Option<E::Found>, Error> {
    entry
        .update(server, etag, request_id()?)
        .await
        .attempt(|| place_of(entry))
}

fn show<E: Entry>(planned: &Planned<'_, E>) {
    for line in lines(&planned.entry.title(), &planned.step) {
        console::say(line);
    }
}

/// A step in words; nothing for an entry that is as it should be.
fn lines(title: &str, step: &Step) -> Vec<String> {
    match step {
        Step::Create => vec![format!("+ create {title}")],
        Step::Change { differences, .. } => differences
            .iter()
            .map(|Difference { field, found, wanted }| {
                format!(
                    "~ change {title}: {field}: {} -> {}",
                    quoted(found),
                    quoted(wanted)
                )
            })
            .collect(),
        Step::Keep => Vec::new(),
    }
}

/// A value, so that an empty one can be seen and a long one stays in its line.
fn quoted(value: &str) -> String {
    if value.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        format!("{value:?}")
    } else {
        value.to_owned()
    }
}

/// Makes sure that whatever the file refers to and does not describe is there, and tells groups from projects.
async fn settle(server: &Server, wanted: &mut Wanted) -> Result<(), Error> {
    let mut known: HashMap<(Kind, &str), Option<Container>> = HashMap::new();
    for Reference { place, kind, name } in &wanted.references {
        if known.contains_key(&(*kind, name.as_str())) {
            continue;
        }
        let refused = || Error::Refused {
            action: place.clone(),
            refusal: Refusal::said(format!(
                "{name:?} is neither in the file nor on the server, as far as this token may see"
            )),
        };
        let settled = match kind {
            Kind::User => has_user(server, name)
                .await
                .attempt(|| place.clone())?
                .then_some(None),
            Kind::Group => has_group(server, name)
                .await
                .attempt(|| place.clone())?
                .then_some(None),
            Kind::Project => has_project(server, name)
                .await
                .attempt(|| place.clone())?
                .then_some(None),
            Kind::Container => container(server, name).await.attempt(|| place.clone())?.map(Some),
        };
        known.insert((*kind, name), settled.ok_or_else(refused)?);
    }
    let members = wanted.members.iter_mut().map(|member| &mut member.container);
    let shares = wanted.shares.iter_mut().map(|share| &mut share.container);
    let protected = wanted.protected_environments.iter_mut();
    let protected = protected.map(|protected| &mut protected.container);
    for container in members.chain(shares).chain(protected) {
        if let Some(Some(settled)) = known.get(&(Kind::Container, container.path())) {
            *container = settled.clone();
        }
    }
    Ok(())
}

async fn has_user(server: &Server, username: &str) -> Result<bool, Status> {
    let request = GetUserRequest {
        user: Some(user(username)),
    };
    Ok(found(server.directory().get_user(request).await.map(Some))?.is_some())
}

async fn has_group(server: &Server, path: &str) -> Result<bool, Status> {
    let request = GetGroupRequest {
        group: Some(group(path)),
    };
    Ok(found(server.directory().get_group(request).await.map(Some))?.is_some())
}

async fn has_project(server: &Server, path: &str) -> Result<bool, Status> {
    let request = GetProjectRequest {
        project: Some(project(path)),
    };
    Ok(found(server.directory().get_project(request).await.map(Some))?.is_some())
}

/// Whether a path is a group's or a project's; they share one name space.
async fn container(server: &Server, path: &str) -> Result<Option<Container>, Status> {
    if has_group(server, path).await? {
        return Ok(Some(Container::Group(path.to_owned())));
    }
    Ok(has_project(server, path)
        .await?
        .then(|| Container::Project(path.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::{AccessLevel, Membership};

    fn member() -> Member {
        Member {
            place: "members[0]".to_owned(),
            container: Container::Group("acme".to_owned()),
            user: "ana".to_owned(),
            access: AccessLevel::Developer,
        }
    }

    fn membership(access: AccessLevel) -> Membership {
        Membership {
            access_level: access.into(),
            etag: "e1".to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_missing_is_created_what_differs_is_changed_the_rest_is_kept() {
        let difference = Difference {
            field: "access",
            found: "guest".to_owned(),
            wanted: "developer".to_owned(),
        };
        let change = Step::Change {
            differences: vec![difference],
            etag: "e1".to_owned(),
        };
        for (found, expected, told) in [
            (None, Step::Create, vec!["+ create member ana of acme"]),
            (
                Some(AccessLevel::Guest),
                change,
                vec!["~ change member ana of acme: access: guest -> developer"],
            ),
            (Some(AccessLevel::Developer), Step::Keep, vec![]),
        ] {
            let found = found.map(membership);
            let step = step(&member(), found.as_ref());
            assert_eq!(step, expected);
            assert_eq!(lines(&member().title(), &step), told);
        }
    }

    #[test]
    fn only_not_found_counts_as_missing() {
        assert!(found::<()>(Err(Status::not_found("gone"))).unwrap().is_none());
        assert!(found::<()>(Err(Status::permission_denied("no"))).is_err());
    }

    #[test]
    fn values_that_would_be_misread_are_quoted() {
        for (value, shown) in [
            ("main", "main"),
            ("", "\"\""),
            ("Ana L", "\"Ana L\""),
            ("a\nb", "\"a\\nb\""),
        ] {
            assert_eq!(quoted(value), shown);
        }
    }
}
