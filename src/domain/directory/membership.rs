//! Memberships: who is let in by name, and how far.

use super::{Container, DirectoryChange, Membership, Standing, User, etag, level_fits};
use crate::domain::{
    access::{self, AccessLevel},
    error::{Error, Reason},
    id::UserId,
};

/// A membership about to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMembership {
    /// Where.
    pub container: Container,
    /// Whose.
    pub user_id: UserId,
    /// The access given.
    pub access_level: AccessLevel,
}

/// Decides what giving a membership changes. `caller` has `standing` in the container, `existing` is the user's.
pub fn create_membership(
    new: NewMembership,
    caller: &User,
    standing: Standing,
    existing: Option<&Membership>,
) -> Result<Vec<DirectoryChange>, Error> {
    level_fits(new.container, new.access_level)?;
    access::may_grant(caller, standing, new.access_level)?;
    if existing.is_some() {
        return Err(Error::taken("membership", "user"));
    }
    Ok(vec![DirectoryChange::MembershipCreated(new)])
}

impl Membership {
    /// The etag: changes with every change, and when the membership is given again.
    pub fn etag(&self) -> String {
        etag(self.id, self.version)
    }

    /// Decides what another level changes: nothing, if it is this one.
    pub fn update(
        &self,
        level: AccessLevel,
        caller: &User,
        standing: Standing,
    ) -> Result<Vec<DirectoryChange>, Error> {
        level_fits(self.container, level)?;
        access::may_revoke(caller, standing, self.access_level)?;
        access::may_grant(caller, standing, level)?;
        if level == self.access_level {
            return Ok(Vec::new());
        }
        Ok(vec![DirectoryChange::MembershipUpdated(Self {
            access_level: level,
            version: self.version + 1,
            ..self.clone()
        })])
    }

    /// Decides whether the membership can be ended: one's own always.
    pub fn delete(&self, caller: &User, standing: Standing) -> Result<Vec<DirectoryChange>, Error> {
        if self.user.id != caller.id {
            access::may_revoke(caller, standing, self.access_level)?;
        }
        Ok(vec![DirectoryChange::MembershipDeleted(self.clone())])
    }
}

/// The refusal for a membership that is not there.
pub fn membership_not_found() -> Error {
    Error::new(Reason::MembershipNotFound, "not a direct member")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        directory::fixture::{membership, user},
        id::{GroupId, ProjectId},
    };
    use AccessLevel::{Developer, Guest, Maintainer, Minimal, Owner};

    const PROJECT: Container = Container::Project(ProjectId(1));
    const GROUP: Container = Container::Group(GroupId(1));

    fn standing(level: AccessLevel) -> Standing {
        Standing {
            group: Some(level),
            ..Standing::default()
        }
    }

    #[test]
    fn nobody_gives_more_than_they_have() {
        let admin = User {
            admin: true,
            ..user(1)
        };
        for (caller, own, container, given, refused) in [
            (&user(1), Maintainer, PROJECT, Maintainer, None),
            (
                &user(1),
                Maintainer,
                PROJECT,
                Owner,
                Some(Reason::PermissionDenied),
            ),
            (&user(1), Owner, PROJECT, Owner, None),
            (&user(1), Owner, GROUP, Minimal, None),
            (&user(1), Owner, PROJECT, Minimal, Some(Reason::InvalidArgument)),
            (&admin, Guest, GROUP, Owner, None),
        ] {
            let new = NewMembership {
                container,
                user_id: UserId(2),
                access_level: given,
            };
            let got = create_membership(new, caller, standing(own), None);
            assert_eq!(got.err().map(|error| error.reason()), refused, "{new:?}");
        }
    }

    #[test]
    fn a_user_is_a_direct_member_once() {
        let existing = membership(2, PROJECT, Guest);
        let new = NewMembership {
            container: PROJECT,
            user_id: UserId(2),
            access_level: Developer,
        };
        let error = create_membership(new, &user(1), standing(Owner), Some(&existing)).unwrap_err();
        assert_eq!(error.reason(), Reason::AlreadyExists);
        assert_eq!(error.violations()[0].field, "user");
    }

    #[test]
    fn nobody_is_overruled_from_below() {
        for (own, member, wanted, refused) in [
            (Maintainer, Developer, Guest, false),
            (Maintainer, Maintainer, Guest, false),
            (Maintainer, Owner, Guest, true),
            (Maintainer, Developer, Owner, true),
        ] {
            let membership = membership(2, PROJECT, member);
            let got = membership.update(wanted, &user(1), standing(own));
            assert_eq!(got.is_err(), refused, "{own:?} sets {member:?} to {wanted:?}");
        }
        let owner = membership(2, PROJECT, Owner);
        assert!(owner.delete(&user(1), standing(Maintainer)).is_err());
        assert!(owner.delete(&user(2), Standing::default()).is_ok());
    }

    #[test]
    fn the_level_it_has_already_changes_nothing() {
        let membership = membership(2, GROUP, Developer);
        assert_eq!(
            membership.update(Developer, &user(1), standing(Owner)).unwrap(),
            []
        );
        let changes = membership.update(Guest, &user(1), standing(Owner)).unwrap();
        let [DirectoryChange::MembershipUpdated(after)] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_ne!(after.etag(), membership.etag());
    }
}
