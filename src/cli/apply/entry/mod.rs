//! The entries of a checked file: how each is found on the server, compared, created and changed.

mod environment;
mod group;
mod member;
mod merge_request;
mod project;
mod protected_environment;
mod share;
mod user;

use tonic::Status;

pub use self::{
    environment::Environment,
    group::Group,
    member::Member,
    merge_request::MergeRequest,
    project::Project,
    protected_environment::{ProtectedEnvironment, ProtectionEntry, Subject},
    share::Share,
    user::{Profile, User},
};
use crate::{
    cli::client::{Server, group, project},
    pb::v1::{ContainerRef, GroupRef, container_ref},
};

/// A field that is not as the file wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field, as the file names it.
    pub field: &'static str,
    /// What the server has.
    pub found: String,
    /// What the file wants.
    pub wanted: String,
}

/// Compares a field; one that the file leaves out is as it should be.
fn differs(
    field: &'static str,
    found: &(impl ToString + ?Sized),
    wanted: Option<impl ToString>,
) -> Option<Difference> {
    let (found, wanted) = (found.to_string(), wanted?.to_string());
    (found != wanted).then_some(Difference { field, found, wanted })
}

/// The fields that differ.
fn differing<const FIELDS: usize>(fields: [Option<Difference>; FIELDS]) -> Vec<Difference> {
    fields.into_iter().flatten().collect()
}

/// A call's answer.
type Answer<T> = Result<T, Status>;

/// An entry of the file.
///
/// Calls return nothing where the server's answer holds nothing, which a server of the same contract never sends.
pub trait Entry {
    /// What the server keeps of it.
    type Found;

    /// Where it stands in the file: `members[2]`.
    fn place(&self) -> &str;

    /// What it is, for people: `user ana`.
    fn title(&self) -> String;

    /// Asks the server for it.
    async fn find(&self, server: &Server) -> Answer<Option<Self::Found>>;

    /// The version that was compared.
    fn etag(found: &Self::Found) -> &str;

    /// What is not as the file wants it.
    fn differences(&self, found: &Self::Found) -> Vec<Difference>;

    /// Creates it, as far as one call can; what the call has no field for still differs afterwards.
    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<Self::Found>>;

    /// Changes it into what the file wants, if it still has that etag.
    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<Option<Self::Found>>;

    /// What the server warned of when it made or changed it.
    fn warnings(_: &Self::Found) -> &[String] {
        &[]
    }
}

/// What a membership, share or protected environment is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    /// The group of that path.
    Group(String),
    /// The project of that path.
    Project(String),
    /// A path that the file does not describe: the server has yet to tell which of the two it is.
    Unsettled(String),
}

impl Container {
    pub(super) fn path(&self) -> &str {
        let (Self::Group(path) | Self::Project(path) | Self::Unsettled(path)) = self;
        path
    }

    fn to_ref(&self) -> Option<ContainerRef> {
        let of = match self {
            Self::Group(path) => container_ref::Of::Group(group(path)),
            Self::Project(path) => container_ref::Of::Project(project(path)),
            Self::Unsettled(_) => return None,
        };
        Some(ContainerRef { of: Some(of) })
    }
}

/// The group above, if any, and the last segment.
fn split(path: &str) -> (Option<GroupRef>, String) {
    match path.rsplit_once('/') {
        Some((parent, last)) => (Some(group(parent)), last.to_owned()),
        None => (None, path.to_owned()),
    }
}

/// An enum's number in a message; 0, unspecified, for what the file leaves out.
fn number<E: Into<i32>>(value: Option<E>) -> i32 {
    value.map(Into::into).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_into_group_and_last_segment() {
        assert_eq!(split("acme"), (None, "acme".to_owned()));
        assert_eq!(
            split("acme/shop/web"),
            (Some(group("acme/shop")), "web".to_owned())
        );
    }
}
