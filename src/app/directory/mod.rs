//! Who there is: users, groups, projects, memberships, shares.

mod group;
mod membership;
mod project;
mod share;
mod user;

use super::{App, Mutation};
use crate::{
    domain::{
        access::{self, Caller, MemberAction},
        directory::{Container, ContainerView, DirectoryChange},
        error::Error,
        guard::Guard,
        id::ContainerKey,
    },
    store::{DirectoryAnswer, DirectorySelect, DirectoryState, Done},
};

/// What an update does about something that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: it is refused.
    Refuse,
    /// It is made.
    Create,
}

impl Missing {
    /// Whether to make it: not for somebody who read it before, as an etag tells.
    fn creates(self, guard: &Guard) -> bool {
        self == Self::Create && guard.etag.is_empty()
    }
}

impl App {
    /// Changes the directory as `decide` says.
    pub(super) async fn directory_change(
        &self,
        caller: &Caller,
        select: DirectorySelect,
        mutation: Mutation<DirectoryAnswer>,
        decide: impl Fn(&DirectoryState) -> Result<Vec<DirectoryChange>, Error> + Send + Sync + 'static,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let terms = self.terms(caller, mutation);
        Ok(self
            .store
            .directory_change(select, terms, Box::new(decide))
            .await?)
    }

    /// The project or group, for a caller who may see its members and shares.
    async fn container_for(&self, caller: &Caller, key: &ContainerKey) -> Result<Container, Error> {
        let view = match key {
            ContainerKey::Project(key) => {
                ContainerView::Project(self.view(key, caller.id()).await?.map(|view| view.of.clone()))
            }
            ContainerKey::Group(key) => ContainerView::Group(self.store.group_find(key, caller.id()).await?),
        };
        let (container, _) = access::container(caller, &view, MemberAction::Read)?;
        Ok(container)
    }
}
