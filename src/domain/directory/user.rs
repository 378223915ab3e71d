//! Users: what they may be called, and that somebody can always administer.

use super::{DirectoryChange, User, UserState, UserSummary, etag, not_empty};
use crate::domain::{
    error::{Error, Reason, Violations},
    text,
};

/// The shortest username, in characters.
const USERNAME_MIN: usize = 2;

/// The longest biography, in characters.
const BIO_MAX: usize = 1000;

/// What users tell of themselves; an empty text tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserProfile {
    /// A few words about them.
    pub bio: String,
    /// Where they are.
    pub location: String,
    /// Their name at Skype.
    pub skype: String,
    /// Their name at `LinkedIn`.
    pub linkedin: String,
    /// Their name at Twitter.
    pub twitter: String,
    /// Their web site, as they write it.
    pub website_url: String,
    /// Whom they work for.
    pub organization: String,
}

impl UserProfile {
    /// Checks every text of it.
    fn check(&self, violations: &mut Violations) {
        for (field, text, max) in [
            ("profile.bio", &self.bio, BIO_MAX),
            ("profile.location", &self.location, text::NAME_MAX),
            ("profile.skype", &self.skype, text::NAME_MAX),
            ("profile.linkedin", &self.linkedin, text::NAME_MAX),
            ("profile.twitter", &self.twitter, text::NAME_MAX),
            ("profile.website_url", &self.website_url, text::NAME_MAX),
            ("profile.organization", &self.organization, text::NAME_MAX),
        ] {
            violations.check(text::at_most(field, text, max).and_then(|()| text::no_control(field, text)));
        }
        violations.check(text::harmless_scheme("profile.website_url", &self.website_url));
    }
}

/// What a caller wants made; an empty text is left out, an empty name is the username.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateUser {
    /// The username.
    pub username: String,
    /// The name to show.
    pub name: String,
    /// The private address.
    pub email: String,
    /// The address everyone may see.
    pub public_email: String,
    /// A picture.
    pub avatar_url: String,
    /// Whether the user may act.
    pub state: UserState,
    /// May do everything.
    pub admin: bool,
    /// Sees internal projects only as a member.
    pub external: bool,
    /// What they tell of themself.
    pub profile: UserProfile,
}

/// What a caller wants changed; what is absent stays, an empty text removes where there can be none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateUser {
    /// The new name.
    pub name: Option<String>,
    /// The new private address.
    pub email: Option<String>,
    /// The new address everyone may see.
    pub public_email: Option<String>,
    /// The new picture.
    pub avatar_url: Option<String>,
    /// Whether the user may act.
    pub state: Option<UserState>,
    /// Whether the user may do everything.
    pub admin: Option<bool>,
    /// Whether the user sees internal projects only as a member.
    pub external: Option<bool>,
    /// What they tell of themself, all of it.
    pub profile: Option<UserProfile>,
}

/// A user about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Unique whatever the case.
    pub username: String,
    /// The name to show.
    pub name: String,
    /// The private address.
    pub email: Option<String>,
    /// The address everyone may see.
    pub public_email: Option<String>,
    /// A picture.
    pub avatar_url: Option<String>,
    /// Whether the user may act.
    pub state: UserState,
    /// May do everything.
    pub admin: bool,
    /// Sees internal projects only as a member.
    pub external: bool,
    /// What they tell of themself.
    pub profile: UserProfile,
}

impl NewUser {
    /// The user that a new installation begins with.
    pub fn root() -> Self {
        Self {
            username: "root".to_owned(),
            name: "Administrator".to_owned(),
            email: None,
            public_email: None,
            avatar_url: None,
            state: UserState::Active,
            admin: true,
            external: false,
            profile: UserProfile::default(),
        }
    }
}

impl UpdateUser {
    /// The same as a wish to create: what an upsert makes of a user who is not there.
    pub fn creating(&self, username: &str) -> CreateUser {
        CreateUser {
            username: username.to_owned(),
            name: self.name.clone().unwrap_or_default(),
            email: self.email.clone().unwrap_or_default(),
            public_email: self.public_email.clone().unwrap_or_default(),
            avatar_url: self.avatar_url.clone().unwrap_or_default(),
            state: self.state.unwrap_or(UserState::Active),
            admin: self.admin.unwrap_or_default(),
            external: self.external.unwrap_or_default(),
            profile: self.profile.clone().unwrap_or_default(),
        }
    }
}

/// Checks a username.
fn check_username(username: &str) -> Result<(), Error> {
    text::path_segment("username", username)?;
    if username.chars().count() < USERNAME_MIN {
        return Err(Error::resource(
            "username",
            format!("is too short (minimum is {USERNAME_MIN} characters)"),
        ));
    }
    Ok(())
}

/// Checks what may be empty: addresses and picture.
fn check_contacts(violations: &mut Violations, email: &str, public_email: &str, avatar_url: &str) {
    for (field, address) in [("email", email), ("public_email", public_email)] {
        if !address.is_empty() {
            violations.check(text::email(field, address));
        }
    }
    violations.check(text::url("avatar_url", avatar_url));
}

/// Decides what creating a user changes. `existing` has the same username.
pub fn create_user(command: &CreateUser, existing: Option<&User>) -> Result<Vec<DirectoryChange>, Error> {
    let mut violations = Violations::default();
    violations.check(check_username(&command.username));
    if !command.name.is_empty() {
        violations.check(text::display_name("name", &command.name));
    }
    check_contacts(
        &mut violations,
        &command.email,
        &command.public_email,
        &command.avatar_url,
    );
    command.profile.check(&mut violations);
    violations.finish()?;
    if existing.is_some() {
        return Err(Error::taken("user", "username"));
    }
    Ok(vec![DirectoryChange::UserCreated(NewUser {
        username: command.username.clone(),
        name: not_empty(&command.name).unwrap_or_else(|| command.username.clone()),
        email: not_empty(&command.email),
        public_email: not_empty(&command.public_email),
        avatar_url: not_empty(&command.avatar_url),
        state: command.state,
        admin: command.admin,
        external: command.external,
        profile: command.profile.clone(),
    })])
}

impl User {
    /// What everyone may know.
    pub fn summary(&self) -> UserSummary {
        UserSummary {
            id: self.id,
            username: self.username.clone(),
            name: self.name.clone(),
            public_email: self.public_email.clone(),
            avatar_url: self.avatar_url.clone(),
            state: self.state,
        }
    }

    /// The etag: changes with every change.
    pub fn etag(&self) -> String {
        etag(self.id.0, self.version)
    }

    /// Whether the user can administer now.
    fn administers(&self) -> bool {
        self.admin && self.state == UserState::Active
    }

    /// Decides what an update changes: nothing, where nothing would differ. `other_administrators` tells whether
    /// somebody else can administer.
    pub fn update(
        &self,
        command: &UpdateUser,
        other_administrators: bool,
    ) -> Result<Vec<DirectoryChange>, Error> {
        let mut violations = Violations::default();
        if let Some(name) = &command.name {
            violations.check(text::display_name("name", name));
        }
        let [email, public_email, avatar_url] = [&command.email, &command.public_email, &command.avatar_url]
            .map(|text| text.as_deref().unwrap_or_default());
        check_contacts(&mut violations, email, public_email, avatar_url);
        if let Some(profile) = &command.profile {
            profile.check(&mut violations);
        }
        violations.finish()?;
        let replaced = |new: &Option<String>, old: &Option<String>| match new {
            Some(text) => not_empty(text),
            None => old.clone(),
        };
        let mut after = Self {
            name: command.name.clone().unwrap_or_else(|| self.name.clone()),
            email: replaced(&command.email, &self.email),
            public_email: replaced(&command.public_email, &self.public_email),
            avatar_url: replaced(&command.avatar_url, &self.avatar_url),
            state: command.state.unwrap_or(self.state),
            admin: command.admin.unwrap_or(self.admin),
            external: command.external.unwrap_or(self.external),
            profile: command.profile.clone().unwrap_or_else(|| self.profile.clone()),
            ..self.clone()
        };
        if after == *self {
            return Ok(Vec::new());
        }
        if !after.administers() {
            self.spared(other_administrators)?;
        }
        after.version += 1;
        Ok(vec![DirectoryChange::UserUpdated(after)])
    }

    /// Decides whether the user can be deleted.
    pub fn delete(&self, other_administrators: bool) -> Result<Vec<DirectoryChange>, Error> {
        self.spared(other_administrators)?;
        Ok(vec![DirectoryChange::UserDeleted(self.clone())])
    }

    /// Refuses to do without the last user who can administer.
    fn spared(&self, other_administrators: bool) -> Result<(), Error> {
        if self.administers() && !other_administrators {
            return Err(Error::new(
                Reason::LastAdministrator,
                format!("user {} is the last active administrator", self.username),
            ));
        }
        Ok(())
    }
}

/// The refusal for a user who is not there.
pub fn user_not_found() -> Error {
    Error::new(Reason::UserNotFound, "user not found")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::directory::fixture::user;

    fn command(username: &str) -> CreateUser {
        UpdateUser::default().creating(username)
    }

    #[test]
    fn a_user_without_a_name_is_shown_by_username() {
        let changes = create_user(&command("ann"), None).unwrap();
        let [DirectoryChange::UserCreated(new)] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!((new.name.as_str(), new.email.as_deref()), ("ann", None));
        assert!(!new.admin && !new.external && new.state == UserState::Active);
    }

    #[test]
    fn every_bad_field_of_a_user_is_named() {
        let bad = CreateUser {
            name: " ".to_owned(),
            email: "nobody".to_owned(),
            public_email: "a b@c".to_owned(),
            avatar_url: "javascript:alert(1)".to_owned(),
            ..command("a")
        };
        let error = create_user(&bad, None).unwrap_err();
        let fields: Vec<_> = error.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(error.reason(), Reason::InvalidResource);
        assert_eq!(
            fields,
            ["username", "name", "email", "public_email", "avatar_url"]
        );
    }

    type Set = fn(&mut UserProfile, String);

    #[test]
    fn a_profile_is_of_short_texts_that_show_as_they_are() {
        let refused = |profile: UserProfile| {
            let update = UpdateUser {
                profile: Some(profile.clone()),
                ..UpdateUser::default()
            };
            let on_update = user(1).update(&update, true).err();
            let on_create = create_user(&update.creating("ann"), None).err();
            let fields = |error: Option<Error>| {
                let all = error.iter().flat_map(|error| error.violations().to_vec());
                all.map(|violation| violation.field).collect::<Vec<_>>()
            };
            let (on_update, on_create) = (fields(on_update), fields(on_create));
            assert_eq!(on_update, on_create, "{profile:?}");
            on_update.join(" ")
        };
        let set: [(&str, usize, Set); 7] = [
            ("profile.bio", 1000, |of, text| of.bio = text),
            ("profile.location", 255, |of, text| of.location = text),
            ("profile.skype", 255, |of, text| of.skype = text),
            ("profile.linkedin", 255, |of, text| of.linkedin = text),
            ("profile.twitter", 255, |of, text| of.twitter = text),
            ("profile.website_url", 255, |of, text| of.website_url = text),
            ("profile.organization", 255, |of, text| of.organization = text),
        ];
        for (field, max, set) in set {
            for (text, wanted) in [
                ("é".repeat(max), ""),
                ("é".repeat(max + 1), field),
                ("a b: c".to_owned(), ""),
                ("a\nb".to_owned(), field),
                ("a\0b".to_owned(), field),
            ] {
                let mut profile = UserProfile::default();
                set(&mut profile, text.clone());
                assert_eq!(refused(profile), wanted, "{field} {text:?}");
            }
        }
        for (website_url, wanted) in [
            ("ann.example", ""),
            ("my page: https://ann.example", ""),
            ("javascript:alert(1)", "profile.website_url"),
            (" VBScript:x", "profile.website_url"),
            ("data:text/html,x", "profile.website_url"),
        ] {
            let website_url = website_url.to_owned();
            let profile = UserProfile {
                website_url: website_url.clone(),
                ..UserProfile::default()
            };
            assert_eq!(refused(profile), wanted, "{website_url}");
        }
    }

    #[test]
    fn a_profile_is_replaced_as_a_whole_or_stays() {
        let before = User {
            profile: UserProfile {
                bio: "Ships".to_owned(),
                location: "Oslo".to_owned(),
                ..UserProfile::default()
            },
            ..user(1)
        };
        let renamed = UpdateUser {
            name: Some("Other".to_owned()),
            ..UpdateUser::default()
        };
        let moved = UserProfile {
            location: "Bergen".to_owned(),
            ..UserProfile::default()
        };
        let telling = UpdateUser {
            profile: Some(moved.clone()),
            ..UpdateUser::default()
        };
        for (command, wanted) in [(&renamed, &before.profile), (&telling, &moved)] {
            let changes = before.update(command, true).unwrap();
            let [DirectoryChange::UserUpdated(after)] = &changes[..] else {
                panic!("{changes:?}")
            };
            assert_eq!(&after.profile, wanted);
        }
    }

    #[test]
    fn a_username_is_taken_once() {
        let error = create_user(&command("ann"), Some(&user(1))).unwrap_err();
        assert_eq!(error.reason(), Reason::AlreadyExists);
        assert_eq!(error.violations()[0].field, "username");
    }

    #[test]
    fn an_update_that_changes_nothing_keeps_the_etag() {
        let before = User {
            email: Some("a@b".to_owned()),
            ..user(1)
        };
        let same = UpdateUser {
            name: Some(before.name.clone()),
            email: Some("a@b".to_owned()),
            public_email: Some(String::new()),
            admin: Some(false),
            ..UpdateUser::default()
        };
        assert_eq!(before.update(&same, false).unwrap(), []);
        let removing = UpdateUser {
            email: Some(String::new()),
            ..UpdateUser::default()
        };
        let changes = before.update(&removing, false).unwrap();
        let [DirectoryChange::UserUpdated(after)] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(after.email, None);
        assert_ne!(after.etag(), before.etag());
    }

    #[test]
    fn the_last_active_administrator_stays() {
        let update = |admin, state| UpdateUser {
            state,
            admin,
            ..UpdateUser::default()
        };
        let demote = update(Some(false), None);
        let block = update(None, Some(UserState::Blocked));
        let harmless = update(Some(true), Some(UserState::Active));
        let rename = UpdateUser {
            name: Some("Other".to_owned()),
            ..UpdateUser::default()
        };
        let admin = User {
            admin: true,
            ..user(1)
        };
        let blocked = User {
            state: UserState::Blocked,
            ..admin.clone()
        };
        for (who, command, others, refused) in [
            (&admin, &demote, false, true),
            (&admin, &block, false, true),
            (&admin, &demote, true, false),
            (&admin, &block, true, false),
            (&admin, &harmless, false, false),
            (&admin, &rename, false, false),
            (&blocked, &demote, false, false),
            (&user(1), &block, false, false),
        ] {
            let got = who.update(command, others).err().map(|error| error.reason());
            assert_eq!(
                got,
                refused.then_some(Reason::LastAdministrator),
                "{who:?} {command:?}"
            );
        }
        for (who, others, refused) in [
            (&admin, false, true),
            (&admin, true, false),
            (&blocked, false, false),
            (&user(1), false, false),
        ] {
            let got = who.delete(others).err().map(|error| error.reason());
            assert_eq!(got, refused.then_some(Reason::LastAdministrator), "{who:?}");
        }
    }
}
