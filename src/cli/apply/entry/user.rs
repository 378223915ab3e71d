//! A user.

use super::{Answer, Difference, Entry, differing, differs};
use crate::{
    cli::{
        client::{Server, user},
        word::Word,
    },
    pb::v1::{self as pb, UserState},
};

#[derive(Debug)]
pub struct User {
    pub place: String,
    pub username: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub public_email: Option<String>,
    pub avatar_url: Option<String>,
    pub admin: Option<bool>,
    pub external: Option<bool>,
    pub state: Option<UserState>,
    pub profile: Profile,
}

/// What they tell of themself, so far as the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    pub bio: Option<String>,
    pub location: Option<String>,
    pub skype: Option<String>,
    pub linkedin: Option<String>,
    pub twitter: Option<String>,
    pub website_url: Option<String>,
    pub organization: Option<String>,
}

impl Profile {
    /// What the server has, with what the file wants in its place: the server takes a profile only as a whole.
    fn over(&self, found: pb::UserProfile) -> pb::UserProfile {
        let or = |wanted: &Option<String>, found| wanted.clone().unwrap_or(found);
        pb::UserProfile {
            bio: or(&self.bio, found.bio),
            location: or(&self.location, found.location),
            skype: or(&self.skype, found.skype),
            linkedin: or(&self.linkedin, found.linkedin),
            twitter: or(&self.twitter, found.twitter),
            website_url: or(&self.website_url, found.website_url),
            organization: or(&self.organization, found.organization),
        }
    }
}

impl Entry for User {
    type Found = pb::User;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("user {}", self.username)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::User>> {
        let request = pb::GetUserRequest {
            user: Some(user(&self.username)),
        };
        Ok(server.directory().get_user(request).await?.into_inner().user)
    }

    fn etag(found: &pb::User) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::User) -> Vec<Difference> {
        let profile = found.profile.clone().unwrap_or_default();
        differing([
            differs("name", &found.name, self.name.as_ref()),
            differs("email", found.email(), self.email.as_ref()),
            differs("public_email", found.public_email(), self.public_email.as_ref()),
            differs("avatar_url", found.avatar_url(), self.avatar_url.as_ref()),
            differs("admin", &found.admin, self.admin),
            differs("external", &found.external, self.external),
            differs("state", &found.state().word(), self.state.map(Word::word)),
            differs("bio", &profile.bio, self.profile.bio.as_ref()),
            differs("location", &profile.location, self.profile.location.as_ref()),
            differs("skype", &profile.skype, self.profile.skype.as_ref()),
            differs("linkedin", &profile.linkedin, self.profile.linkedin.as_ref()),
            differs("twitter", &profile.twitter, self.profile.twitter.as_ref()),
            differs(
                "website_url",
                &profile.website_url,
                self.profile.website_url.as_ref(),
            ),
            differs(
                "organization",
                &profile.organization,
                self.profile.organization.as_ref(),
            ),
        ])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::User>> {
        let request = pb::CreateUserRequest {
            username: self.username.clone(),
            name: self.name.clone().unwrap_or_else(|| self.username.clone()),
            email: self.email.clone().unwrap_or_default(),
            public_email: self.public_email.clone().unwrap_or_default(),
            avatar_url: self.avatar_url.clone().unwrap_or_default(),
            admin: self.admin.unwrap_or_default(),
            external: self.external.unwrap_or_default(),
            request_id,
            validate_only: false,
            profile: Some(self.profile.over(pb::UserProfile::default())),
        };
        Ok(server.directory().create_user(request).await?.into_inner().user)
    }

    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<Option<pb::User>> {
        // Whoever changed the rest meanwhile has changed the etag too.
        let profile = if self.profile == Profile::default() {
            None
        } else {
            let found = self.find(server).await?.and_then(|user| user.profile);
            Some(self.profile.over(found.unwrap_or_default()))
        };
        let request = pb::UpdateUserRequest {
            user: Some(user(&self.username)),
            name: self.name.clone(),
            email: self.email.clone(),
            public_email: self.public_email.clone(),
            avatar_url: self.avatar_url.clone(),
            admin: self.admin,
            external: self.external,
            state: self.state.map(Into::into),
            allow_missing: false,
            etag,
            request_id,
            validate_only: false,
            profile,
        };
        Ok(server.directory().update_user(request).await?.into_inner().user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ana() -> User {
        User {
            place: "users[0]".to_owned(),
            username: "ana".to_owned(),
            name: Some("Ana".to_owned()),
            email: None,
            public_email: None,
            avatar_url: None,
            admin: None,
            external: None,
            state: None,
            profile: Profile::default(),
        }
    }

    fn found() -> pb::User {
        pb::User {
            name: "Ana".to_owned(),
            state: UserState::Active.into(),
            admin: true,
            ..Default::default()
        }
    }

    #[test]
    fn what_the_file_leaves_out_is_as_it_should_be() {
        assert_eq!(ana().differences(&found()), []);
    }

    #[test]
    fn every_field_that_the_file_has_is_compared() {
        let text = |text: &str| Some(text.to_owned());
        let cases: [(User, &str, &str, &str); 7] = [
            (
                User {
                    name: text("Ana L"),
                    ..ana()
                },
                "name",
                "Ana",
                "Ana L",
            ),
            (
                User {
                    email: text("a@b.example"),
                    ..ana()
                },
                "email",
                "",
                "a@b.example",
            ),
            (
                User {
                    public_email: text("a@b.example"),
                    ..ana()
                },
                "public_email",
                "",
                "a@b.example",
            ),
            (
                User {
                    avatar_url: text("http://a"),
                    ..ana()
                },
                "avatar_url",
                "",
                "http://a",
            ),
            (
                User {
                    admin: Some(false),
                    ..ana()
                },
                "admin",
                "true",
                "false",
            ),
            (
                User {
                    external: Some(true),
                    ..ana()
                },
                "external",
                "false",
                "true",
            ),
            (
                User {
                    state: Some(UserState::Blocked),
                    ..ana()
                },
                "state",
                "active",
                "blocked",
            ),
        ];
        for (wanted, field, was, becomes) in cases {
            let difference = Difference {
                field,
                found: was.to_owned(),
                wanted: becomes.to_owned(),
            };
            assert_eq!(wanted.differences(&found()), [difference]);
        }
    }

    #[test]
    fn what_the_file_leaves_out_of_a_profile_stays() {
        let on_server = pb::UserProfile {
            bio: "Ships".to_owned(),
            location: "Oslo".to_owned(),
            ..Default::default()
        };
        let wanted = User {
            profile: Profile {
                location: Some("Bergen".to_owned()),
                organization: Some(String::new()),
                ..Profile::default()
            },
            ..ana()
        };
        let found = pb::User {
            profile: Some(on_server.clone()),
            ..found()
        };
        let difference = Difference {
            field: "location",
            found: "Oslo".to_owned(),
            wanted: "Bergen".to_owned(),
        };
        assert_eq!(wanted.differences(&found), [difference]);
        let after = pb::UserProfile {
            location: "Bergen".to_owned(),
            ..on_server.clone()
        };
        assert_eq!(wanted.profile.over(on_server), after);
    }

    #[test]
    fn an_empty_address_is_the_same_as_none() {
        assert_eq!(
            User {
                email: Some(String::new()),
                ..ana()
            }
            .differences(&found()),
            []
        );
    }
}
