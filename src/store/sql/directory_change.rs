//! Changing who there is: users, groups, projects, memberships, shares, tokens.

use async_trait::async_trait;

use super::{
    Db, Keep, Lock, Work,
    event::Told,
    failed,
    gate::Touched,
    group, ledger, membership, project,
    project_change::{see_protection, unreachable},
    protection::{self, Named},
    request,
    seam::sql,
    share, token, user,
};
use crate::{
    domain::{
        Time,
        access::AccessLevel,
        directory::{Container, ContainerView, DirectoryChange, NewGroup, NewMembership, NewUser, User},
        event::EventKind,
        id::{ContainerKey, GroupKey, Place, ProjectKey, ProtectionId, UserId},
        protection::ProtectionChange,
        token::{NewToken, SecretHash},
    },
    store::{
        Decide, DirectoryAnswer, DirectorySelect, DirectoryState, Done, ProtectionAnswer, Result, Terms,
    },
};

/// Takes the directory's row, which is the lock.
async fn lock<DB: Db>(connection: &mut DB::Connection) -> Result<()> {
    sql::<DB>("UPDATE directory SET changes = changes + 1 WHERE id = 1")
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}

/// A change of who there is.
pub struct Change {
    /// What of it.
    pub select: DirectorySelect,
    /// On what terms.
    pub terms: Terms<DirectoryAnswer>,
    /// What to change.
    pub decide: Decide<DirectoryState, DirectoryChange>,
}

#[async_trait]
impl<DB: Db> Work<DB> for Change {
    const LOCK: Lock = Lock::Directory;

    type Output = Done<DirectoryAnswer>;

    async fn run(&self, connection: &mut DB::Connection, told: &mut Told) -> Result<(Self::Output, Keep)> {
        lock::<DB>(&mut *connection).await?;
        // Behind the lock: of two that come at once the second sees what the first answered.
        if let Some(answer) = request::replay::<DB, _>(&mut *connection, &self.terms).await? {
            return Ok((Done::Replayed(answer), Keep::No));
        }
        let state = self.state::<DB>(&mut *connection).await?;
        let changes = (self.decide)(&state)?;
        let mut apply = Apply::<DB> {
            connection: &mut *connection,
            now: self.terms.now,
            actor: self.terms.actor,
            touched: Vec::new(),
            told: &mut *told,
            answer: DirectoryAnswer {
                user: state.user,
                group: state.group.map(|view| view.group),
                project: state.project.map(|view| view.project),
                membership: state.membership,
                share: state.share,
                token: state.token,
                protection: state.protection.map(ProtectionAnswer::of),
                created: false,
            },
        };
        for change in &changes {
            apply.change(change).await?;
        }
        let (mut answer, touched) = (apply.answer, apply.touched);
        let (actor, now) = (self.terms.actor, self.terms.now);
        ledger::settle_all::<DB>(&mut *connection, &touched, actor, now, told).await?;
        if let Some(protection) = &mut answer.protection {
            protection.unreachable =
                unreachable::<DB>(&mut *connection, None, &protection.protection).await?;
        }
        // Who deleted themself asks no more, and nothing can be kept for them.
        let gone = |change: &DirectoryChange| matches!(change, DirectoryChange::UserDeleted(user) if user.id == self.terms.actor);
        if !changes.iter().any(gone) {
            request::remember::<DB, _>(connection, &self.terms, &answer).await?;
        }
        let keep = if self.terms.validate_only {
            Keep::No
        } else {
            Keep::Yes
        };
        Ok((Done::Fresh(answer), keep))
    }
}

impl Change {
    /// Loads what the decision sees; everything after the lock.
    async fn state<DB: Db>(&self, connection: &mut DB::Connection) -> Result<DirectoryState> {
        let actor = self.terms.actor;
        let mut state = DirectoryState::at(self.terms.now);
        match &self.select {
            DirectorySelect::User(key) => {
                state.user = user::find_by_key::<DB>(&mut *connection, key).await?;
                if let Some(user) = &state.user {
                    state.other_administrators =
                        user::other_administrators::<DB>(connection, user.id).await?;
                }
            }
            DirectorySelect::Place(place) => see_place::<DB>(connection, &mut state, place, actor).await?,
            DirectorySelect::Group(key) => {
                state.group = group::view::<DB>(&mut *connection, key, actor).await?;
                if let Some(view) = &state.group {
                    state.group_empty = group::empty::<DB>(&mut *connection, view.group.id).await?;
                }
                if let GroupKey::Path(path) = key {
                    see_place::<DB>(connection, &mut state, &Place::of(path), actor).await?;
                }
            }
            DirectorySelect::Project(key) => {
                state.project = project::view::<DB>(&mut *connection, key, actor).await?;
                if let ProjectKey::Path(path) = key {
                    see_place::<DB>(connection, &mut state, &Place::of(path), actor).await?;
                }
            }
            DirectorySelect::Membership(container, key) => {
                let container = see_container::<DB>(&mut *connection, &mut state, container, actor).await?;
                state.user = user::find_by_key::<DB>(&mut *connection, key).await?;
                if let (Some(container), Some(user)) = (container, &state.user) {
                    state.membership = membership::find_by_user::<DB>(connection, container, user.id).await?;
                }
            }
            DirectorySelect::Share(container, key) => {
                let container = see_container::<DB>(&mut *connection, &mut state, container, actor).await?;
                state.group = group::view::<DB>(&mut *connection, key, actor).await?;
                if let (Some(container), Some(view)) = (container, &state.group) {
                    state.share = share::find_by_group::<DB>(connection, container, view.group.id).await?;
                }
            }
            DirectorySelect::Token(id) => {
                state.token = token::find_by_id::<DB>(connection, *id).await?;
            }
            DirectorySelect::Protection(key, select) => {
                state.group = group::view::<DB>(&mut *connection, key, actor).await?;
                if let Some(view) = &state.group {
                    let container = Container::Group(view.group.id);
                    let found = see_protection::<DB>(connection, container, None, select).await?;
                    (state.protection, state.nameable) = (found.0, Some(found.1));
                }
            }
        }
        Ok(state)
    }
}

/// Loads the group that a place is in, and whether something is there.
async fn see_place<DB: Db>(
    connection: &mut DB::Connection,
    state: &mut DirectoryState,
    place: &Place,
    actor: UserId,
) -> Result<()> {
    let full_path = match &place.parent {
        None => place.path.clone(),
        Some(key) => {
            state.parent = group::view::<DB>(&mut *connection, key, actor).await?;
            let Some(parent) = &state.parent else {
                return Ok(());
            };
            format!("{}/{}", parent.group.full_path, place.path)
        }
    };
    state.path_taken = group::path_taken::<DB>(connection, &full_path).await?;
    Ok(())
}

/// Loads a container, and tells its id if it is there.
async fn see_container<DB: Db>(
    connection: &mut DB::Connection,
    state: &mut DirectoryState,
    key: &ContainerKey,
    actor: UserId,
) -> Result<Option<Container>> {
    let (view, container) = match key {
        ContainerKey::Project(key) => {
            let view = project::view::<DB>(connection, key, actor).await?;
            let container = view.as_ref().map(|view| Container::Project(view.project.id));
            (ContainerView::Project(view), container)
        }
        ContainerKey::Group(key) => {
            let view = group::view::<DB>(connection, key, actor).await?;
            let container = view.as_ref().map(|view| Container::Group(view.group.id));
            (ContainerView::Group(view), container)
        }
    };
    state.container = view;
    Ok(container)
}

/// Makes changes true, one after the other, and keeps the answer up to date.
struct Apply<'a, DB: Db> {
    connection: &'a mut DB::Connection,
    now: Time,
    actor: UserId,
    /// What the changes may have freed.
    touched: Vec<Touched>,
    told: &'a mut Told,
    answer: DirectoryAnswer,
}

/// What a change of a container's members or shares may free.
fn within(container: Container) -> Touched {
    match container {
        Container::Project(id) => Touched::Project(id),
        Container::Group(id) => Touched::Below(id),
    }
}

impl<DB: Db> Apply<'_, DB> {
    async fn change(&mut self, change: &DirectoryChange) -> Result<()> {
        let connection = &mut *self.connection;
        let now = self.now;
        match change {
            DirectoryChange::UserCreated(new) => {
                self.answer.user = Some(user::insert::<DB>(connection, new, now).await?);
                self.answer.created = true;
            }
            DirectoryChange::UserUpdated(after) => {
                user::update::<DB>(connection, after).await?;
                self.answer.user = Some(after.clone());
                // Their votes count or not; and a vote may be for the rule of their name.
                self.touched.push(Touched::All);
            }
            DirectoryChange::UserDeleted(user) => {
                let named = protection::naming::<DB>(connection, Named::User(user.id)).await?;
                user::delete::<DB>(connection, user.id).await?;
                self.shrink(&named).await?;
            }
            DirectoryChange::GroupCreated(new) => self.create_group(new).await?,
            DirectoryChange::GroupUpdated { old_full_name, after } => {
                group::update::<DB>(connection, old_full_name, after).await?;
                self.answer.group = Some(after.clone());
                // A vote may be for the rule of its name.
                self.touched.push(Touched::All);
            }
            DirectoryChange::GroupDeleted(group) => {
                let named = protection::naming::<DB>(connection, Named::Group(group.id)).await?;
                group::delete::<DB>(connection, group.id).await?;
                self.shrink(&named).await?;
            }
            DirectoryChange::ProjectCreated(new) => {
                self.answer.project = Some(project::insert::<DB>(connection, new, now).await?);
                self.answer.created = true;
            }
            DirectoryChange::ProjectUpdated(after) => {
                project::update::<DB>(connection, after).await?;
                self.answer.project = Some(after.clone());
                self.touched.push(Touched::Project(after.id));
            }
            DirectoryChange::ProjectDeleted(project) => {
                project::delete::<DB>(connection, project.id).await?;
                // Who waits on it learns that it is gone.
                self.told.note(project.id);
            }
            DirectoryChange::MembershipCreated(new) => {
                self.answer.membership = Some(membership::insert::<DB>(connection, new, now).await?);
                self.answer.created = true;
                self.touched.push(Touched::Votes(new.user_id));
            }
            DirectoryChange::MembershipUpdated(after) => {
                membership::update::<DB>(connection, after).await?;
                self.answer.membership = Some(after.clone());
                self.touched.push(Touched::Votes(after.user.id));
            }
            DirectoryChange::MembershipDeleted(membership) => {
                membership::delete::<DB>(connection, membership.id).await?;
                self.touched.push(Touched::Votes(membership.user.id));
            }
            DirectoryChange::ShareCreated(new) => {
                self.answer.share = Some(share::insert::<DB>(connection, new, now).await?);
                self.answer.created = true;
                self.touched.push(within(new.container));
            }
            DirectoryChange::ShareUpdated(after) => {
                share::update::<DB>(connection, after).await?;
                self.answer.share = Some(after.clone());
                self.touched.push(within(after.container));
            }
            DirectoryChange::ShareDeleted(share) => {
                share::delete::<DB>(connection, share.id).await?;
                self.touched.push(within(share.container));
            }
            DirectoryChange::TokenCreated(new) => {
                self.answer.token = Some(token::insert::<DB>(connection, new, now).await?);
                self.answer.created = true;
            }
            DirectoryChange::TokenRevoked(after) => {
                token::revoke::<DB>(connection, after).await?;
                self.answer.token = Some(after.clone());
            }
            DirectoryChange::Protection(change) => self.protect(change).await?,
        }
        Ok(())
    }

    async fn protect(&mut self, change: &ProtectionChange) -> Result<()> {
        let written = ledger::write_protection::<DB>(&mut *self.connection, change, self.now).await?;
        let (kind, protection, kept) = written;
        self.touched.push(within(protection.container));
        let (actor, now) = (self.actor, self.now);
        ledger::tell_of_protection::<DB>(&mut *self.connection, kind, &protection, actor, now, self.told)
            .await?;
        self.answer.protection = kept.then(|| ProtectionAnswer::of(protection));
        Ok(())
    }

    /// Tells of protections whose entries went with whom they named.
    async fn shrink(&mut self, protections: &[ProtectionId]) -> Result<()> {
        for protection in protection::shrunk::<DB>(&mut *self.connection, protections, self.now).await? {
            let kind = EventKind::ProtectedEnvironmentUpdated;
            let (actor, now) = (self.actor, self.now);
            ledger::tell_of_protection::<DB>(&mut *self.connection, kind, &protection, actor, now, self.told)
                .await?;
        }
        self.touched.push(Touched::All);
        Ok(())
    }

    async fn create_group(&mut self, new: &NewGroup) -> Result<()> {
        let created = group::insert::<DB>(&mut *self.connection, new, self.now).await?;
        if let Some(owner) = new.owner {
            let membership = NewMembership {
                container: Container::Group(created.id),
                user_id: owner,
                access_level: AccessLevel::Owner,
            };
            membership::insert::<DB>(&mut *self.connection, &membership, self.now).await?;
        }
        self.answer.group = Some(created);
        self.answer.created = true;
        Ok(())
    }
}

/// Makes the first administrator, with a token, where there is no user at all.
pub struct Bootstrap {
    /// The hash of the token's secret.
    pub hash: SecretHash,
    /// When.
    pub now: Time,
}

#[async_trait]
impl<DB: Db> Work<DB> for Bootstrap {
    const LOCK: Lock = Lock::Directory;

    type Output = Option<User>;

    async fn run(&self, connection: &mut DB::Connection, _: &mut Told) -> Result<(Self::Output, Keep)> {
        lock::<DB>(&mut *connection).await?;
        if user::any::<DB>(&mut *connection).await? {
            return Ok((None, Keep::No));
        }
        let root = user::insert::<DB>(&mut *connection, &NewUser::root(), self.now).await?;
        let new = NewToken::initial(root.id, self.hash.clone());
        token::insert::<DB>(connection, &new, self.now).await?;
        Ok((Some(root), Keep::Yes))
    }
}
